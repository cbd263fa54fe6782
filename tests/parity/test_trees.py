"""What is erased before chains are compared, and that whatever is kept is seen where it differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.journal.mirror import mirror
from triggers.journal.views import RunView
from triggers.lineage import EventRow
from triggers.parity.stages import Outcome
from triggers.parity.trees import differences, erasing, order, trees

HERE = {"incoming": "/tmp/x/incoming", "models": "/tmp/x/models"}
THERE = {"incoming": "s3://churn-data/incoming", "models": "s3://churn-data/models"}
GROUP = "AWS.MessageGroupId"


@dataclass(frozen=True)
class History:
    """What a journal holds: two chains, the first of which leads through a failure to its news."""

    events: Sequence[EventRow]
    runs: Sequence[RunView]
    rejected: Sequence[str] = ("no route takes events of the type 'Procesed'",)
    places: tuple[tuple[str, str], ...] = tuple(HERE.items())

    def event(self, at: int, **fields: Any) -> History:
        """Return the same with an event changed."""
        return replace(self, events=_with(self.events, at, self.events[at]._replace(**fields)))

    def data(self, at: int, **fields: Any) -> History:
        """Return the same with an event's payload changed."""
        return self.event(at, data=json.dumps(json.loads(self.events[at].data) | fields))

    def run(self, at: int, **fields: Any) -> History:
        """Return the same with a run changed."""
        return replace(self, runs=_with(self.runs, at, replace(self.runs[at], **fields)))

    def compared(self) -> list[dict[str, Any]]:
        """Return what is compared of it."""
        connection = mirror(self.events, self.runs, [], [], {"name": "churn"})
        try:
            return Outcome(
                trees(connection, dict(self.places)),
                order(connection, dict(self.places), ["train"]),
                list(self.rejected),
            ).as_list()
        finally:
            connection.close()

    def unlike(self, other: History) -> list[str]:
        """Return the differences to another."""
        return differences(self.compared(), other.compared(), ("one", "other"))


def _with(rows: Sequence[Any], at: int, row: Any) -> list[Any]:
    return [*rows[:at], row, *rows[at + 1 :]]


def event(number: int, kind: str, cause: int | None, depth: int, source: str = "incoming", **data: Any) -> EventRow:
    return EventRow(
        number, f"id{number}", source, kind, 1, None, 5.0, 6.0, json.dumps(data), cause, 1, depth, 1000 - depth
    )


def run(number: int, of: int, route: str, state: str = "done", error: str | None = None, attempt: int = 1) -> RunView:
    return RunView(number, of, route, state, attempt, 0, 0, 1.0 * number, 2.0 * number, None, error)


OBJECT: dict[str, Any] = {"key": "b/a.csv", "uri": "file:///tmp/x/incoming/b/a.csv", "size": 3, "version": "17-3-99"}
FAILURE = "ValueError: b/a.csv of r2 is bad"
NEWS: dict[str, Any] = {
    **{"run": "r2", "route": "train", "event_id": "id2", "event_type": "Processed", "error": "ValueError"},
    **{"message": "b/a.csv of r2 is bad", "attempts": 3},
}
HISTORY = History(
    [
        event(1, "ObjectCreated", None, 0, **OBJECT),
        event(2, "Processed", 1, 1, "churn/process", table="r1", rows=[1, {"n": 2}], wide=True),
        event(3, "RunFailed", 2, 2, "churn/train", **NEWS),
        event(4, "MessageReceived", None, 0, "orders", body="x", attributes={GROUP: "a"}),
        event(5, "MessageReceived", None, 0, "orders", body="y", attributes={GROUP: "a"}),
        event(6, "Nothing", None, 0, "send"),
    ],
    [
        run(1, 1, "process"),
        run(2, 2, "train", "dead", FAILURE, 3),
        run(3, 3, "tell"),
        run(4, 4, "order"),
        run(5, 5, "order"),
    ],
)

PLANTED: dict[str, Callable[[History], History]] = {
    "attempts": lambda h: h.run(1, attempt=2),
    "outcome": lambda h: h.run(1, state="dropped"),
    "error": lambda h: h.run(1, error="ValueError: b/a.csv of r2 is worse"),
    "an error that is none": lambda h: h.run(1, error=None),
    "an error where none was": lambda h: h.run(0, error="OSError: later"),
    "route": lambda h: h.run(0, route="prepare"),
    "cause": lambda h: h.event(2, cause=1),
    "no cause": lambda h: h.event(2, cause=None),
    "depth": lambda h: h.event(1, depth=2),
    "budget": lambda h: h.event(1, budget=7),
    "type": lambda h: h.event(1, type="Prepared"),
    "version of the type": lambda h: h.event(1, version=2),
    "source": lambda h: h.event(1, source="churn/prepare"),
    "subject": lambda h: h.event(0, subject="b/a.csv"),
    "payload": lambda h: h.data(1, table="s1"),
    "a field more in the payload": lambda h: h.data(1, more=None),
    "a number in the payload": lambda h: h.data(1, rows=[1, {"n": 3}]),
    "a whole number that becomes a fraction": lambda h: h.data(1, rows=[1.0, {"n": 2}]),
    "true that becomes 1": lambda h: h.data(1, wide=1),
    "key of an object": lambda h: h.data(0, key="a.csv"),
    "name of an object": lambda h: h.data(0, uri="file:///tmp/x/incoming/b/b.csv"),
    "folder of an object": lambda h: h.data(0, uri="file:///tmp/x/incoming/c/a.csv"),
    "place of an object": lambda h: h.data(0, uri="file:///tmp/x/models/b/a.csv"),
    "size of an object": lambda h: h.data(0, size=4),
    "message of a failure": lambda h: h.data(2, message="b/a.csv of r2 is worse"),
    "attempts of a failure": lambda h: h.data(2, attempts=2),
    "what looks like an id in a payload": lambda h: h.data(1, table="r2"),
    "a run more": lambda h: replace(h, runs=[*h.runs, run(6, 2, "train")]),
    "a run of what nothing took": lambda h: replace(h, runs=[*h.runs, run(6, 6, "take")]),
    "a run fewer": lambda h: replace(h, runs=h.runs[:2]),
    "an event more": lambda h: replace(h, events=[*h.events, event(7, "Processed", 1, 1, "churn/process", table="r1")]),
    "an event twice": lambda h: replace(h, events=[*h.events, h.events[1]._replace(number=7, id="id7")]),
    "an event fewer": lambda h: replace(h, events=[*h.events[:2], *h.events[3:]]),
    "a rejection more": lambda h: replace(h, rejected=[*h.rejected, "subject has 5,000 characters"]),
    "a rejection fewer": lambda h: replace(h, rejected=()),
    "why it was rejected": lambda h: replace(h, rejected=("the event is cut",)),
    "order in a group": lambda h: h.run(3, started=9.0),
    "group": lambda h: h.data(3, attributes={GROUP: "b"}),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_difference_is_found(plant: Callable[[History], History]) -> None:
    assert HISTORY.unlike(plant(HISTORY))


def test_the_order_in_which_a_serial_route_ran_is_kept() -> None:
    events = [*HISTORY.events, event(7, "Processed", 1, 1, "churn/process", table="later")]
    several = replace(HISTORY, events=events, runs=[*HISTORY.runs, run(6, 7, "train")])
    assert several.unlike(several.run(5, started=0.5))


@pytest.mark.parametrize("field", HISTORY.compared()[0])
def test_every_field_that_is_kept_of_an_event_is_one_that_is_planted(field: str) -> None:
    words = {"data": "payload", "runs": "a run more", "version": "version of the type"}
    assert words.get(field, field) in PLANTED


@pytest.mark.parametrize("field", HISTORY.compared()[0]["runs"][0])
def test_every_field_that_is_kept_of_a_run_is_one_that_is_planted(field: str) -> None:
    assert {"state": "outcome", "emitted": "an event more"}.get(field, field) in PLANTED


# --- what is erased


def _renumbered(history: History, by: int) -> History:
    """Return what the same chains are with other numbers, ids and moments, as in AWS."""
    events = [
        row._replace(
            number=row.number + by,
            id=f"other{row.number}",
            root=row.root + by,
            cause=row.cause and row.cause + by,
            time=row.time + by,
            recorded=row.recorded + by,
        )
        for row in history.events
    ]
    runs = [
        replace(one, number=one.number + by, event=one.event + by, epoch=3, started=(one.started or 0.0) + by)
        for one in history.runs
    ]
    again = f"b/a.csv of r{2 + by} is bad"
    told = replace(history, events=events, runs=runs, places=tuple(THERE.items()))
    told = told.data(0, uri="s3://churn-data/incoming/b/a.csv", version="b1946a")
    return told.data(2, run=f"r{2 + by}", event_id="other2", message=again).run(1, error=f"ValueError: {again}")


@given(by=st.integers(1, 10**9))
def test_ids_numbers_moments_and_where_places_are_make_no_difference(by: int) -> None:
    assert HISTORY.unlike(_renumbered(HISTORY, by)) == []


@given(st.permutations(range(6)), st.permutations(range(5)))
def test_the_order_of_rows_makes_no_difference(events: list[int], runs: list[int]) -> None:
    mixed = replace(HISTORY, events=[HISTORY.events[at] for at in events], runs=[HISTORY.runs[at] for at in runs])
    assert HISTORY.unlike(mixed) == []


def test_what_nothing_took_is_left_out() -> None:
    assert HISTORY.unlike(replace(HISTORY, events=HISTORY.events[:-1])) == []


WORDS = [
    "r1",
    "e2",
    "2026-01-31",
    "08:15",
    "s3://",
    "s3://churn-data/",
    "file:///",
    "/tmp/x/",
    "incoming",
    " ",
    "/",
    "é",
]
MOMENTS = ["2026-01-31T08:15", "2026-01-31 08:15:00", "1999-12-31T23:59:59.123456Z", "2026-01-31T08:15:00+02:00"]


@given(st.lists(st.sampled_from(WORDS)).map("".join).filter(lambda text: "churn-data/incoming" not in text))
def test_text_that_holds_no_moment_and_no_place_stays_as_it_is(text: str) -> None:
    assert erasing(THERE)(text.replace("08:15", "08.15")) == text.replace("08:15", "08.15")


@given(st.sampled_from(MOMENTS), st.sampled_from(["", "at ", "{"]), st.sampled_from(["", " it was", "}", ", r7"]))
def test_of_a_text_with_a_moment_only_the_moment_goes(moment: str, before: str, after: str) -> None:
    assert erasing(THERE)(before + moment + after) == f"{before}(moment){after}"


@given(
    st.sampled_from([HERE, THERE]), st.sampled_from(["", "/", "/b/a.csv", "/a%20b.csv?versionId=1", ": no such", "."])
)
def test_of_a_place_only_where_it_is_goes(places: dict[str, str], rest: str) -> None:
    assert erasing(places)(f"in {places['incoming']}{rest}") == f"in (incoming){rest}"


@pytest.mark.parametrize("other", ["incoming2", "incoming-old", "incoming.old"])
def test_a_place_whose_name_goes_on_is_another_one(other: str) -> None:
    text = f"s3://churn-data/{other}/a.csv"
    assert erasing(THERE)(text) == text
