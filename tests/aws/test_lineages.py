"""What a run writes to a bucket goes on with its chain where it is told, so that a loop over buckets ends."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.aws.deployed import Deployed, batch, record
from tests.sources.site import FakeSite, SiteClock, run
from triggers import App, Bucket, Context, Event, Folder, ObjectCreated
from triggers.aws import bucket as running
from triggers.aws import lineages, names, objects, wire
from triggers.aws.bucket import AT_ONCE, Tracing
from triggers.aws.clients import connected
from triggers.aws.lineages import Question, question
from triggers.engine import Engine
from triggers.errors import TriggersError, WiringError
from triggers.journal.views import open_reader
from triggers.lineage import BUDGET, EventRow, arrived, continued
from triggers.routing import Router
from triggers.sources import Delivery, Lineage
from triggers.state import StateFolder

PATIENCE = 30.0  # seconds; moto answers a few hundred calls a second, and other tests use it, too

MARKS = {"root": "e5", "cause": "r7", "depth": "4", "budget": "9", "route": "schreibt ü", "effect": "a-1-r7"}
LINEAGE = Lineage("a-1", 7, 5, 4, 9)

# --- metadata --------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back() -> None:
    metadata = lineages.written(MARKS)
    assert metadata["triggers-route"] == "schreibt%20%C3%BC"
    assert lineages.read({**metadata, "triggers-sha256": "abc", "theirs": "1"}) == LINEAGE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("root", value)
            for value in ("", "5", "r5", "e0", "e-5", "e05", "e5 ", "e5\n", "e\u0665", f"e{10**18}", "e1.0")
        ],
        *[("cause", value) for value in ("", "e7", "r0", "r07", f"r{10**18}", "r7r7")],
        *[("depth", value) for value in ("", "0", "-1", "04", "1e3", "NaN", "0x4", str(10**9), "\u0664")],
        *[("budget", value) for value in ("", "-1", "09", str(BUDGET + 1), "9" * 50, "nine", "True")],
        *[("effect", value) for value in ("", "r7", "a-1-r8", "a-1", "a-1-r7 ")],
    ],
)
def test_metadata_that_no_run_could_have_written_is_no_lineage(name: str, value: str) -> None:
    assert lineages.read({**lineages.written(MARKS), f"triggers-{name}": value}) is None


@pytest.mark.parametrize("name", ["root", "cause", "depth", "budget", "effect"])
def test_metadata_that_says_only_part_of_it_is_no_lineage(name: str) -> None:
    assert lineages.read(lineages.written({key: value for key, value in MARKS.items() if key != name})) is None


def test_the_largest_numbers_of_ours_are_read() -> None:
    most = 10**18 - 1
    marks = {
        "root": f"e{most}",
        "cause": f"r{most}",
        "depth": "999999999",
        "budget": f"{BUDGET}",
        "effect": f"j-r{most}",
    }
    assert lineages.read(lineages.written(marks)) == Lineage("j", most, most, 999_999_999, BUDGET)


def created(uri: str, version: str = "abc") -> str:
    return json.dumps({"key": "0", "uri": uri, "size": 1, "version": version})


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        created("file:///acme/raw/a"),
        created("s3://other/raw/a"),
        created("s3://acme/"),
        created("s3://acme/rawer/a"),
        created("s3://acme"),
        '{"uri": 5, "version": "1"}',
        '{"uri": "s3://acme/raw/a"}',
    ],
)
def test_nobody_is_asked_about_what_is_no_object_of_the_source(data: str) -> None:
    assert question(data, Bucket("s3://acme/raw")) is None


def test_an_object_is_asked_for_by_its_version_and_where_there_is_none_its_etag_is_compared() -> None:
    plain = question(created("s3://acme/raw/a%20b"), Bucket("s3://acme/raw"))
    versioned = question(created("s3://acme/raw/a?versionId=v%2B1", "v+1"), Bucket("s3://acme/raw"))
    assert plain == Question({"Bucket": "acme", "Key": "raw/a b"}, "abc")
    assert versioned == Question({"Bucket": "acme", "Key": "raw/a", "VersionId": "v+1"}, "v+1")
    reply = {"ETag": '"abc"', "Metadata": lineages.written(MARKS)}
    assert plain.answered(reply) == versioned.answered(reply) == LINEAGE
    assert plain.answered({**reply, "ETag": '"newer"'}) is None
    assert plain.answered({"ETag": '"abc"'}) is None


# --- what an event goes on with --------------------------------------------------------------------------------------


def test_a_chain_of_the_same_journal_is_gone_on_with_and_of_another_one_its_depth_and_budget_are() -> None:
    delivery = Delivery("incoming", "a@1", "ObjectCreated", "{}", 0.0, lineage=LINEAGE)
    ours, theirs = arrived(delivery, 12, 0.0, "a-1"), arrived(delivery, 12, 0.0, "b-2")
    assert (ours.cause, ours.root, ours.depth, ours.budget) == (7, 5, 4, 9)
    assert (theirs.cause, theirs.root, theirs.depth, theirs.budget) == (None, 12, 4, 9)
    delivery.lineage = None
    begun = arrived(delivery, 12, 0.0, "a-1")
    assert (begun.cause, begun.root, begun.depth, begun.budget) == (None, 12, 0, BUDGET)
    assert continued(begun, LINEAGE, "a-1") == ours


def test_only_an_app_that_writes_to_a_bucket_asks(tmp_path: Path) -> None:
    def writing(*outputs: Any, to: set[str]) -> App:
        app = App("a", sources=[Bucket("s3://acme/raw", name="incoming")], outputs=outputs)

        @app.on(ObjectCreated, writes=to)
        def take(event: ObjectCreated) -> None: ...

        return app

    out, folder = Bucket("s3://acme/out", name="out"), Folder(tmp_path, name="out")
    assert writing(out, to={"out"}).writes_objects()
    assert writing(out, to={"incoming"}).writes_objects()
    assert not writing(out, to=set()).writes_objects()
    assert not writing(folder, to={"out"}).writes_objects()
    assert writing(folder, to={"out"}).bound({"out": "s3://acme/out"}).writes_objects()


class Stored(Event):
    pass


class Noted(Event):
    pass


def test_an_event_whose_routes_write_takes_a_share_of_the_budget(tmp_path: Path) -> None:
    app = App("a", outputs=[Folder(tmp_path, name="out")])

    @app.on(Stored, writes={"out"})
    def store(event: Stored) -> None: ...

    @app.on(Noted)
    def note(event: Noted) -> None: ...

    assert Router(app.routes.values()).leading == {"Stored"}


# --- asking many at once ---------------------------------------------------------------------------------------------


def failed(status: int) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": str(status), "Message": "no"}, "ResponseMetadata": metadata}, "HeadObject")


class Heads:
    """S3, as far as heads of objects go: what it answers by key, and how many it is asked for at once."""

    why: Exception | None = None
    """What it says of an object's first byte, which it is asked for where a head was refused without a reason."""

    def __init__(self, **failures: Exception) -> None:
        self.asked: list[str] = []
        self.most = 0
        self._now = 0
        self._failures = failures

    async def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.asked.append(Key)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(0)
            if error := self._failures.get(Key):
                raise error
            return {"ETag": '"abc"', "Metadata": lineages.written({**MARKS, "depth": Key.removeprefix("k")})}
        finally:
            self._now -= 1

    async def get_object(self, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        raise self.why or self._failures[Key]


def told(number: int, kind: str = "ObjectCreated") -> Delivery:
    return Delivery("acme", f"{number}", kind, created(f"s3://acme/k{number}"), 0.0)


def traced(heads: Heads, *deliveries: Delivery) -> list[Delivery]:
    return run(Tracing(Bucket("s3://acme"), heads).traced([*deliveries]))


def test_a_page_is_asked_for_some_at_a_time_and_each_object_once() -> None:
    heads = Heads()
    batch = traced(heads, *(told(number) for number in range(1, 101)))
    assert [delivery.lineage.depth for delivery in batch if delivery.lineage] == [*range(1, 101)]
    assert (sorted(heads.asked), heads.most) == (sorted(f"k{number}" for number in range(1, 101)), AT_ONCE)


def test_what_is_deleted_is_not_asked_for() -> None:
    heads = Heads()
    [delivery] = traced(heads, told(1, "ObjectDeleted"))
    assert (delivery.lineage, heads.asked, traced(heads)) == (None, [], [])


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (404, r"which run wrote 'k[12]', and others, is not known: it is gone \(404\)"),
        (403, r"access denied \(403\): it is gone, or s3:GetObject, .* is not allowed on it; allow it, or no loop"),
        (400, r"S3 refused to say it \(400\); no loop over such objects is seen"),
    ],
)
def test_what_s3_would_not_say_is_said_once_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture, status: int, why: str
) -> None:
    batch = traced(Heads(k1=failed(status), k2=failed(status)), *(told(number) for number in (1, 2, 3)))
    assert [delivery.lineage and delivery.lineage.depth for delivery in batch] == [None, None, 3]
    [said] = caplog.messages
    assert said.startswith("bucket 'acme': ")
    assert caplog.records[0].levelname == "WARNING"
    assert re.search(why, said)


@pytest.mark.parametrize("error", [failed(503), failed(429), failed(500), ConnectionError("cut")])
def test_what_may_pass_by_itself_is_raised_so_that_all_comes_again(error: Exception) -> None:
    with pytest.raises((TriggersError, ConnectionError)):
        traced(Heads(k1=error), told(1), told(2))


def test_credentials_that_have_expired_are_not_taken_for_an_object_that_says_nothing() -> None:
    heads = Heads(k1=failed(400))
    metadata: Any = {"HTTPStatusCode": 400}
    said = {"Error": {"Code": "ExpiredToken", "Message": "The token has expired"}, "ResponseMetadata": metadata}
    heads.why = ClientError(said, "GetObject")
    with pytest.raises(TriggersError, match="bucket 'acme': the credentials have expired"):
        traced(heads, told(1))


def test_an_object_in_another_region_that_nobody_names_is_said_to_be() -> None:
    lost = HTTPClientError(error=RecursionError("maximum recursion depth exceeded"))
    with pytest.raises(WiringError, match=r"bucket 'acme' is in another region, .* set AWS_REGION to that"):
        traced(Heads(k1=lost), told(1))


# --- with a dispatcher -----------------------------------------------------------------------------------------------


class Buckets:
    """Two buckets of the test's own, `a` and `b`, which tell the queues of the sources of these names."""

    def __init__(self, unique: str) -> None:
        self.s3, self._sqs = boto3.client("s3"), boto3.client("sqs")
        self.names = {name: f"{unique}-{name}" for name in "ab"}
        for bucket in self.names.values():
            self.s3.create_bucket(Bucket=bucket)

    def source(self, name: str) -> Bucket:
        return Bucket(f"s3://{self.names[name]}/in", name=name)

    def heard_by(self, app: str, name: str) -> None:
        """Have a bucket tell the queue of an app's source."""
        url = self._sqs.create_queue(QueueName=names.source_queue(app, name))["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.s3.put_bucket_notification_configuration(
            Bucket=self.names[name],
            NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
            SkipDestinationValidation=True,
        )

    def put(self, name: str, key: str = "0", marks: Mapping[str, str] | None = None) -> None:
        metadata = lineages.written(marks or {})
        self.s3.put_object(Bucket=self.names[name], Key=f"in/{key}", Body=key.encode(), Metadata=metadata)

    def notice(self, name: str, key: str = "0") -> str:
        """Return what S3 tells of an object that is there."""
        etag = self.s3.head_object(Bucket=self.names[name], Key=f"in/{key}")["ETag"].strip('"')
        thing = {"key": quote(f"in/{key}"), "size": 1, "eTag": etag, "sequencer": "0055AED6"}
        about = {"bucket": {"name": self.names[name]}, "object": thing}
        told = {"eventVersion": "2.3", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": about}
        return json.dumps({"Records": [{**told, "eventTime": "2027-01-15T08:00:00.000Z"}]})


@pytest.fixture
def buckets(endpoint: str, unique: str, monkeypatch: pytest.MonkeyPatch) -> Buckets:
    monkeypatch.setattr("triggers.aws.polling.GLANCE", 0)  # moto has one server, and a second is long
    return Buckets(unique)


def hop(event: ObjectCreated, ctx: Context) -> None:
    """Write to the other bucket what was never written before."""
    [out] = ctx.writes
    key = str(int(event.key) + 1)
    with ctx.place(out).output(key) as file:
        file.write(key.encode())


def looping(name: str, buckets: Buckets, *hops: str, most: int = 4) -> App:
    """Return an app with routes from one bucket to another one: `"ab"` takes from `a` and writes to `b`."""
    heard, written = [one[0] for one in hops], [one[1] for one in hops]
    outputs = [buckets.source(name) for name in written if name not in heard]
    app = App(name, sources=[buckets.source(name) for name in heard], outputs=outputs)
    for one in hops:
        app.on(ObjectCreated, source=one[0], writes={one[1]}, max_depth=most, name=one)(hop)
    return app


async def until_dead(buckets: Buckets, *engines: Engine) -> None:
    """Put an object into the first bucket, and wait until a run of one of the apps is dead."""
    await asyncio.to_thread(buckets.put, "a")
    while not any(engine.dispatcher.counts["dead"] for engine in engines):
        await asyncio.wait(
            [asyncio.ensure_future(engine.dispatcher.pipeline.changed()) for engine in engines],
            return_when=asyncio.FIRST_COMPLETED,
        )


OBJECTS = "FROM event WHERE type = 'ObjectCreated' ORDER BY number"


def journal(state: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = open_reader(StateFolder(state))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def test_a_loop_over_two_buckets_ends_in_the_dead_letters_as_one_chain(
    buckets: Buckets, unique: str, tmp_path: Path
) -> None:
    for name in "ab":
        buckets.heard_by(unique, name)

    async def main() -> None:
        app = looping(unique, buckets, "ab", "ba")
        async with asyncio.timeout(PATIENCE), Engine(app, StateFolder(tmp_path)) as engine:
            await until_dead(buckets, engine)

    asyncio.run(main())
    chain = journal(tmp_path, f"SELECT number, source, cause, root, depth, budget {OBJECTS}")
    runs = dict(journal(tmp_path, "SELECT event, number FROM run"))
    first = chain[0][0]
    before = [None, *(runs[number] for number, *_ in chain[:-1])]
    assert chain == [
        (number, "ab"[depth % 2], cause, first, depth, BUDGET - depth)
        for depth, (number, cause) in enumerate(zip([number for number, *_ in chain], before, strict=True))
    ]
    assert len(chain) == 6
    [error] = journal(tmp_path, "SELECT error FROM run WHERE error IS NOT NULL")
    assert error == (f"Reject: ObjectCreated is 5 runs below e{first}, the bound is 4 (max_depth=)",)


def test_a_loop_over_two_buckets_and_two_apps_ends_in_the_dead_letters(
    buckets: Buckets, unique: str, tmp_path: Path
) -> None:
    one, two = looping(f"{unique}-one", buckets, "ab"), looping(f"{unique}-two", buckets, "ba")
    buckets.heard_by(one.name, "a")
    buckets.heard_by(two.name, "b")

    async def main() -> None:
        states = StateFolder(tmp_path / "one"), StateFolder(tmp_path / "two")
        async with asyncio.timeout(PATIENCE), Engine(one, states[0]) as first, Engine(two, states[1]) as second:
            await until_dead(buckets, first, second)

    asyncio.run(main())
    sql = f"SELECT depth, cause, root = number {OBJECTS}"
    assert journal(tmp_path / "one", sql) == [(0, None, 1), (2, None, 1), (4, None, 1)]
    assert journal(tmp_path / "two", sql) == [(1, None, 1), (3, None, 1), (5, None, 1)]
    [(error,)] = journal(tmp_path / "two", "SELECT error FROM run WHERE error IS NOT NULL")
    assert re.fullmatch(r"Reject: ObjectCreated is 5 runs below e\d+, the bound is 4 \(max_depth=\)", error)


def test_a_dispatcher_asks_only_where_its_app_writes_to_a_bucket(buckets: Buckets) -> None:
    buckets.put("a", marks=MARKS)

    async def first(traces: bool) -> Delivery:
        site = FakeSite(watches=False)
        site.traces = traces
        deliveries = buckets.source("a").deliveries(site)
        site.poke("a")
        async for told in deliveries:
            if told:
                return told[0]
        raise AssertionError

    assert run(first(True)).lineage == LINEAGE
    assert run(first(False)).lineage is None


def test_an_object_is_told_late_and_not_without_its_lineage_where_s3_is_slow_to_say(
    buckets: Buckets, unique: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets.put("a", marks=MARKS)
    buckets.heard_by(unique, "a")
    app, clock, throttled = looping(unique, buckets, "ab"), SiteClock(), [failed(503)]

    class Throttling:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        async def head_object(self, **named: str) -> Any:
            if throttled:
                raise throttled.pop()
            return await self._client.head_object(**named)

    @asynccontextmanager
    async def throttling(service: str) -> AsyncIterator[Any]:
        async with connected(service) as client:
            yield Throttling(client)

    monkeypatch.setattr(running, "connected", throttling)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), Engine(app, StateFolder(tmp_path), clock=clock) as engine:
            with pytest.raises(TriggersError, match=r"source 'a' fails.*AWS answered 503 to HeadObject"):
                await engine.quiet()
            await clock.advance(1.0)
            while not engine.dispatcher.counts["done"] + engine.dispatcher.counts["dead"]:
                await engine.dispatcher.pipeline.changed()

    asyncio.run(main())
    assert journal(tmp_path, "SELECT depth, cause, root = number FROM event") == [(4, None, 1)]


# --- in a function ---------------------------------------------------------------------------------------------------


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that has S3 answer with a status, until it is given none (0); where it is no head, with why."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    objects.forget()
    status, reason = [0], [""]

    def answered(request: Any, **_: Any) -> Any:
        if not status[0]:
            return None
        from botocore.awsrequest import AWSResponse

        class Raw(io.BytesIO):
            def stream(self, **_: Any) -> Iterator[bytes]:
                yield self.read()

        said = f"<Error><Code>{reason[0]}</Code></Error>" if request.method == "GET" else ""
        return AWSResponse("http://refused", status[0], {"x-amz-bucket-region": "us-east-1"}, Raw(said.encode()))

    def refuse(with_status: int, why: str = "") -> None:
        status[0], reason[0] = with_status, why
        for operation in ("HeadObject", "GetObject"):
            event = f"before-send.s3.{operation}"
            objects._client().meta.events.register_first(event, answered, unique_id=f"refusing {operation}")

    yield refuse
    objects.forget()


def of_route(notice: str, route: str) -> dict[str, Any]:
    return batch(record(notice, route=route))


def test_a_loop_over_two_buckets_ends_in_the_dead_letters_of_the_functions(buckets: Buckets) -> None:
    deployed = Deployed(looping("churn", buckets, "ab", "ba"))
    buckets.put("a")
    for depth in range(6):
        route = ("ab", "ba")[depth % 2]
        assert deployed.failures(of_route(buckets.notice(route[0], str(depth)), route)) == []
    chain = sorted((deployed_event(one) for one in deployed.table.records()), key=lambda event: event.depth)
    first = chain[0]
    assert [event.depth for event in chain] == [*range(6)]
    assert [event.root for event in chain] == [first.number] * 6
    assert [event.budget for event in chain] == [BUDGET - depth for depth in range(6)]
    causes = [wire.run_number(event, ("ab", "ba")[event.depth % 2]) for event in chain]
    assert [event.cause for event in chain] == [None, *causes[:-1]]
    [dead] = [one for one in deployed.table.records() if one["state"] == "dead"]
    assert dead["error"] == f"Reject: ObjectCreated is 5 runs below e{first.number}, the bound is 4 (max_depth=)"


def deployed_event(kept: Mapping[str, Any]) -> EventRow:
    event = wire.read(kept["event"].encode(), 0.0)
    assert kept["root"] == f"e{event.root}"
    return event


def test_a_loop_over_two_deployments_ends_in_the_dead_letters_of_one(buckets: Buckets) -> None:
    one, two = Deployed(looping("one", buckets, "ab")), Deployed(looping("two", buckets, "ba"))
    buckets.put("a")
    for depth in range(6):
        of, route = ((one, "ab"), (two, "ba"))[depth % 2]
        assert of.failures(of_route(buckets.notice(route[0], str(depth)), route)) == []
    events = [deployed_event(kept) for of in (one, two) for kept in of.table.records()]
    assert [event.depth for event in events] == [0, 2, 4, 1, 3, 5]
    assert all((event.cause, event.root) == (None, event.number) for event in events)
    assert [kept["state"] for kept in two.table.records()] == ["done", "done", "dead"]


class Loaded(Event):
    pass


class Trained(Event):
    pass


def test_a_chain_that_goes_by_way_of_an_object_and_is_no_loop_comes_to_its_end(buckets: Buckets) -> None:
    app = App("churn", sources=[buckets.source(name) for name in "ab"])

    @app.on(ObjectCreated, source="a")
    def load(event: ObjectCreated) -> Loaded:
        return Loaded()

    @app.on(Loaded, writes={"b"})
    def store(event: Loaded, ctx: Context) -> None:
        with ctx.place("b").output("1") as file:
            file.write(b"1")

    @app.on(ObjectCreated, source="b")
    def train(event: ObjectCreated) -> list[Trained]:
        return [Trained(), Trained()]

    deployed = Deployed(app)
    buckets.put("a")
    deployed.call(of_route(buckets.notice("a"), "load"))
    deployed.call(of_route(deployed.bus.entries[0]["Detail"], "store"))
    deployed.call(of_route(buckets.notice("b", "1"), "train"))
    assert [kept["state"] for kept in deployed.table.records()] == ["done"] * 3
    assert {event.root for event in deployed.published()} == {deployed.published()[0].root}
    assert [event.depth for event in deployed.published()] == [1, 3, 3]


def test_a_function_of_an_app_that_writes_to_no_bucket_asks_nothing(
    buckets: Buckets, refusing: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    app = App("churn", sources=[buckets.source("a")])

    @app.on(ObjectCreated)
    def take(event: ObjectCreated) -> None: ...

    buckets.put("a", marks=MARKS)
    notice, deployed = buckets.notice("a"), Deployed(app)
    refusing(403)
    assert deployed.failures(of_route(notice, "take")) == []
    assert (deployed_event(deployed.table.record()).depth, caplog.messages) == (0, [])


@pytest.mark.parametrize("status", [403, 404])
def test_an_object_that_a_function_may_not_ask_about_begins_a_chain(
    buckets: Buckets, refusing: Callable[[int], None], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    buckets.put("a", marks=MARKS)
    notice, deployed = buckets.notice("a"), Deployed(looping("churn", buckets, "ab"))
    refusing(status)
    runs = deployed.function()._runs
    event = arrived(Delivery("a", "1", "ObjectCreated", object_of(notice), 0.0), 12, 0.0)
    assert runs._traced_back(event) == runs._traced_back(event) == event
    [said] = caplog.messages
    assert said.startswith(f"bucket {buckets.names['a']!r}: which run wrote 'in/0', and others, is not known: ")


def test_a_function_learns_that_its_credentials_have_expired_though_a_head_is_refused_without_a_reason(
    buckets: Buckets, refusing: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    buckets.put("a")
    notice, deployed = buckets.notice("a"), Deployed(looping("churn", buckets, "ab"))
    runs = deployed.function()._runs
    event = arrived(Delivery("a", "1", "ObjectCreated", object_of(notice), 0.0), 12, 0.0)
    refusing(400, "ExpiredToken")
    with pytest.raises(TriggersError, match="the credentials have expired"):
        runs._traced_back(event)
    refusing(400, "InvalidRequest")
    assert runs._traced_back(event) == event, "as of what is encrypted under a key that nobody gives"
    [said] = caplog.messages
    assert "S3 refused to say it (400)" in said


def object_of(notice: str) -> str:
    s3 = json.loads(notice)["Records"][0]["s3"]
    return created(f"s3://{s3['bucket']['name']}/{s3['object']['key']}", s3["object"]["eTag"])


def test_a_message_about_an_object_comes_again_where_s3_is_slow_to_say_what_wrote_it(
    buckets: Buckets, refusing: Callable[[int], None]
) -> None:
    buckets.put("a", marks=MARKS)
    notice, deployed = buckets.notice("a"), Deployed(looping("churn", buckets, "ab"))
    refusing(503)
    assert deployed.failures(of_route(notice, "ab")) == ["m1"]
    assert deployed.table.records() == []
    refusing(0)
    assert deployed.failures(of_route(notice, "ab")) == []
    assert deployed_event(deployed.table.record()).depth == 4


def test_what_was_overwritten_since_has_the_lineage_of_nothing(buckets: Buckets) -> None:
    buckets.put("a", marks=MARKS)
    notice, deployed = buckets.notice("a"), Deployed(looping("churn", buckets, "ab"))
    buckets.s3.put_object(Bucket=buckets.names["a"], Key="in/0", Body=b"other", Metadata=lineages.written(MARKS))
    deployed.call(of_route(notice, "ab"))
    assert deployed_event(deployed.table.record()).depth == 0


def test_what_claims_to_be_an_object_and_is_none_of_the_source_is_not_asked_for(
    buckets: Buckets, refusing: Callable[[int], None]
) -> None:
    app = App("churn", sources=[buckets.source("a")], outputs=[buckets.source("b")])

    @app.on(ObjectCreated, writes={"b"})
    def take(event: ObjectCreated) -> None: ...

    deployed = Deployed(app)
    refusing(503)
    claimed = {"specversion": "1.0", "id": "1", "source": "a", "type": "ObjectCreated"}
    for uri in ("file:///etc/passwd", "s3://somebody-elses/in/0"):
        text = json.dumps({**claimed, "id": uri, "data": json.loads(created(uri))})
        assert deployed.failures(of_route(text, "take")) == []
