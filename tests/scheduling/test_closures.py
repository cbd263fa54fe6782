"""Closed gates are written down for other processes: when they close, change and open, and no oftener."""

from __future__ import annotations

from contextlib import closing
from math import inf
from typing import Any

from tests.kit import Life, Start
from tests.test_keys import Bench, Order, sent
from triggers.events import encode
from triggers.journal import Shut
from triggers.journal.views import closed, open_reader
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms, scale
from triggers.state import StateFolder


class Barrier:
    """A gate that keys are held back by, until somebody opens it."""

    by_run = True

    def __init__(self, **shut: Closed) -> None:
        self.shut = shut
        self.looks = 0

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        self.looks += 1
        return self.shut.get(terms.key or "none")


def barred(start: Start, barrier: Barrier, **options: Any) -> tuple[Bench, Life]:
    bench = Bench(key="customer", **options)
    life = start(bench.app)
    life.dispatcher.admission.flows["job"].gates = (barrier,)
    return bench, life


def written(life: Life) -> list[Shut]:
    found: list[Shut] = life.run(life.dispatcher.pipeline.asked(closed))
    return found


NIGHT = Closed(1e12, "outside its window")
PAUSED = Closed(inf, "paused by hand")


def test_what_gates_hold_back_is_written_with_its_reason_and_its_moment(start: Start) -> None:
    bench, life = barred(start, Barrier(a=NIGHT, b=PAUSED))
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="b"), Order(n=3, customer="c"))
    assert bench.begun == [3]
    assert written(life) == [Shut("job", False, "a", *NIGHT[:2]), Shut("job", False, "b", *PAUSED[:2])]


def test_of_a_gate_that_is_only_looked_at_again_nobody_is_told_that_it_opens_then(start: Start) -> None:
    _, life = barred(start, Barrier(a=Closed(1e12, "under pressure", opens=False)))
    sent(life, Order(n=1, customer="a"))
    assert written(life) == [Shut("job", True, None, inf, "under pressure")]
    assert life.dispatcher.admission.reopens == 1e12


def test_runs_without_a_key_are_not_taken_for_all_of_a_route(start: Start) -> None:
    _, life = barred(start, Barrier(none=NIGHT, a=PAUSED))
    sent(life, Order(n=1), Order(n=2, customer="a"))
    assert written(life) == [Shut("job", False, None, *NIGHT[:2]), Shut("job", False, "a", *PAUSED[:2])]


def test_what_is_alike_for_all_keys_is_one_row(start: Start) -> None:
    _bench, life = barred(start, Barrier(a=NIGHT, b=NIGHT))
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="b"))
    assert written(life) == [Shut("job", True, None, *NIGHT[:2])]


class Large(Barrier):
    """A gate that large inputs are held back by, whatever their keys."""

    by_run = False

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        return self.shut["large"] if (terms.size or 0) > 1000 else None


def test_of_a_gate_that_goes_by_no_key_it_is_written_how_large_the_inputs_are_that_it_holds_back(start: Start) -> None:
    bench, life = barred(start, Large(large=NIGHT), concurrency=1)
    life.dispatcher.admission.flows["job"].scaled = True
    large = [Order(n=n, customer="abc"[n % 3] * 2000) for n in range(1, 9)]
    sent(life, *large)
    assert written(life) == [Shut("job", True, None, *NIGHT[:2])]
    sent(life, Order(n=9, customer="a"), Order(n=10, customer="b"))
    assert bench.begun == [9]
    assert written(life) == [Shut("job", True, None, *NIGHT[:2], scale(len(encode(large[0]))))]


def test_a_gate_that_opens_is_gone_and_nothing_is_written_where_none_is_closed(start: Start) -> None:
    barrier = Barrier(a=NIGHT)
    bench, life = barred(start, barrier)
    sent(life, Order(n=1, customer="a"))
    barrier.shut.clear()
    sent(life, Order(n=2, customer="b"))
    assert sorted(bench.begun) == [1, 2]
    assert written(life) == []


def test_a_gate_whose_words_change_at_each_look_does_not_keep_the_disk_busy(start: Start) -> None:
    class Busy(Barrier):
        def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
            self.looks += 1
            return Closed(inf, f"the machine is under pressure: {self.looks}")

    barrier = Busy()
    _bench, life = barred(start, barrier)
    sent(life, Order(n=1, customer="a"))
    assert barrier.looks < 6
    assert written(life)[0].reason.startswith("the machine is under pressure")


def test_many_keys_are_written_once_in_a_while(start: Start) -> None:
    keys = [f"k{n}" for n in range(30)]
    barrier = Barrier(**{key: Closed(1e12 + n, "throttled") for n, key in enumerate(keys)})
    _bench, life = barred(start, barrier)
    sent(life, *(Order(n=n, customer=key) for n, key in enumerate(keys)))
    assert len(written(life)) == 30
    del barrier.shut["k0"]
    sent(life, Order(n=31, customer="z"))
    assert len(written(life)) == 30
    life.clock.step(life.clock.monotonic() + 1)
    sent(life, Order(n=32, customer="z"))
    assert len(written(life)) == 29


def test_what_was_not_written_at_once_is_written_although_nothing_else_happens(start: Start) -> None:
    keys = [f"k{n}" for n in range(20)]
    barrier = Barrier(**{key: Closed(1e12 + n, "closed") for n, key in enumerate(keys)})
    _bench, life = barred(start, barrier)
    for n, key in enumerate(keys):
        sent(life, Order(n=n, customer=key))
    with closing(open_reader(StateFolder(life.folder))) as reader:  # to ask the dispatcher would have it look
        assert len(closed(reader)) == 10
        life.advance(1)
        assert len(closed(reader)) == 20


def test_of_more_keys_than_are_written_it_is_said_that_there_are_more(start: Start) -> None:
    keys = [f"k{n}" for n in range(101)]
    barrier = Barrier(**{key: Closed(1e12 + n, "closed") for n, key in enumerate(keys)})
    _bench, life = barred(start, barrier)
    sent(life, *(Order(n=n, customer=key) for n, key in enumerate(keys)))
    many = "101 of its keys are behind gates, too many to note which"
    assert written(life) == [Shut("job", True, None, inf, many)]


def test_what_readers_find_in_the_journal_is_not_written_once_more(start: Start) -> None:
    _bench, life = barred(start, Barrier(a=NIGHT._replace(recorded=True), b=NIGHT))
    sent(life, Order(n=1, customer="a"), Order(n=2, customer="b"))
    assert written(life) == [Shut("job", False, "b", *NIGHT[:2])]


def test_the_next_owner_begins_with_none(start: Start) -> None:
    bench, life = barred(start, Barrier(a=NIGHT))
    sent(life, Order(n=1, customer="a"))
    life.crash()
    life = start(bench.app)
    life.until(lambda: not life.dispatcher.pipeline.busy)
    assert written(life) == []
