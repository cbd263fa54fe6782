from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from triggers import App, Bucket, Event, Folder, Place, Queue, Retry, RunFailed, every
from triggers.app import default_state
from triggers.binding import from_environment
from triggers.errors import EventError, StateError, WiringError
from triggers.sources.timer import Timer


class A(Event):
    n: int = 0


def handler(event: A) -> None: ...
def of_failures(event: RunFailed) -> None: ...


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "../up", 3, None])
def test_a_name_that_names_no_folder_is_refused(name: Any) -> None:
    with pytest.raises(WiringError, match="an app's name names its state folder"):
        App(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": [Folder("a/x"), Folder("b/x")]}, "app 'a': the name 'x' is taken; give the source another name="),
        ({"sources": [Folder("timer")]}, "app 'a': the name 'timer' is taken"),
        ({"sources": [Folder("inbox")]}, "app 'a': the name 'inbox' is taken"),
        ({"sources": [Folder("data/paused")]}, "app 'a': the name 'paused' is taken"),
        ({"sources": [Folder("requests")]}, "app 'a': the name 'requests' is taken"),
        ({"outputs": [Folder("send")]}, "app 'a': the name 'send' is taken"),
        ({"sources": [Folder("x")], "outputs": [Folder("y", name="x")]}, "'x' is both a source and an output"),
        ({"resources": {"gpu": "much"}}, "app 'a': needs gpu='much' is no quantity"),
        ({"retries": 3}, "app 'a' has no option 'retries'; did you mean 'retry'"),
        ({"source": []}, "app 'a' has no option 'source'; did you mean 'sources'"),
        ({"timezone": "UTC"}, "app 'a' has no option 'timezone', which belongs to the schedule"),
        ({"thread": 3}, "app 'a' has no option 'thread'; did you mean 'threads'"),
        ({"threads": 0}, "app 'a': threads=0 must be a whole number above 0"),
        ({"threads": None}, "app 'a': threads=None must be a whole number above 0"),
        ({"processes": 1.5}, r"app 'a': processes=1.5 must be a whole number above 0"),
        ({"threads": True}, "app 'a': threads=True must be a whole number above 0"),
        ({"resources": {"thread": 8}}, "app 'a': resources= can't hold 'thread', .* say how many by threads="),
        ({"shares": {3: 1}}, "app 'a': shares= weighs 3, which is no share's name"),
        ({"aging": True}, "app 'a': aging=True is no span of time above 0"),
        ({"retention": 0}, "app 'a': retention=0 is in days and must be above 0"),
        ({"retention": "x"}, "app 'a': retention='x' is in days and must be above 0"),
        ({"resources": 3}, r"app 'a': resources=3 will not do; write e.g. resources=\{'gpu': 1\}"),
        ({"sources": ["in"]}, r"app 'a': sources= holds 'in', which is no source; write e.g. Folder\('in'\)"),
        ({"sources": [Folder]}, "app 'a': sources= holds <class .*Folder'>, which is no source"),
        ({"sources": [Timer]}, "app 'a': sources= holds <class .*Timer'>, which is no source"),
        ({"sources": "in"}, "app 'a': sources='in' must be a list, as in"),
        ({"sources": Folder("in")}, "app 'a': sources=Folder.* must be a list, as in"),
        ({"outputs": [Timer({})]}, "app 'a': outputs= holds <.*Timer object .*>, which is no folder"),
    ],
)
def test_an_app_that_cannot_be_wired_is_refused(options: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        App("a", **options)


def test_an_app_may_leave_its_processes_and_resources_to_the_machine() -> None:
    app = App("a", processes=None, resources=None)
    assert (app.limits.processes, app.limits.resources, app.limits.threads) == (None, {}, 32)


def test_registering_gives_the_handler_back_unchanged() -> None:
    assert App("a").on(A)(handler) is handler


def test_two_routes_need_two_names() -> None:
    app = App("a")
    app.on(A)(handler)
    with pytest.raises(WiringError, match="app 'a' has a route 'handler' already; give this one another name="):
        app.on(A)(handler)
    app.on(A, name="other")(handler)
    assert set(app.routes) == {"handler", "other"}


def test_two_event_types_of_one_name_are_refused() -> None:
    class Other(Event, type="A"):
        pass

    class Fake(Event, type="RunFailed"):
        pass

    def of_other(event: Other) -> None: ...

    app = App("a")
    app.on(A)(handler)
    with pytest.raises(WiringError, match=r"two event types are called 'A'; give one another name, type="):
        app.on(Other)(lambda event: None)
    with pytest.raises(WiringError, match="two event types are called 'RunFailed'"):
        app.on(Fake)(lambda event: None)
    app.on(RunFailed)(of_failures)


def test_an_option_that_is_not_known_names_the_route() -> None:
    with pytest.raises(WiringError, match="route 'handler' has no option 'prio'; did you mean 'priority'"):
        App("a").on(A, prio=3)(handler)  # type: ignore[call-overload]


def test_a_default_of_the_app_holds_for_every_route_that_says_nothing_else() -> None:
    app = App("a", retry=Retry(attempts=9), priority=4)
    app.on(A, name="one")(handler)
    app.on(A, name="two", priority=5)(handler)
    assert [(route.policy.retry.attempts, route.policy.priority) for route in app.routes.values()] == [(9, 4), (9, 5)]


def test_binding_moves_a_folder_and_leaves_the_app_as_it_was(tmp_path: Path) -> None:
    app = App("a", sources=[Folder("x")], outputs=[Folder("y")])
    bound = app.bound({"x": tmp_path, "y": tmp_path / "y"})
    assert bound.places() == {"x": Place(tmp_path, name="x"), "y": Place(tmp_path / "y")}
    assert app.places() == {"x": Place("x"), "y": Place("y")}
    with pytest.raises(WiringError, match="app 'a' has no place 'xx' to bind; did you mean 'x'"):
        app.bound({"xx": tmp_path})


def test_a_folder_is_bound_to_a_folder_and_to_no_other_url(tmp_path: Path) -> None:
    app = App("a", sources=[Folder("x")])
    assert app.bound({"x": f"{(tmp_path / 'a b').as_uri()}"}).places()["x"].path == tmp_path / "a b"
    assert app.bound({"x": "odd/s3://acme"}).places()["x"].path == Path("odd/s3://acme")
    for place in ("gs://b", "https://a.b/c", "file://host/c"):
        with pytest.raises(WiringError, match=f"'x' cannot be bound to {place}; bind it to a folder or to a bucket"):
            app.bound({"x": place})


def test_a_folder_that_is_bound_to_a_bucket_is_a_bucket_and_the_other_way_round(tmp_path: Path) -> None:
    app = App("a", sources=[Folder("x", deletions=True, ignore=["*.log"])], outputs=[Bucket("s3://acme/y")])
    bound = app.bound({"x": "s3://acme/raw", "y": tmp_path})
    source, output = bound.sources["x"], bound.outputs["y"]
    assert isinstance(source, Bucket)
    assert (source.uri, source.name, source.deletions, source.ignore) == ("s3://acme/raw/", "x", True, ("*.log",))
    assert isinstance(output, Folder)
    assert (output.path, output.name) == (tmp_path, "y")
    assert app.bound({"x": "s3://acme/100%2541%3F/"}).places()["x"].uri == "s3://acme/100%2541%3F/"
    assert [place.uri for place in bound.places().values()] == ["s3://acme/raw/", tmp_path.as_uri()]
    back = bound.bound({"x": tmp_path}).sources["x"]
    assert isinstance(back, Folder)
    assert (back.deletions, back.ignore) == (True, ("*.log",))


def test_what_a_bucket_cannot_honour_is_refused_where_a_folder_is_bound_to_one() -> None:
    with pytest.raises(WiringError, match="'x' cannot be bound to s3://acme/raw: marker='_SUCCESS' is for folders"):
        App("a", sources=[Folder("x", marker="_SUCCESS")]).bound({"x": "s3://acme/raw"})


@pytest.mark.parametrize(
    ("where", "queue", "url"),
    [
        ("orders-staging", "orders-staging", None),
        ("orders-staging.fifo", "orders-staging.fifo", None),
        ("http://localhost:4566/000000000000/mine", "mine", "http://localhost:4566/000000000000/mine"),
        (
            "arn:aws:sqs:eu-west-1:123456789012:theirs",
            "theirs",
            "https://sqs.eu-west-1.amazonaws.com/123456789012/theirs",
        ),
        (
            "arn:aws-cn:sqs:cn-north-1:123456789012:theirs.fifo",
            "theirs.fifo",
            "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/theirs.fifo",
        ),
    ],
)
def test_a_queue_is_bound_to_another_one_by_its_name_its_url_or_its_arn(
    where: str, queue: str, url: str | None
) -> None:
    app = App("a", sources=[Queue("orders", url="https://sqs.eu-west-1.amazonaws.com/1/orders")])
    bound = app.bound({"orders": where}).sources["orders"]
    assert isinstance(bound, Queue)
    assert (bound.name, bound.queue, bound.url) == ("orders", queue, url)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "/data/orders",
            "queue 'orders' cannot be bound to /data/orders; bind it to another queue, by its name, URL or ARN",
        ),
        ("s3://acme/orders", "queue 'orders' cannot be bound to s3://acme/orders"),
        ("arn:aws:sns:eu-west-1:123456789012:orders", "queue 'orders' cannot be bound to arn:aws:sns"),
        ("other", "queue 'orders' cannot be bound to other: it keeps the order of its messages"),
        ("arn:aws:sqs:eu-west-1:123456789012:other", "it keeps the order of its messages, and a queue without .fifo"),
    ],
)
def test_a_queue_is_bound_to_nothing_else_and_an_ordered_one_to_none_without_order(where: str, said: str) -> None:
    with pytest.raises(WiringError, match=said):
        App("a", sources=[Queue("orders.fifo")]).bound({"orders": where})


def test_the_environment_binds_queues_as_it_binds_places(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("a", sources=[Queue("new-orders", name="orders")])
    monkeypatch.setenv("TRIGGERS_BIND_ORDERS", "staging")
    assert from_environment(app) == {"orders": "staging"}
    monkeypatch.setenv("TRIGGERS_BIND_ORDRES", "staging")
    with pytest.raises(WiringError, match="no place of that name to bind; did you mean 'TRIGGERS_BIND_ORDERS'"):
        from_environment(app)


def test_two_places_that_one_variable_would_bind_are_refused(tmp_path: Path) -> None:
    app = App("a", sources=[Folder(tmp_path / "a", name="raw-data"), Folder(tmp_path / "b", name="raw_data")])
    with pytest.raises(WiringError, match="'raw-data' and 'raw_data' would both be bound by TRIGGERS_BIND_RAW_DATA"):
        from_environment(app)


def test_sending_is_durable_before_it_returns(tmp_path: Path) -> None:
    App("a").send(A(n=1), A(n=2), state=tmp_path / "state")
    (batch,) = (tmp_path / "state" / "inbox").glob("*.jsonl")
    lines = [json.loads(text) for text in batch.read_text().splitlines()]
    told = [(line["type"], line["source"], line["data"]) for line in lines]
    assert told == [("A", "send", {"n": 1}), ("A", "send", {"n": 2})]
    assert len({line["id"] for line in lines}) == 2
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert batch.stat().st_mode & 0o777 == 0o600


def test_nothing_is_handed_in_when_one_event_cannot_be_accepted(tmp_path: Path) -> None:
    class Text(Event):
        text: str

    with pytest.raises(EventError, match="over the limit"):
        App("a").send(A(), Text(text="x" * 300_000), state=tmp_path / "s")
    assert not list(tmp_path.glob("s/inbox/*"))


def test_sending_in_a_function_is_refused_as_nobody_reads_what_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "churn-all")
    with pytest.raises(WiringError, match=r"in function 'churn-all' of Lambda .* return the event from the handler"):
        App("a").send(A(), state=tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_sending_in_a_job_is_refused_as_its_folder_ends_with_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGERS_JOB", "train")
    with pytest.raises(WiringError, match=r"in the job of route 'train' .* return the event from the handler"):
        App("a").send(A(), state=tmp_path / "state")
    assert not list(tmp_path.iterdir())


def test_sending_to_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StateError, match=r"is not a state folder: it holds 'thesis.tex'; name an empty one"):
        App("a").send(A(), state=tmp_path)


def test_the_state_folder_is_named_by_the_environment_or_by_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIGGERS_STATE", raising=False)
    assert default_state("a") == Path(".triggers/a")
    monkeypatch.setenv("TRIGGERS_STATE", "/var/x")
    assert default_state("a") == Path("/var/x")


def test_the_event_types_of_an_app_are_those_that_its_routes_take_and_emit() -> None:
    class B(Event):
        pass

    app = App("a")

    @app.on(A, emits={B})
    def one(event: A) -> None: ...

    @app.on(every(minutes=1))
    def two(event: Event) -> None: ...

    assert set(app.event_types()) == {"A", "B", "Tick"}


@pytest.mark.parametrize("trigger", ["nope", 5, None])
def test_a_trigger_that_is_neither_a_type_nor_a_schedule_is_refused(trigger: object) -> None:
    with pytest.raises(WiringError, match=r"triggers nothing; write @app.on\(EventType\)"):
        App("a").on(trigger)  # type: ignore[call-overload]


def test_several_triggers_at_once_are_refused() -> None:
    with pytest.raises(WiringError, match=r"app 'churn': @app.on takes one trigger, and not 2; register the handler"):
        App("churn").on(A, RunFailed)  # type: ignore[call-overload]  # that is the mistake


@pytest.mark.parametrize("where", [lambda event: True, 3, ["a"]])
def test_a_condition_that_is_no_pattern_is_refused(where: Any) -> None:
    with pytest.raises(WiringError, match=r"route 'handler': where=.* is no pattern; write fields and values"):
        App("churn").on(A, where=where)(handler)


def test_a_decorator_that_was_not_called_names_the_handler() -> None:
    with pytest.raises(WiringError, match=r"@app.on above 'handler' does not say what triggers it; write @app.on\(Ev"):
        App("a").on(handler)  # type: ignore[call-overload]


def test_the_base_of_all_events_is_no_trigger() -> None:
    def handler(event: Event) -> None: ...

    with pytest.raises(WiringError, match="on Event itself, which nobody sends"):
        App("a").on(Event)(handler)
