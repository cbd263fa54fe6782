"""The window of a flow against a plain sorted list: everything that waits comes out once, in order."""

from __future__ import annotations

import heapq
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.events import Event
from triggers.lineage import EventRow
from triggers.options import make_policy
from triggers.policy import Rank
from triggers.routing import Route, make_route
from triggers.scheduling.flows import KEPT, WINDOW, Flow, Head
from triggers.scheduling.terms import Terms


class A(Event):
    pass


def handler(event: A) -> None: ...


def route(**options: Any) -> Route:
    return make_route(handler, A, name=None, where=None, source=None, policy=make_policy("r", options))


def waiting(number: int) -> Head:
    return Head(number, number, Terms(0.0))


class Table:
    """What the journal would answer: all waiting runs, sorted."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.waits: set[int] = set()
        self.asked: list[list[Rank]] = []

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.waits.add(number)
            self.flow.add(waiting(number))
            assert self.flow.held <= 2 * WINDOW

    def ask(self) -> None:
        if self.flow.runs_low():
            behind = self.flow.ask()
            self.asked.append(heapq.nsmallest(WINDOW, [(0.0, n) for n in self.waits if (0.0, n) > behind]))

    def answer(self) -> None:
        if self.asked:
            self.flow.fill([waiting(number) for _, number in self.asked.pop()], WINDOW)
            assert self.flow.held <= 2 * WINDOW

    def pop(self) -> int | None:
        if not self.flow.held:
            return None
        (lane,) = self.flow.ready()
        number = self.flow.pop(lane).number
        self.waits.remove(number)
        return number

    def drain(self) -> list[int]:
        out = []
        for _ in range(len(self.waits) * 2 + 10):
            self.answer()
            while (number := self.pop()) is not None:
                out.append(number)
            self.ask()
        return out


def opened() -> Table:
    table = Table(Flow(route(), {}))
    table.ask()
    table.answer()
    return table


def test_a_new_flow_asks_the_journal_before_it_believes_that_nothing_waits() -> None:
    flow = Flow(route(), {})
    assert flow.runs_low()
    flow.ask()
    assert not flow.runs_low()
    flow.fill([], WINDOW)
    assert flow.horizon is None
    assert not flow.runs_low()


def test_six_windows_of_runs_come_out_once_and_in_order_and_memory_holds_two_windows() -> None:
    table = opened()
    table.add(*range(6 * WINDOW))
    assert table.drain() == list(range(6 * WINDOW))
    assert table.flow.horizon is None


def test_runs_that_arrive_while_the_journal_is_asked_are_not_passed_over() -> None:
    table = opened()
    table.add(*range(2 * WINDOW + 1))
    for newest in (3 * WINDOW, 4 * WINDOW):
        while table.flow.held > WINDOW // 3:
            table.pop()
        table.ask()
        table.add(*range(newest, newest + 10))  # the answer is old by now
        table.answer()
    expected = sorted(table.waits)
    assert table.drain() == expected
    assert table.flow.horizon is None


def test_a_window_that_is_drawn_in_while_the_journal_is_asked_passes_nothing_over() -> None:
    table = opened()
    table.add(*range(100_000, 100_000 + 3 * WINDOW))
    while table.flow.held > WINDOW // 3:
        table.pop()
    table.ask()
    table.add(*range(4 * WINDOW))  # old runs that an operator drives again: they rank before all others
    expected = sorted(table.waits)
    assert table.drain() == expected


def test_a_run_that_arrives_in_the_middle_of_what_is_being_read_is_not_passed_over() -> None:
    table = opened()
    table.add(*range(100_000, 100_000 + WINDOW))
    table.add(*range(WINDOW + WINDOW // 2))
    while table.flow.held > WINDOW // 3:
        table.pop()
    table.ask()
    table.add(WINDOW + WINDOW // 2)
    expected = sorted(table.waits)
    assert table.drain() == expected


def test_more_runs_than_are_held_while_the_journal_is_asked_are_found_when_it_is_asked_again() -> None:
    table = Table(Flow(route(), {}))
    table.ask()
    table.add(*range(WINDOW + 10))
    assert table.drain() == list(range(WINDOW + 10))


def test_runs_that_the_journal_has_not_taken_are_forgotten_among_those_with_other_keys_too() -> None:
    flow = Flow(route(key=lambda event: "?"), {})
    flow.fill([], WINDOW)
    heads = [Head(number, number, Terms(0.0, key="ab"[number % 2])) for number in range(6)]
    for head in heads:
        flow.add(head)
    for head in (heads[0], heads[3], heads[5], waiting(9)):
        flow.remove(head)
    assert ([head.number for head in flow], flow.held) == ([1, 2, 4], 3)
    [row] = flow.lined_up()
    assert [lane.first.number for lane in row.ranked.first(9, lambda lane: True)] == [1, 2]


def test_only_the_small_events_of_runs_whose_turn_may_be_soon_stay_in_memory() -> None:
    flow = Flow(route(key=lambda event: "?"), {})
    flow.fill([], WINDOW)
    heads = []
    for number in range(WINDOW + 1):
        data = "x" * (KEPT + 1 if number == 1 else 1)
        event = EventRow(number, "i", "s", "A", 1, None, 0.0, 0.0, data, None, number, 0, 1)
        heads.append(Head(number, number, Terms(0.0), kept=event))
        flow.add(heads[-1])
        flow.handed_over(heads[-1])
    assert [head.number for head in heads if not head.kept] == [1, WINDOW]


def test_a_lane_shows_no_more_than_may_start_and_always_its_first() -> None:
    needs = {"thread": 1, "gpu": 2}
    flow = Flow(route(), needs)
    flow.fill([waiting(number) for number in range(9)], WINDOW)
    (lane,) = flow.ready()
    assert lane.seen({"thread": 50, "gpu": 4}, needs, None, None).heads == [(0, 0), (0, 1)]
    assert lane.seen({"thread": 50, "gpu": 1}, needs, None, None).heads == [(0, 0)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 1500)), st.tuples(st.just("old"), st.integers(1, 1500)),
        st.tuples(st.just("pop"), st.integers(1, 1500)), st.tuples(st.just("twice"), st.integers(1, 1500)),
        st.tuples(st.sampled_from(["ask", "answer"]), st.just(0)),
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=40)
@given(steps)
def test_whatever_happens_in_whatever_order_each_run_comes_out_once(steps: list[tuple[str, int]]) -> None:
    table, newest, oldest, out, twice = opened(), 1_000_000, 0, list[int](), set[int]()
    for word, number in steps:
        if word == "add":
            table.add(*range(newest, newest + number))
            newest += number
        elif word == "old":
            table.add(*range(oldest, oldest + number))
            oldest += number
        elif word == "twice":  # every second one is a duplicate
            heads = [waiting(n) for n in range(newest, newest + 2 * number, 2)]
            for head in heads:
                table.flow.add(head)
            table.answer()  # the commit before theirs
            table.ask()
            table.add(*range(newest + 1, newest + 2 * number, 2))
            newest += 2 * number
            for head in heads:
                table.flow.remove(head)
            twice.update(head.number for head in heads)
        elif word == "pop":
            out += [popped for _ in range(number) if (popped := table.pop()) is not None]
        elif word == "ask":
            table.ask()
        else:
            table.answer()
    out += table.drain()
    assert sorted(out) == [*range(oldest), *(n for n in range(1_000_000, newest) if n not in twice)]
