# ruff: noqa: ASYNC240  # the files are local and tiny, and what is tested is when they are touched
from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.site import FakeSite, run, tapped
from triggers.cloudevents import LONGEST_NAME, to_text
from triggers.errors import EventError, StateError
from triggers.events import MAX_BYTES, Event, encode
from triggers.sources import Delivery
from triggers.sources import inbox as inbox_module
from triggers.sources.inbox import AGAIN, Inbox, line_of, parse, write
from triggers.sources.watch import Hints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


def one(number: int, **data: object) -> str:
    return to_text(f"e{number}", "shell", "Retrain", 1, None, 1_700_000_000.5, json.dumps(data))


def waiting(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jsonl"))


async def delivered(folder: Path, number: int) -> list[Delivery]:
    async with tapped(Inbox(folder), FakeSite()) as tap:
        return await tap.take(number)


async def rest(folder: Path) -> list[Delivery]:
    """All that is delivered until the inbox is empty."""
    async with tapped(Inbox(folder), FakeSite()) as tap:
        await tap.idle()
        return await tap.take(tap.arrived.qsize())


def batches(folder: Path, site: FakeSite) -> AsyncGenerator[Sequence[Delivery], None]:
    return cast(AsyncGenerator[Sequence[Delivery], None], Inbox(folder).deliveries(site))


# --- writing -------------------------------------------------------------------------------------


def test_what_is_written_is_delivered_as_it_was(folder: Path) -> None:
    text = to_text('e"1', "shell", "Retrain", 3, "models/ü", 1_700_000_000.25, '{"model":\n "m\\n\\u00e9"}')
    write(folder, [text])
    (delivery,) = run(delivered(folder, 1))
    assert (delivery.id, delivery.source, delivery.type) == ('e"1', "shell", "Retrain")
    assert (delivery.version, delivery.subject, delivery.time) == (3, "models/ü", 1_700_000_000.25)
    assert json.loads(delivery.data) == {"model": "m\né"}
    assert delivery.memory is None


def test_a_line_is_one_line_in_the_form_of_cloudevents(folder: Path) -> None:
    text = to_text("e1", "shell", "Retrain", 1, None, None, '{\r\n"a": 1}')
    assert text.splitlines() == [text]
    assert json.loads(text) == {
        **{"specversion": "1.0", "id": "e1", "source": "shell", "type": "Retrain", "dataversion": 1},
        "data": {"a": 1},
    }


def test_a_batch_is_private_complete_and_leaves_nothing_else_behind(folder: Path) -> None:
    path = write(folder, [one(1), one(2)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert path.read_text().count("\n") == 2


def test_batches_sort_in_the_order_of_their_writing(folder: Path) -> None:
    names = [write(folder, [one(number)]).name for number in range(50)]
    assert names == sorted(names)


def test_a_batch_that_no_reader_would_accept_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_FILE", 100)
    with pytest.raises(EventError, match="over the limit of 100 for one batch; hand them in as several"):
        write(folder, [one(1)])
    assert not folder.exists()


@pytest.mark.parametrize("syncs", [0, 1])
def test_a_batch_whose_writing_fails_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, syncs: int
) -> None:
    left = iter(range(syncs))

    def full(descriptor: int) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match=r"No space left on device.*nothing was handed in"):
        write(folder, [one(1)])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("length", "seen"), [(100, [1, 1]), (10_000, [0, 1, 1])])
def test_what_could_be_cut_by_a_power_loss_is_synced_before_it_can_be_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch, length: int, seen: list[int]
) -> None:
    waited: list[int] = []
    kinds: list[bool] = []

    def note(descriptor: int) -> None:
        waited.append(len(waiting(folder)))
        kinds.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))

    folder.mkdir()
    monkeypatch.setattr(os, "fsync", note)
    write(folder, [one(1, text="x" * length)])
    assert waited == seen
    assert kinds == [False] * (len(seen) - 1) + [True]  # the content, then the name


def test_a_batch_that_a_power_loss_left_empty_is_removed(folder: Path) -> None:
    write(folder, [one(1)]).write_bytes(b"")
    assert run(rest(folder)) == []
    assert list(folder.iterdir()) == []


def test_writing_loads_no_watchdog() -> None:
    code = "import sys, triggers.sources.inbox; sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LONG = "x" * (LONGEST_NAME + 1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"id": LONG}, "id has 1,025 characters, over the limit of 1,024"),
        ({"id": ""}, "id must be text and not empty"),
        ({"source": ""}, "source must be text and not empty"),
        ({"type": ""}, "type must be text and not empty"),
        ({"type": LONG}, "type has 1,025 characters"),
        ({"type": "\udcff"}, "type must be Unicode text"),
        ({"version": 0}, "dataversion must be an integer from 1 to 2,147,483,647, not 0"),
        ({"version": 2**31}, "dataversion must be an integer from 1"),
        ({"subject": "\udcff"}, "subject must be Unicode text"),
        ({"data_json_text": "[1]"}, "the data of T must be a JSON object"),
        ({"data_json_text": '{"a":NaN}'}, "T holds NaN or Infinity"),
        ({"data_json_text": f'{{"a":{"9" * 4301}}}'}, "T holds a whole number of more than 4,300 digits"),
    ],
)
def test_what_a_reader_would_refuse_is_no_line(given: dict[str, Any], reason: str) -> None:
    event = {"id": "1", "source": "s", "type": "T", "version": 1, "subject": None, "time": None}
    with pytest.raises(EventError, match=reason):
        to_text(**{**event, "data_json_text": "{}", **given})


class Sent(Event, type="sent"):
    value: Any = None


NAMES = st.text(max_size=20) | st.just(LONG) | st.text(st.characters(codec=None), max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(4290, 4310).map(lambda digits: 10**digits)
    | st.floats()
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(NAMES, NAMES, st.none() | NAMES, st.integers(-1, 2) | st.integers(2**31 - 1, 2**31), VALUES)
def test_whatever_is_accepted_as_a_line_is_read_as_it_was(
    id: str, type: str, subject: str | None, version: int, value: Any
) -> None:
    try:
        data = encode(Sent(value=value))
        text = to_text(id, "s", type, version, subject, None, data)
    except EventError:
        return
    assert list(parse(text.encode(), 1.5)) == [Delivery("s", id, type, data, 1.5, version, subject)]


def test_an_event_is_a_line_with_an_identity_of_its_own() -> None:
    lines = [line_of(Sent(value=1), "send", 5.0) for _ in range(2)]
    first, second = (event for text in lines for event in parse(text.encode(), 0.0))
    assert first.id != second.id
    assert (first.source, first.type, first.data, first.time) == ("send", "sent", '{"value":1}', 5.0)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ("x", "'x' is no event but of the type str; send events, each as an argument of its own"),
        ([Sent()], r"is no event but of the type list; send events, each as an argument of its own"),
        (Sent, "is no event but the class Sent; send events"),
    ],
)
def test_what_is_no_event_is_named(thing: object, said: str) -> None:
    with pytest.raises(EventError, match=said):
        line_of(thing, "send", 0.0)


# --- reading -------------------------------------------------------------------------------------


def test_what_waited_before_the_start_comes_in_order_and_combined(folder: Path) -> None:
    for number in range(30):
        write(folder, [one(number)])

    async def main() -> Sequence[Delivery]:
        stream = batches(folder, FakeSite())
        batch = await anext(stream)
        await stream.aclose()
        return batch

    assert [delivery.id for delivery in run(main())] == [f"e{number}" for number in range(30)]


def test_an_inbox_has_looked_after_one_pass_over_what_waited(folder: Path) -> None:
    write(folder, [one(1)])

    async def main() -> set[str]:
        site = FakeSite()
        stream = batches(folder, site)
        await anext(stream)
        assert site.looks == set()  # nobody has said that it is durable
        write(folder, [one(2)])
        await anext(stream)
        await stream.aclose()
        return site.looks

    assert run(main()) == {"inbox"}


def test_a_batch_written_by_another_process_is_noticed(folder: Path) -> None:
    code = "import sys, pathlib; from triggers.sources.inbox import *; write(pathlib.Path(sys.argv[1]), sys.argv[2:])"

    async def main() -> None:
        async with tapped(Inbox(folder), FakeSite()) as tap:
            await tap.idle()
            subprocess.run([sys.executable, "-c", code, str(folder), one(1), one(2)], check=True)  # noqa: ASYNC221
            assert [delivery.id for delivery in await tap.take(2)] == ["e1", "e2"]
            write(folder, [one(3)])
            assert [delivery.id for delivery in await tap.take()] == ["e3"]

    run(main())


def test_a_hint_at_a_file_that_is_not_wanted_wakes_nobody() -> None:
    async def main() -> None:
        hints = Hints(lambda key: key.endswith(b".jsonl"))
        woken = asyncio.ensure_future(hints.wait())
        await asyncio.sleep(0)
        hints.add({b".1.jsonl.tmp": True, b"notes.txt": False}, {})
        for _ in range(3):
            await asyncio.sleep(0)
        assert not woken.done()
        hints.add({b"notes.txt": True, b"1.jsonl": True}, {})
        await woken
        assert hints.take_files(10) == {b"1.jsonl": True}

    run(main())


def test_a_batch_is_removed_only_when_the_next_one_is_asked_for(folder: Path) -> None:
    write(folder, [one(1)])

    async def main() -> None:
        site = FakeSite(watches=False)
        stream = batches(folder, site)
        assert [delivery.id for delivery in await anext(stream)] == ["e1"]
        assert len(waiting(folder)) == 1
        await stream.aclose()  # a crash before the commit
        assert len(waiting(folder)) == 1
        stream = batches(folder, site)
        assert [delivery.id for delivery in await anext(stream)] == ["e1"]
        write(folder, [one(2)])
        site.poke("inbox")
        assert [delivery.id for delivery in await anext(stream)] == ["e2"]
        assert len(waiting(folder)) == 1
        await stream.aclose()

    run(main())


def test_a_large_batch_is_delivered_in_parts_and_removed_after_the_last(folder: Path) -> None:
    write(folder, [one(number) for number in range(2500)])

    async def main() -> None:
        stream = batches(folder, FakeSite())
        sizes = []
        for _ in range(3):
            sizes.append(len(await anext(stream)))
            assert len(waiting(folder)) == 1
        assert sizes == [1000, 1000, 500]
        await stream.aclose()

    run(main())


def test_an_inbox_that_was_read_is_empty(folder: Path) -> None:
    write(folder, [one(1)])
    write(folder, [])
    assert [delivery.id for delivery in run(rest(folder))] == ["e1"]
    assert waiting(folder) == []


def test_without_a_watch_the_inbox_is_looked_at_when_poked(folder: Path) -> None:
    async def main() -> None:
        async with tapped(Inbox(folder), FakeSite(watches=False)) as tap:
            await tap.idle()
            write(folder, [one(1)])
            await tap.poke()
            assert [delivery.id for delivery in await tap.take()] == ["e1"]

    run(main())


def test_unfinished_and_foreign_files_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / ".00-1.jsonl.tmp").write_text("half")
    (folder / ".00-1.jsonl").write_text("half")
    (folder / "notes.txt").write_text("mine")
    assert run(rest(folder)) == []
    assert len(list(folder.iterdir())) == 3


def test_attributes_that_are_not_given_have_defaults(folder: Path) -> None:
    write(folder, ['{"specversion":"1.0","id":"1","source":"s","type":"T"}', "", " "])
    (delivery,) = run(delivered(folder, 1))
    assert (delivery.data, delivery.version, delivery.subject) == ("{}", 1, None)
    assert delivery.time == FakeSite().clock.now()


def test_a_time_is_read_with_its_offset(folder: Path) -> None:
    write(folder, ['{"specversion":"1.0","id":"1","source":"s","type":"T","time":"2026-01-31T09:00:00.5+01:00"}'])
    assert run(delivered(folder, 1))[0].time == 1769846400.5


# --- what is rejected ----------------------------------------------------------------------------

HEAD = '"specversion":"1.0","id":"1","source":"s","type":"T"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "EOF while parsing"),
        ("[1]", "not a JSON object"),
        ('{"specversion":"1.0","source":"s","type":"T"}', "id must be text and not empty, not None"),
        ('{"specversion":"1.0","id":"","source":"s","type":"T"}', "id must be text and not empty, not ''"),
        ('{"specversion":"1.0","id":"1","type":"T"}', "source must be text and not empty, not None"),
        ('{"specversion":"1.0","id":"1","source":"s"}', "type must be text and not empty, not None"),
        ('{"specversion":"0.3","id":"1","source":"s","type":"T"}', "specversion must be '1.0', not '0.3'"),
        ('{"id":"1","source":"s","type":"T"}', "specversion must be '1.0', not None"),
        (f'{{{HEAD},"data":[1]}}', "data of T must be a JSON object"),
        (f'{{{HEAD},"data_base64":"eA=="}}', "data must be a JSON object, not data_base64"),
        (f'{{{HEAD},"data":{{"a":NaN}}}}', "T holds NaN or Infinity"),
        (f'{{{HEAD},"data":{{"a":1e999}}}}', "holds NaN or Infinity"),
        (f'{{{HEAD},"data":{{"a":"{"x" * MAX_BYTES}"}}}}', "over the limit of 262,144"),
        (f'{{{HEAD},"data":{{"a":{"[" * 70}{"]" * 70}}}}}', "nested deeper than 64"),
        (f'{{{HEAD},"data":{"[" * 70_000}', "the event is nested deeper than 64"),
        (f'{{{HEAD},"data":{{"a":{"9" * 4301}}}}}', "holds a whole number of more than 4,300 digits"),
        (f'{{{HEAD},"data":{{"a":"\\ud800"}}}}', "half of a surrogate pair"),
        (f'{{{HEAD},"dataversion":true}}', "dataversion must be an integer from 1 to 2,147,483,647, not True"),
        (f'{{{HEAD},"dataversion":0}}', "dataversion must be an integer from 1 to 2,147,483,647, not 0"),
        (f'{{{HEAD},"subject":1}}', "subject must be text, not 1"),
        (f'{{{HEAD},"time":"2026-01-31T08:00:00"}}', "time must be of RFC 3339 with an offset"),
        (f'{{{HEAD},"time":"soon"}}', "time must be of RFC 3339 with an offset"),
        (f'{{{HEAD},"time":5}}', "time must be of RFC 3339 with an offset"),
        (
            '{"specversion":"1.0","id":"1","source":"s","type":"triggers.gathered","data":{}}',
            "triggers.gathered is what the app makes of events that come together",
        ),
    ],
)
def test_a_batch_with_a_bad_line_is_rejected_whole(
    folder: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    bad = write(folder, [one(1), text, one(2)])
    write(folder, [one(3)])
    assert [delivery.id for delivery in run(rest(folder))] == ["e3"]
    assert waiting(folder) == []
    assert (folder / "rejected" / bad.name).read_text().splitlines() == [one(1), text, one(2)]
    note = (folder / "rejected" / f"{bad.name}.reason").read_text()
    assert note.startswith("line 2: ")
    assert reason in note
    (record,) = caplog.records
    assert bad.name in record.message
    assert reason in record.message


def test_a_rejected_batch_that_is_mended_and_moved_back_is_taken_whole(folder: Path) -> None:
    bad = write(folder, [one(1), "{"])

    async def main() -> None:
        inbox = Inbox(folder)
        async with tapped(inbox, FakeSite()) as tap:
            await tap.idle()
            assert inbox.rejected == 1
            rejected = folder / "rejected" / bad.name
            note = rejected.with_name(f"{bad.name}.reason").read_text()
            assert note.splitlines()[1] == f"nothing of it was taken in; mend it and move it back to {folder}"
            rejected.write_text(f"{one(1)}\n{one(2)}\n")
            rejected.rename(bad)
            assert [delivery.id for delivery in await tap.take(2)] == ["e1", "e2"]
            assert inbox.rejected == 1

    run(main())


def test_a_rejected_batch_never_replaces_an_earlier_one_of_its_name(folder: Path) -> None:
    folder.mkdir()
    for text in ("{", "[", "]"):
        (folder / "mine.jsonl").write_text(text)
        run(rest(folder))
    rejected = folder / "rejected"
    assert {path.name: path.read_text() for path in rejected.glob("*.jsonl")} == {
        "mine.jsonl": "{",
        "mine-2.jsonl": "[",
        "mine-3.jsonl": "]",
    }
    assert "while parsing a list" in (rejected / "mine-2.jsonl.reason").read_text()


def test_a_batch_that_is_not_utf_8_is_rejected(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(b'{"specversion":"1.0","id":"\xff","source":"s","type":"T"}\n')
    assert run(rest(folder)) == []
    assert "line 1: the event is not UTF-8: byte 28 is 0xff" in (folder / "rejected/1.jsonl.reason").read_text()


def test_a_batch_that_is_too_large_is_rejected_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    with (folder / "1.jsonl").open("wb") as file:
        file.truncate(inbox_module.MAX_FILE + 1)
    assert run(rest(folder)) == []
    assert "67,108,865 bytes, over the limit of 67,108,864" in (folder / "rejected/1.jsonl.reason").read_text()


def test_a_pipe_in_the_inbox_is_rejected_and_does_not_block(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "1.jsonl")
    assert run(rest(folder)) == []
    assert (folder / "rejected/1.jsonl.reason").read_text().startswith("it is not a file\n")


def test_a_batch_that_cannot_be_read_for_now_is_tried_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    (folder / "1.jsonl").symlink_to(folder / "later")  # opening a link fails, as a disk may

    async def main() -> None:
        site = FakeSite()
        async with tapped(Inbox(folder), site) as tap:
            await site.time.someone_sleeps()
            (folder / "1.jsonl").unlink()
            (folder / "1.jsonl").write_text(one(1))
            await site.time.advance(AGAIN)
            assert [delivery.id for delivery in await tap.take()] == ["e1"]

    run(main())
    assert f"{folder}/1.jsonl cannot be read (Too many levels of symbolic links)" in caplog.records[0].message


def test_an_inbox_that_is_taken_away_is_a_state_error(folder: Path) -> None:
    async def main() -> None:
        async with tapped(Inbox(folder), FakeSite()) as tap:
            await tap.idle()
            folder.rmdir()
            await tap.take()

    with pytest.raises(StateError, match="cannot be listed"):
        run(main())


def test_a_batch_of_empty_lines_takes_little_more_memory_than_its_file() -> None:
    content = b"\n" * 1_000_000
    tracemalloc.start()
    assert list(parse(content, 0.0)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(content)
