from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from triggers import (
    App,
    Bucket,
    Event,
    Folder,
    ObjectCreated,
    ObjectDeleted,
    Prices,
    RunFailed,
    anything_but,
    at,
    every,
    prefix,
)
from triggers.check.graph import check, check_here, refuse
from triggers.check.wiring import Wiring
from triggers.errors import WiringError


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


class SubB(B):
    pass


def to_a(event: Event) -> A: ...  # type: ignore[empty-body]
def to_b(event: Event) -> B: ...  # type: ignore[empty-body]
def to_c(event: Event) -> C: ...  # type: ignore[empty-body]
def to_none(event: Event) -> None: ...


def app_of(*routes: tuple[Any, Any, dict[str, Any]], **options: Any) -> App:
    options = {"sources": [Folder("in")], "outputs": [Folder("out")], **options}
    app = App("a", **options)
    for handler, trigger, policy in routes:
        app.on(trigger, **policy)(handler)
    return app


def errors(app: App) -> list[str]:
    return [problem.message for problem in check(app) if problem.error]


def warnings(app: App) -> list[str]:
    return [problem.message for problem in check(app) if not problem.error]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"reads": {"inn"}}, "route 'to_none': reads= names 'inn', which is no place of the app; did you mean 'in'?"),
        ({"writes": {"x"}}, "route 'to_none': writes= names 'x', which is no place of the app; known: in, out"),
        ({"source": "inn"}, "route 'to_none': source='inn' is no source of the app; did you mean 'in'?"),
        ({"source": "out"}, "route 'to_none': source='out' is no source of the app; known: in"),
        (
            {"needs": {"gpus": 1}},
            "route 'to_none' needs 'gpus', which the app does not have; did you mean 'gpu'?;"
            " App(resources={'gpus': ...}) says how much there is",
        ),
        (
            {"needs": {"gpu": 3}},
            "route 'to_none' needs 3 gpu, but there is only 2; ask for less, or App(resources={'gpu': ...}) says how"
            " much there is",
        ),
        (
            {"needs": {"thread": 1}},
            "route 'to_none' needs 'thread', which the app does not have; known: cpu, gpu, memory;"
            " App(resources={'thread': ...}) says how much there is",
        ),
    ],
)
def test_a_route_that_names_what_is_not_there_is_an_error(policy: Any, message: str) -> None:
    app = app_of((to_none, A, policy), resources={"gpu": 2})
    assert errors(app) == [message]
    with pytest.raises(WiringError) as caught:
        refuse(app)
    assert str(caught.value) == message


def test_a_weight_that_no_route_counts_for_is_an_error_and_a_near_miss_beside_keys_a_warning() -> None:
    reports = (to_none, A, {"share": "reports"})
    assert errors(app_of(reports, shares={"reprots": 2})) == [
        "app 'a': shares= weighs 'reprots', which no route counts for; did you mean 'reports'?; take it out, or have a"
        " route count for it: share='reprots'"
    ]
    by_key = (to_none, ObjectCreated, {"share": True, "key": "key", "name": "by_key"})
    app = app_of(reports, by_key, shares={"reprots": 2, "acme": 2, "reports": 3})
    assert (errors(app), warnings(app)) == (
        [],
        ["app 'a': shares= weighs 'reprots', which only a run with that key counts for; did you mean 'reports'?"],
    )


@pytest.mark.parametrize(("memory", "refused"), [("20MiB", True), ("28MiB", False), ("32MiB", None)])
def test_memory_that_can_hold_no_interpreter_is_an_error_and_hardly_one_a_warning(
    memory: str, refused: bool | None
) -> None:
    app = app_of((to_none, A, {"isolate": True, "needs": {"memory": memory}}))
    message = (
        "route 'to_none': a process has some 20MiB before it imports the handler, and is killed when it has more than"
        f" needs={{'memory': '{memory}'}}: declare 32MiB or more; `triggers profile` says what its runs take"
    )
    assert errors(app) == ([message] if refused else [])
    assert warnings(app) == ([message] if refused is False else [])
    assert errors(app_of((to_none, A, {"needs": {"memory": "1MiB"}}))) == []


def test_all_errors_are_told_at_once() -> None:
    app = app_of((to_none, A, {"reads": {"x"}}), (to_b, A, {"needs": {"y": 1}}))
    with pytest.raises(WiringError, match=r"reads= names 'x'.*\n.*needs 'y'"):
        refuse(app)


def test_a_handler_that_writes_where_it_is_triggered_is_refused_unless_it_is_allowed() -> None:
    message = (
        "route 'to_none' writes to 'in', which triggers it again for ever; write somewhere else,"
        " or say allow_loops={'in'} if its where= never matches what it writes"
    )
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}}))) == [message]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in", "out"}, "source": "in"}))) == [message]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}, "allow_loops": {"in"}}))) == []
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in", "out"}, "allow_loops": {"in"}}))) == []
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"out"}}))) == []


def test_a_route_that_listens_to_another_folder_does_not_loop() -> None:
    sources = [Folder("in"), Folder("raw")]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}, "source": "raw"}), sources=sources)) == []


def test_two_routes_that_write_for_each_other_go_round() -> None:
    sources = [Folder("in"), Folder("raw")]
    one = (to_none, ObjectCreated, {"writes": {"in"}, "source": "raw", "name": "one"})
    two = (to_none, ObjectCreated, {"writes": {"raw"}, "source": "in", "name": "two"})
    (found,) = errors(app_of(one, two, sources=sources))
    assert found.startswith("the routes one -> two -> one go round for ever; give one of them max_depth=")
    two[2]["allow_loops"] = {"raw"}
    assert errors(app_of(one, two, sources=sources)) == []


def test_a_cycle_of_event_types_needs_a_bound() -> None:
    cycle = [(to_b, A, {}), (to_c, B, {}), (to_a, C, {})]
    (found,) = errors(app_of(*cycle))  # one error for one cycle
    assert found.startswith("the routes to_b -> to_c -> to_a -> to_b go round for ever")
    cycle[1] = (to_c, B, {"max_depth": 3})
    assert errors(app_of(*cycle)) == []


def test_a_route_that_emits_its_own_trigger_goes_round() -> None:
    assert len(errors(app_of((to_a, A, {})))) == 1
    assert errors(app_of((to_a, A, {"max_depth": 2}))) == []


def test_two_separate_cycles_are_two_errors() -> None:
    assert len(errors(app_of((to_a, A, {}), (to_b, B, {})))) == 2


def test_a_long_way_back_is_found_whatever_side_ways_there_are() -> None:
    app = app_of((to_b, A, {}), (to_c, B, {"name": "side"}), (to_c, B, {}), (to_b, C, {"name": "back"}))
    assert len(errors(app)) == 1


def test_an_isolated_handler_must_be_one_that_another_process_can_import() -> None:
    def local(event: Event) -> None: ...

    (found,) = errors(app_of((local, A, {"timeout": 3})))
    assert "must be at the top level of a module" in found
    assert errors(app_of((to_none, A, {"timeout": 3}))) == []


def unsaid(event: A): ...  # type: ignore[no-untyped-def]  # that is what is warned of
async def unsaid_too(event: A): ...  # type: ignore[no-untyped-def]  # the same


@pytest.mark.parametrize("handler", [unsaid, unsaid_too, lambda event: None])
def test_a_handler_that_does_not_say_what_it_returns_is_warned_of(handler: Any) -> None:
    route, name = handler.__name__, handler.__qualname__
    [said] = warnings(app_of((handler, A, {})))
    assert said == (
        f"route {route!r}: handler {name} has no return annotation; write -> None, or the events that it returns"
    )


def test_what_a_handler_emits_may_be_said_by_the_route_alone() -> None:
    assert warnings(app_of((unsaid, A, {"emits": {B}}), (to_none, B, {}))) == []


def test_what_nobody_handles_is_only_a_warning() -> None:
    assert warnings(app_of((to_b, A, {}))) == ["route 'to_b' emits B, which no route handles"]
    assert warnings(app_of((to_none, ObjectCreated, {}), sources=[])) == [
        "route 'to_none' waits for ObjectCreated, but the app has no source"
    ]
    assert warnings(app_of()) == ["app 'a' has no routes; register a handler with @app.on(...)"]


def test_errors_come_before_warnings() -> None:
    found = check(app_of((to_b, A, {"reads": {"x"}})))
    assert [problem.error for problem in found] == [True, False]
    assert str(found[1]).startswith("warning: ")


def test_a_route_leads_to_those_of_its_types_and_of_the_places_that_it_writes() -> None:
    app = app_of((to_b, A, {"writes": {"in"}}), (to_none, B, {}), (to_none, ObjectCreated, {"name": "files"}))
    assert [route.name for route in Wiring(app).following(app.routes["to_b"])] == ["to_none", "files"]


def test_an_output_that_contains_a_watched_folder_is_warned_of() -> None:
    folders: dict[str, Any] = {"sources": [Folder("data/in")], "outputs": [Folder("data")]}
    listener = (to_none, ObjectCreated, {"name": "files"})
    writer = (to_none, A, {"writes": {"data"}})
    assert warnings(app_of(writer, listener, **folders)) == [
        "route 'to_none' writes to 'data', which contains the watched folder 'in': what it writes in there triggers"
        " 'files'; write somewhere else, or say allow_loops={'in'}"
    ]
    assert warnings(app_of(writer, **folders)) == []
    writer[2]["allow_loops"] = {"in"}
    assert warnings(app_of(writer, listener, **folders)) == []


def test_a_failure_that_leads_back_to_the_handler_of_failures_is_warned_of() -> None:
    def repair(where: Any, **policy: Any) -> list[str]:
        repairing = (to_a, RunFailed, {"name": "repair", "where": where, **policy})
        return warnings(app_of(repairing, (to_b, A, {}), (to_none, B, {"name": "last"})))

    (found,) = repair(None)
    assert found == (
        "route 'repair' handles failures and leads to 'to_b' (repair -> to_b), whose failure leads back to it;"
        " give one of them max_depth=, or say where={'route': anything_but('to_b')}"
    )
    assert "(repair -> to_b -> last)" in repair({"route": anything_but("to_b")})[0]
    assert repair({"route": anything_but("to_b", "last")}) == []
    assert repair({"event_type": "C"}) == []
    assert len(repair({"message": prefix("disk")})) == 1
    assert repair(None, max_depth=3) == []


def test_a_handler_of_failures_alone_is_fine() -> None:
    assert warnings(app_of((to_none, RunFailed, {}), (to_none, A, {"name": "other"}))) == []
    assert warnings(app_of((to_none, RunFailed, {"emits": {RunFailed}}))) == []  # its failure makes no event


def test_a_base_type_that_is_emitted_for_a_subclass_is_warned_of() -> None:
    assert warnings(app_of((to_b, A, {}), (to_none, SubB, {"name": "sub"}), (to_none, B, {"name": "base"}))) == [
        "route 'to_b' emits B, but 'sub' waits for its subclass SubB, which no route emits; name it where it is"
        " returned, as in -> B | SubB"
    ]
    named = [(to_b, A, {"emits": {SubB}}), (to_none, SubB, {"name": "sub"}), (to_none, B, {"name": "base"})]
    assert warnings(app_of(*named)) == []


def test_the_base_of_all_events_is_nothing_to_emit() -> None:
    assert errors(app_of((to_none, A, {"emits": {Event}}))) == [
        "route 'to_none': emits= holds Event itself, which says nothing; name its types"
    ]


def test_a_source_folder_that_is_not_there_is_told_for_this_machine(tmp_path: Path) -> None:
    app = app_of((to_none, ObjectCreated, {}), sources=[Folder(tmp_path / "in"), Folder(tmp_path / "file")])
    (tmp_path / "file").touch()
    missing, wrong = [str(problem) for problem in check_here(app, 0.0)]
    assert missing == (
        f"warning: folder {tmp_path}/in (source 'in') does not exist; create it or bind the source elsewhere with"
        " --bind in=PATH"
    )
    assert "(source 'file') is not a folder; name the one that it lies in or bind" in wrong
    for name in ("in", "other"):
        (tmp_path / name).mkdir()
    assert check_here(app.bound({"file": tmp_path / "other"}), 0.0) == []


def test_a_price_list_that_will_not_do_is_an_error_and_one_that_is_missing_or_has_ended_a_warning(
    tmp_path: Path,
) -> None:
    file = tmp_path / "prices.csv"
    app = app_of((to_none, A, {"price": Prices(file)}), sources=[])
    assert [str(problem) for problem in check_here(app, 0.0)] == [
        f"warning: route 'to_none': its price list {file} does not exist; write it there"
    ]
    file.write_text("0,1\n60,dear\n")
    (found,) = check_here(app, 0.0)
    assert found.error
    assert found.message.startswith(f"route 'to_none': {file}, line 2: '60,dear' is no moment with a price")
    file.write_text("0,1\n60,2\n")
    assert check_here(app, 119.0) == []
    assert [str(problem) for problem in check_here(app, 120.0)] == [
        f"warning: route 'to_none': its price list {file} ends at 1970-01-01T00:02:00+00:00, so that nothing waits for"
        " a price; add those to come"
    ]


def test_a_schedule_that_is_over_is_told() -> None:
    app = app_of(
        (to_none, at("2026-01-01T03:00:00"), {"name": "once"}), (to_none, every(days=1), {"name": "daily"}), sources=[]
    )
    new_year = 1_767_236_400.0
    assert check_here(app, new_year - 1) == []
    (found,) = check_here(app, new_year)
    assert found.message == (
        "route 'once': at(2026-01-01T03:00:00+00:00) has passed; it fires once where the app knew of it before and was"
        " not running then, and never in a new state folder"
    )


def test_a_state_folder_among_the_watched_files_is_refused(tmp_path: Path) -> None:
    app = app_of((to_none, ObjectCreated, {}), sources=[Folder(tmp_path, name="in", ignore=["old-*"])])
    for state in (tmp_path, tmp_path / "state", tmp_path / "deep" / "state"):
        with pytest.raises(
            WiringError, match=rf"the state folder {state} lies in the watched folder 'in' \({tmp_path}\)"
        ):
            refuse(app, state)
    refuse(app, tmp_path / "old-1" / "state")
    refuse(app, tmp_path.parent / "state")
    with pytest.raises(WiringError, match=r"\(source 'in'\) does not exist"):
        refuse(app.bound({"in": tmp_path / "nowhere"}), tmp_path / "state")


def test_a_watched_folder_inside_another_is_refused_unless_the_outer_one_ignores_it(tmp_path: Path) -> None:
    def start(*folders: Folder) -> None:
        for folder in folders:
            folder.path.mkdir(exist_ok=True)
        refuse(app_of((to_none, ObjectCreated, {}), sources=folders, outputs=[]), tmp_path.parent / "state")

    outer, inner = Folder(tmp_path, name="all"), Folder(tmp_path / "sub", name="some")
    message = (
        rf"^the watched folder 'some' \({inner.path}\) lies in the watched folder 'all' \({outer.path}\), so each of"
        r" its files would be told twice; watch one of them, or have 'all' ignore it: ignore=\[\*IGNORED, 'sub'\]$"
    )
    for folders in ((outer, inner), (inner, outer)):
        with pytest.raises(WiringError, match=message):
            start(*folders)
    start(Folder(tmp_path, name="all", ignore=["sub"]), inner)
    start(inner, Folder(tmp_path / "subway"))


def test_a_watched_prefix_inside_another_is_refused_unless_the_outer_one_ignores_it() -> None:
    def start(*buckets: Bucket) -> None:
        refuse(app_of((to_none, ObjectCreated, {}), sources=buckets, outputs=[]), Path("state"))

    outer, inner = Bucket("s3://acme/raw", name="all"), Bucket("s3://acme/raw/a%20b/sub", name="some")
    message = (
        r"^the watched bucket 'some' \(s3://acme/raw/a b/sub/\) lies in the watched bucket 'all' \(s3://acme/raw/\), so"
        r" each of its objects would be told twice; watch one of them, or have 'all' ignore it:"
        r" ignore=\[\*IGNORED, 'sub'\]$"
    )
    for buckets in ((outer, inner), (inner, outer)):
        with pytest.raises(WiringError, match=message):
            start(*buckets)
    with pytest.raises(WiringError, match="lies in the watched bucket 'whole'"):
        start(Bucket("s3://acme", name="whole"), outer)
    start(Bucket("s3://acme/raw", name="all", ignore=["a b"]), inner)
    start(outer, Bucket("s3://acme/rawer"), Bucket("s3://other/raw/sub", name="elsewhere"))


def test_two_sources_on_one_prefix_are_refused_whatever_they_are_called() -> None:
    one, other = Bucket("s3://acme/raw", name="one"), Bucket("s3://acme/raw/", name="other")
    with pytest.raises(
        WiringError, match=r"'one' and 'other' watch one bucket \(s3://acme/raw/\), so each of its objects"
    ):
        refuse(app_of((to_none, ObjectCreated, {}), sources=[one, other], outputs=[]), Path("state"))


def test_two_sources_on_one_folder_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    one, other = Folder(tmp_path, name="one"), Folder(tmp_path, name="other")
    linked = Folder(tmp_path / "link", name="linked", ignore=["*.csv"])
    for first, second, shown in (
        (one, other, f"{tmp_path}"),
        (other, one, f"{tmp_path}"),
        (one, linked, f"{tmp_path} and {tmp_path}/link"),
    ):
        with pytest.raises(WiringError) as caught:
            refuse(app_of((to_none, ObjectCreated, {}), sources=[first, second], outputs=[]), tmp_path.parent / "state")
        assert str(caught.value) == (
            f"the sources {first.name!r} and {second.name!r} watch one folder ({shown}), so each of its files would be"
            " told twice; declare it once, and let the routes choose by where=, as in where={'key': suffix('.csv')}"
        )


def away(day: date) -> bool:
    raise ValueError("calendar server away")


def test_a_schedule_that_does_not_say_when_it_fires_is_told_and_keeps_no_other_from_being_looked_at() -> None:
    app = app_of(
        (to_none, every(days=1, exclude=away), {"name": "closed"}),
        (to_none, at("2026-01-01T03:00:00"), {"name": "once"}),
        sources=[],
    )
    closed, once = check_here(app, 1_767_236_400.0)
    assert str(closed) == (
        "warning: route 'closed': every(1d) except tests.check.test_graph.away does not say when it fires:"
        " ValueError('calendar server away'); an app that runs asks it again every minute"
    )
    assert once.message.startswith("route 'once': at(2026-01-01T03:00:00+00:00) has passed")


def test_a_route_that_writes_into_a_folder_inside_a_watched_one_is_refused() -> None:
    app = app_of(
        (to_none, ObjectCreated, {"writes": {"out"}}), sources=[Folder("data")], outputs=[Folder("data/deep/out")]
    )
    (found,) = errors(app)
    assert found.startswith("route 'to_none' writes to 'out', which triggers it again for ever; write somewhere else")


def test_a_route_for_deletions_that_no_folder_tells_is_warned_of() -> None:
    sources = [Folder("a"), Folder("b", deletions=True)]
    assert warnings(app_of((to_none, ObjectDeleted, {}), sources=sources)) == []
    for listening in (
        app_of((to_none, ObjectDeleted, {}), sources=sources[:1]),
        app_of((to_none, ObjectDeleted, {"source": "a"}), sources=sources),
    ):
        assert warnings(listening) == [
            "route 'to_none' waits for ObjectDeleted, which none of its folders tells; declare one with"
            " Folder(..., deletions=True)"
        ]


class Login(Event):
    password: SecretStr


def test_an_event_type_that_declares_a_secret_is_warned_of() -> None:
    (problem,) = check(app_of((to_none, Login, {})))
    assert str(problem) == (
        "warning: event type Login declares a secret in 'password', but events are stored and shown, so one that holds"
        " it is refused; declare text and pass the secret's name"
    )


def test_of_the_cycles_in_a_knot_those_without_a_route_in_common_are_told_at_once() -> None:
    def told(*routes: tuple[Any, Any, dict[str, Any]]) -> list[str]:
        return [message.split(" go round ")[0] for message in errors(app_of(*routes))]

    there, back = (to_b, A, {}), (to_a, B, {"emits": {C}})
    assert told(there, back, (to_a, B, {"name": "other"})) == ["the routes to_b -> to_a -> to_b"]
    assert told(there, back, (to_c, C, {"emits": {A}})) == [
        "the routes to_b -> to_a -> to_b",
        "the routes to_c -> to_c",
    ]
