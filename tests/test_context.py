from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from triggers.context import Context, Emitted, encode_returned
from triggers.errors import EventError, WiringError
from triggers.events import Envelope, Event
from triggers.places import Place


class Made(Event):
    name: str


class Other(Event):
    pass


def context(tmp_path: Path | None = None, **changes: Any) -> Context:
    envelope = Envelope(3, "id", "src", "Made", 1, None, datetime.now(UTC), None, "e3", 0, 10)
    values: dict[str, Any] = {
        "envelope": envelope, "route": "train", "run": "r7", "attempt": 1, "effect_key": "j-r7",
        "emits": frozenset({"Made"}), "reads": frozenset({"in"}), "writes": frozenset({"out"}),
        "places": {name: Place(tmp_path, name=name) for name in ("in", "out")} if tmp_path else {},
    }  # fmt: skip
    return Context(**{**values, **changes})


def test_what_is_emitted_is_kept_in_order_until_the_run_settles() -> None:
    ctx = context()
    ctx.emit(Made(name="a"), Made(name="b"))
    ctx.emit(Made(name="c"))
    assert [item.data for item in ctx.emitted] == ['{"name":"a"}', '{"name":"b"}', '{"name":"c"}']


def test_emitting_a_type_that_is_not_declared_names_it_and_where_to_declare_it() -> None:
    with pytest.raises(WiringError, match="handler 'train' emitted Other, which its annotation does not name"):
        context().emit(Other())


def test_emitting_what_is_no_event_says_that_it_was_emitted() -> None:
    with pytest.raises(WiringError, match=r"handler 'train' emitted list .*; emit events, each as an"):
        context().emit([Made(name="a")])  # type: ignore[arg-type]  # what a handler without types may do


def test_an_event_that_cannot_be_carried_is_refused_where_it_is_emitted() -> None:
    with pytest.raises(EventError, match="over the limit"):
        context().emit(Made(name="x" * 300_000))


def test_what_is_returned_comes_after_what_was_emitted() -> None:
    first = Emitted("Made", 1, "{}")
    found = encode_returned([first], [Made(name="a"), None, Made(name="b")], "train", frozenset({"Made"}))
    assert found == [first, Emitted("Made", 1, '{"name":"a"}'), Emitted("Made", 1, '{"name":"b"}')]
    assert encode_returned([first], None, "train", frozenset()) == [first]


@pytest.mark.parametrize(
    "collect",
    [list, tuple, set, iter, lambda items: (item for item in items)],
    ids=["list", "tuple", "set", "iterator", "generator"],
)
def test_any_iterable_of_events_may_be_returned(collect: Callable[[list[Made]], Iterator[Made]]) -> None:
    found = encode_returned([], collect([Made(name="a")]), "train", frozenset({"Made"}))
    assert [item.data for item in found] == ['{"name":"a"}']


@pytest.mark.parametrize("wrong", [7, "text", b"bytes", {"name": "a"}, [7], object()])
def test_anything_else_that_is_returned_is_refused_with_its_value(wrong: object) -> None:
    with pytest.raises(WiringError, match=r"handler 'train' returned .*; return an event, a list of events or None"):
        encode_returned([], wrong, "train", frozenset({"Made"}))


def test_the_time_that_remains_is_none_without_a_deadline() -> None:
    assert context().remaining() is None
    remaining = context(deadline=datetime.now(UTC) + timedelta(seconds=50)).remaining()
    assert remaining is not None
    assert 40 < remaining <= 50


def test_log_records_carry_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        context().log.info("hello")
    record = caplog.records[0]
    assert (record.name, record.__dict__["run"], record.__dict__["event"]) == ("triggers.route.train", "r7", "e3")


def test_a_place_must_be_declared(tmp_path: Path) -> None:
    assert context(tmp_path).place("in").path == tmp_path
    with pytest.raises(WiringError, match="route 'train' does not declare 'ou' in reads= or writes=; did you"):
        context(tmp_path).place("ou")


def test_only_a_place_in_writes_can_be_written(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    with pytest.raises(WiringError, match="route 'train' does not declare 'in' in writes=; known: out"):
        ctx.place("in").replace("a", b"", seen=None)
    with pytest.raises(WiringError, match="route 'train' does not declare 'in' in writes="):
        ctx.place("in").output("a")
    assert list(tmp_path.iterdir()) == []
    ctx.place("out").replace("a", b"1", seen=None)
    assert ctx.place("in").read("a") == b"1"
