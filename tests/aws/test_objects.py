"""Objects of S3 in a handler's hands: the very content that an event names, and what becomes of what it writes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.response import StreamingBody

from tests.aws.deployed import row
from tests.kit import Life
from triggers import App, Bucket, Context, Event, ObjectCreated, Reject
from triggers.attempt import NOTHING, Run, run_plain
from triggers.aws import objects
from triggers.aws.lineages import Refusals, question
from triggers.aws.objects import lineage_of
from triggers.errors import Conflict, HandlerError, WiringError
from triggers.limits import make_limits
from triggers.places import Place
from triggers.sources import Lineage
from triggers.testing import Harness


@cache
def client() -> Any:
    return boto3.client("s3")


class Shelf:
    """A bucket of the test's own."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.s3 = client()
        self.s3.create_bucket(Bucket=bucket)

    def keep_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(self, key: str, content: bytes) -> ObjectCreated:
        """Put an object, and return the event of it."""
        reply = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        version = reply.get("VersionId")
        uri = f"s3://{self.bucket}/{quote(key)}" + (f"?versionId={version}" if version else "")
        return ObjectCreated(key=key, uri=uri, size=len(content), version=version or reply["ETag"].strip('"'))

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def place(self, name: str = "out") -> Place:
        return Place(f"s3://{self.bucket}/{name}", name=name)

    def lineage(self, key: str, version: str | None = None) -> Lineage | None:
        """Return the lineage of what an event of the object, or of that version of it, would name."""
        etag = self.s3.head_object(Bucket=self.bucket, Key=key)["ETag"].strip('"')
        uri = f"s3://{self.bucket}/{quote(key)}" + (f"?versionId={version}" if version else "")
        event = ObjectCreated(key=key, uri=uri, size=1, version=version or etag)
        asked = question(event.model_dump_json(), Bucket(f"s3://{self.bucket}"))
        assert asked
        return lineage_of(asked, Refusals())

    def versions(self, prefix: str = "") -> list[str]:
        found = self.s3.list_object_versions(Bucket=self.bucket, Prefix=prefix).get("Versions", ())
        return [entry["Key"] for entry in found]


@pytest.fixture
def shelf(endpoint: str, unique: str) -> Shelf:
    return Shelf(unique)


@pytest.fixture
def said() -> Iterator[Callable[[str, Callable[..., Any]], None]]:
    """Return a function that has a hook of botocore's called by our client, until the test ends."""
    hooked = []

    def hook(event: str, call: Callable[..., Any]) -> None:
        objects._client().meta.events.register_first(event, call)
        hooked.append((event, call))

    yield hook
    for event, call in hooked:
        objects._client().meta.events.unregister(event, call)


def write(place: Place, key: str, data: bytes) -> None:
    with place.output(key) as file:
        file.write(data)


ODD = ["a.csv", "deep/er/a b+c%20ü#?&=.csv", "a//b", "../a", "a/.."]

# --- what an event names


@pytest.mark.parametrize("key", ODD)
def test_the_content_of_an_object_is_opened_as_a_file_and_has_a_path(shelf: Shelf, key: str) -> None:
    event = shelf.put(key, b"0123456789")
    with event.open() as file:
        assert file.seek(-3, io.SEEK_END) == 7
        assert (file.read(), file.fileno() > 2) == (b"789", True)
    assert event.path().read_bytes() == b"0123456789"
    assert event.path().name == ("object" if key == "a/.." else key.rpartition("/")[2])
    assert event.path() == event.path()


def test_with_versions_the_one_is_read_that_the_event_names(shelf: Shelf) -> None:
    shelf.keep_versions()
    event = shelf.put("a", b"one")
    shelf.put("a", b"two")
    shelf.delete("a")
    with event.open() as file:
        assert file.read() == b"one"
    assert event.path().read_bytes() == b"one"


def test_without_versions_content_that_was_overwritten_is_refused(shelf: Shelf) -> None:
    event = shelf.put("a", b"one")
    shelf.put("a", b"two")
    for read in (event.open, event.path):
        with pytest.raises(Reject, match="a was overwritten after this event; the newer content has an event of its"):
            read()


def test_content_that_is_gone_is_refused(shelf: Shelf) -> None:
    event = shelf.put("a", b"one")
    shelf.delete("a")
    for read in (event.open, event.path):
        with pytest.raises(
            Reject, match=f"a: the object that arrived is gone: s3://{shelf.bucket}/a was deleted after"
        ):
            read()
    assert not list(Path(tempfile.gettempdir()).glob("triggers-copies-*/*/a"))


def test_a_version_that_was_deleted_is_refused(shelf: Shelf) -> None:
    shelf.keep_versions()
    event = shelf.put("a", b"one")
    shelf.put("a", b"two")
    shelf.s3.delete_object(Bucket=shelf.bucket, Key="a", VersionId=event.version)
    with pytest.raises(Reject, match="a: the object that arrived is gone"):
        event.open()


def test_an_answer_that_is_cut_is_read_on(shelf: Shelf, said: Callable[..., None]) -> None:
    event = shelf.put("a", b"0123456789")
    asked = []

    def cut(parsed: dict[str, Any], **_: Any) -> None:
        content = parsed["Body"].read()
        asked.append(len(content))
        parsed["Body"] = StreamingBody(io.BytesIO(content[:4]), len(content))

    said("after-call.s3.GetObject", cut)
    with event.open() as file:
        assert file.read() == b"0123456789"
    assert asked == [10, 6, 2]


def test_an_answer_that_is_cut_again_and_again_is_an_error_of_the_disk_s_kind(
    shelf: Shelf, said: Callable[..., None]
) -> None:
    event = shelf.put("a", b"0123456789")

    def cut(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Body"] = StreamingBody(io.BytesIO(b""), 10)

    said("after-call.s3.GetObject", cut)
    with pytest.raises(OSError, match=rf"bucket '{shelf.bucket}': .*0 read, but total bytes expected is 10"):
        event.open()


# --- the copy's end


class Seen(Event):
    path: str
    content: str


app = App("copies")


def seen(event: ObjectCreated) -> Seen:
    path = event.path()
    return Seen(path=str(path), content=path.read_text())


@app.on(ObjectCreated, where={"key": "plain.csv"})
def plain(event: ObjectCreated) -> Seen:
    return seen(event)


@app.on(ObjectCreated, where={"key": "coroutine.csv"})
async def coroutine(event: ObjectCreated) -> Seen:
    return seen(event)


@app.on(ObjectCreated, where={"key": "isolated.csv"}, isolate=True)
def isolated(event: ObjectCreated) -> Seen:
    return seen(event)


@app.on(ObjectCreated, where={"key": "kept.csv"})
def kept(event: ObjectCreated) -> Seen:
    _kept.append(event)
    raise Reject(str(event.path()))


_kept: list[ObjectCreated] = []


@pytest.mark.parametrize("name", ["plain", "coroutine", "isolated"])
def test_the_copy_is_removed_when_the_attempt_ends(harness: Callable[[App], Harness], shelf: Shelf, name: str) -> None:
    pipeline = harness(app)
    pipeline.send(shelf.put(f"{name}.csv", b"1,2"))
    (found,) = pipeline.events(Seen)
    assert (Path(found.path).name, found.content) == (f"{name}.csv", "1,2")
    assert not Path(found.path).parent.exists()


def test_the_copy_is_removed_though_the_handler_fails_and_keeps_the_event(
    harness: Callable[[App], Harness], shelf: Shelf
) -> None:
    pipeline = harness(app)
    pipeline.send(shelf.put("kept.csv", b"1,2"))
    (run,) = pipeline.dead
    assert run.error is not None
    path = Path(run.error.removeprefix("Reject: "))
    assert path.name == "kept.csv"
    assert not path.exists()
    assert _kept.pop().path().read_text() == "1,2"


KILLED = """
    import os, sys
    from triggers.copies import copy_for
    class Thing: pass
    thing = Thing()
    print(copy_for(thing, "a.csv", lambda file: file.write(b"1")), flush=True)
    sys.stdin.read()
"""


def test_the_copies_of_a_process_that_was_killed_are_removed_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED)],
            env={"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    (dying, lost), (living, left) = start(), start()
    dying.kill()
    dying.communicate()
    assert lost.exists()
    last, own = start()
    assert (lost.exists(), left.exists(), own.exists()) == (False, True, True)
    for process in (living, last):
        process.communicate()
    assert list(tmp_path.iterdir()) == [], "who ends by itself leaves nothing behind"


# --- what is written


def test_the_same_content_again_leaves_an_object_untouched_and_other_content_replaces_it(shelf: Shelf) -> None:
    shelf.keep_versions()
    for content, versions in ((b"one", 1), (b"one", 1), (b"two", 2), (b"one", 3)):
        write(shelf.place(), "a", content)
        assert len(shelf.versions()) == versions


def test_content_that_somebody_else_has_put_is_replaced_once(shelf: Shelf) -> None:
    shelf.keep_versions()
    shelf.put("out/a", b"one")
    write(shelf.place(), "a", b"one")
    write(shelf.place(), "a", b"one")
    assert len(shelf.versions()) == 2


def test_a_large_output_comes_through_in_parts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "IN_PARTS", 1024)
    content = b"0123456789abcdef" * 600_000
    for _ in range(2):
        write(shelf.place(), "large", content)
    with shelf.place().open("large") as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(content).digest()
    assert client().head_object(Bucket=shelf.bucket, Key="out/large")["ETag"].endswith('-2"')


class Asked(Event):
    pass


def test_what_a_handler_writes_carries_the_lineage_of_its_run(shelf: Shelf) -> None:
    writing = App("writing", outputs=[Bucket(f"s3://{shelf.bucket}/out")])

    @writing.on(Asked, writes={"out"}, name="schreibt ü")
    def writes(event: Asked, ctx: Context) -> None:
        write(ctx.place("out"), "output", b"1")
        ctx.place("out").replace("replaced", b"1", seen=None)

    event = row(Asked())._replace(root=5, depth=3, budget=10)
    assert run_plain(Run(7, 1, writing.routes["schreibt ü"], event, 0.0, "journal", writing.places())) == NOTHING
    for key in ("output", "replaced"):
        assert shelf.lineage(f"out/{key}") == Lineage("journal", 7, 5, 4, 9)


def writes_apart(event: Asked, ctx: Context) -> None:
    write(ctx.place("out"), "a b", ctx.place("in").read("source"))


def test_an_isolated_handler_reads_and_writes_buckets(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("in/source", b"1")
    apart = App("apart", outputs=[Bucket(f"s3://{shelf.bucket}/{name}") for name in ("in", "out")])
    apart.on(Asked, reads={"in"}, writes={"out"}, isolate=True)(writes_apart)
    life = Life(apart, tmp_path)
    try:
        life.send(Asked())
        assert shelf.place().read("a b") == b"1"
    finally:
        life.end()


def test_what_no_handler_wrote_has_no_lineage(shelf: Shelf) -> None:
    shelf.put("a", b"1")
    write(shelf.place(), "by hand", b"1")
    assert [shelf.lineage(key) for key in ("a", "out/by hand")] == [None, None]


def test_a_version_has_the_lineage_of_the_run_that_wrote_it(shelf: Shelf) -> None:
    shelf.keep_versions()
    for cause, content in (("r7", b"one"), ("r8", b"two")):
        marks = {"root": "e5", "cause": cause, "depth": "4", "budget": "9", "effect": f"journal-{cause}"}
        write(shelf.place().written_by(marks), "a", content)
    found = shelf.s3.list_object_versions(Bucket=shelf.bucket)["Versions"]
    causes = {entry["IsLatest"]: shelf.lineage("out/a", entry["VersionId"]) for entry in found}
    assert {latest: lineage and lineage.cause for latest, lineage in causes.items()} == {False: 7, True: 8}


def test_a_replacement_whose_answer_was_lost_is_no_conflict_with_itself(
    shelf: Shelf, said: Callable[..., None]
) -> None:
    sent = []

    def once_more(**_: Any) -> float | None:
        sent.append(1)
        return 0 if len(sent) == 1 else None

    said("needs-retry.s3.PutObject", once_more)
    shelf.place().replace("pointer", b"1", seen=None)
    assert len(sent) == 2
    with pytest.raises(Conflict):
        shelf.place().replace("pointer", b"1", seen=None)


def test_handlers_in_all_threads_may_ask_at_once(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    place = shelf.place()
    objects.forget()
    threads = make_limits("app 'a'", {}).threads
    together = Barrier(threads)

    def ask(number: int) -> bool:
        together.wait()
        return place.exists(str(number))

    with ThreadPoolExecutor(threads) as pool:
        assert not any(pool.map(ask, range(threads)))
    assert [record.getMessage() for record in caplog.records] == []


# --- what goes wrong


def denied(**_: Any) -> Any:
    from botocore.awsrequest import AWSResponse

    class Raw(io.BytesIO):
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield self.read()

    text = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    return AWSResponse("http://denied", 403, {}, Raw(text))


def test_a_missing_object_is_known_by_who_may_list_only_the_prefix(shelf: Shelf, said: Callable[..., None]) -> None:
    """S3 denies access to an object that is not there to whom it does not let list the whole bucket."""
    place = shelf.place()
    write(place, "there", b"1")
    said("before-send.s3.GetObject", denied)
    said("before-send.s3.HeadObject", denied)
    assert place.look("not-there") is None
    with pytest.raises(FileNotFoundError):
        place.read("not-there")
    write(place, "new", b"1")
    with pytest.raises(WiringError, match=rf"bucket '{shelf.bucket}': access denied: .* may not s3:GetObject"):
        place.read("there")
    with pytest.raises(WiringError, match=r"access denied: .* may not s3:GetObject"):
        write(place, "there", b"1")


def test_a_bucket_that_is_not_there_is_named(endpoint: str, unique: str) -> None:
    place = Place(f"s3://{unique}/out")
    for ask in (lambda: place.read("a"), place.keys, lambda: write(place, "a", b"1")):
        with pytest.raises(WiringError, match=f"bucket '{unique}' does not exist in this account and region; create"):
            ask()


def test_an_endpoint_out_of_reach_is_an_error_of_the_disk_s_kind(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    objects.forget()
    try:
        with pytest.raises(OSError, match=r"bucket 'acme': Could not connect to the endpoint URL: .*; check AWS_"):
            Place("s3://acme").read("a")
    finally:
        objects.forget()


@pytest.mark.parametrize(
    ("key", "error"),
    [("a\udcff", r"'a\\udcff' is not Unicode, and keys in S3 are"), ("ü" * 600, "has 1,204 bytes, over S3's limit")],
)
def test_a_key_that_s3_cannot_have_is_refused(endpoint: str, key: str, error: str) -> None:
    with pytest.raises(HandlerError, match=error):
        Place("s3://acme/out").exists(key)


WITHOUT = """
    import sys
    from importlib.machinery import PathFinder

    class Without:
        def find_spec(name, path=None, target=None):
            return None if name.startswith(("boto", "aioboto")) else PathFinder.find_spec(name, path, target)

    sys.meta_path[sys.meta_path.index(PathFinder)] = Without
    from triggers import App, Folder, ObjectCreated, Place
    for use in (
        lambda: App("a", sources=[Folder("in")]).bound({"in": "s3://acme/in"}),
        lambda: Place("s3://acme/in").read("a"),
        lambda: ObjectCreated(key="a", uri="s3://acme/a", size=1, version="1").open(),
    ):
        try:
            use()
        except Exception as error:
            print(type(error).__name__, error)
"""


def test_where_the_aws_extra_is_missing_it_is_said_how_to_get_it() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(WITHOUT)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "WiringError AWS needs boto3; install it with: pip install 'triggers-ml[aws]'"
    ] * 3  # fmt: skip
