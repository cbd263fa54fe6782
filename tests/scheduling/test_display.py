"""What the policy is shown decides the same as all that waits would, and most of it is not even looked at."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduling.test_flows import A, handler
from triggers.journal import Promoted
from triggers.options import make_policy
from triggers.policy import Shares, View, order
from triggers.prediction.forecast import Prediction
from triggers.routing import make_route
from triggers.scheduling import holdings
from triggers.scheduling.admission import Admission, Choice
from triggers.scheduling.flows import BEFORE_ALL, Head
from triggers.scheduling.gates import Closed
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.terms import Terms

DAY = 86_400.0
SPAN = 1800.0
LARGE = 2**30
WINDOW = ["01:50-02:30 UTC", "03:00-03:20 UTC", "05:00-12:00 UTC", "20:00-21:00 UTC"]
"""The clock begins at 01:46:40."""
WEIGHTS = {"a": 2.0, "b": 1.31, "c": 0.73, "d": 1.67, "e": 1.93, "f": 0.89, "": 1.13}
"""No two shares have had the same, where both had anything: who is next does not hang on the last digit of a float."""
KEYED: dict[str, dict[str, Any]] = {
    "keys": {"per_key": 1},
    "keys that do not overlap": {"overlap": "queue"},
    "two of each key": {"per_key": 2},
    "deadlines": {"deadline": SPAN, "per_key": 1},
    "shares": {"share": True},
    "shares, one of each at work": {"share": True, "per_key": 1},
    "shares with deadlines": {"share": True, "deadline": SPAN},
}


def all_of(view: View) -> Any:
    """Order as the default does, as a policy of the app's own, which sees the lane of each key."""
    return order(view)


class Counted(Shares):
    """Shares that count how often one is looked at."""

    looked = 0

    def standing(self, name: str, now: float) -> tuple[float, float]:
        self.looked += 1
        return super().standing(name, now)


class Machine:
    """An admission of one route with keys, whose other options vary, and one without, with some threads."""

    def __init__(self, threads: int, options: dict[str, Any], plain: dict[str, Any] | None = None, **more: Any) -> None:
        self.now = 1e9
        declared = {"keyed": {"key": lambda event: None, **options}, "plain": plain or {}}
        routes = {
            name: make_route(handler, A, name=name, where=None, source=None, policy=make_policy(name, one))
            for name, one in declared.items()
        }
        self.shares = Counted(WEIGHTS)
        sharing = Sharing(self.shares, lambda: self.now)
        lasts = (600.0, 900.0), (60.0, 90.0), (3000.0, 4500.0)

        def forecast(route: str, size: int | None) -> tuple[float, float]:
            return lasts[1 if route == "plain" else size == LARGE and 2]

        self.of = Admission(routes, {"thread": threads, "gpu": 2}, 600, forecast, sharing=sharing, **more)
        for flow in self.of.flows.values():
            flow.ask()
            self.of.fill(flow, [])

    def wait(self, number: int, route: str, key: str, priority: int, ago: float, size: int = 1) -> None:
        """Have a run wait that came so many seconds ago."""
        came = self.now - ago
        deadline = came + SPAN if route == "keyed" and self.of.flows[route].route.policy.deadline else None
        terms = Terms(came - 600 * priority, priority, key if route == "keyed" else None, size, deadline)
        self.of.flows[route].add(Head(number, number, terms))
        self.of.fill(self.of.flows[route], [])

    def start(self) -> list[int]:
        return [head.number for _, head in self.of.choose(self.now).claims]


steps = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from(["keyed", "keyed", "keyed", "plain"]),
                st.sampled_from("abcdef"),
                st.sampled_from([0, 0, 0, 1]),
                st.sampled_from([0.0, 0.0, 5.0, 700.0, 1200.0, 1900.0, 2 * DAY]),
            ),
            max_size=4,
        ),
        st.integers(0, 3),
        st.sampled_from([0.0, 1.0, 60.0, 400.0, 5000.0]),
    ),
    min_size=1,
    max_size=25,
)


def decide_the_same(few: Machine, whole: Machine, steps: list[Any]) -> None:
    running: list[int] = []
    number = 0
    for coming, ends, later in steps:
        for one in coming:
            number += 1
            size = LARGE if number % 2 and few.of.flows["keyed"].scaled else 1
            few.wait(number, *one, size)
            whole.wait(number, *one, size)
        ended, running = running[:ends], running[ends:]
        for machine in (few, whole):
            for run in ended:
                machine.of.release(run)
            machine.now += later
        started = few.start()
        assert started == whole.start()
        running += started


@pytest.mark.parametrize("options", KEYED.values(), ids=KEYED)
@given(steps=steps, threads=st.integers(1, 3))
@settings(max_examples=20)
def test_what_starts_is_what_would_start_if_the_policy_saw_the_lane_of_each_key(
    options: dict[str, Any], steps: list[Any], threads: int
) -> None:
    decide_the_same(Machine(threads, options), Machine(threads, options, policy=all_of), steps)


@pytest.mark.parametrize("options", KEYED.values(), ids=KEYED)
@given(steps=steps, threads=st.integers(1, 3))
@settings(max_examples=20)
def test_so_it_is_behind_a_window(options: dict[str, Any], steps: list[Any], threads: int) -> None:
    options = {**options, "window": WINDOW}
    decide_the_same(Machine(threads, options), Machine(threads, options, policy=all_of), steps)


@pytest.mark.parametrize("options", KEYED.values(), ids=KEYED)
@given(steps=steps, threads=st.integers(1, 3))
@settings(max_examples=20)
def test_so_it_is_where_a_turnstile_lets_them_through_one_by_one(
    options: dict[str, Any], steps: list[Any], threads: int
) -> None:
    few, whole = Machine(threads, options), Machine(threads, options, policy=all_of)
    for machine in (few, whole):
        machine.of.turnstile("keyed", OneByOne())
    decide_the_same(few, whole, steps)


class Forgetful(Admission):
    """An admission that shows all that waits anew for each choice."""

    def choose(self, now: float) -> Choice:
        for flow in self.flows.values():
            flow.lined = None
            for lane in flow.lanes.values():
                lane.shown = None
        return super().choose(now)


class OneByOne:
    """A turnstile that is closed for each second half of an hour."""

    by_run = False

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        return Closed(now - now % 3600 + 3600, "it is closed") if now % 3600 >= 1800 else None

    def lets(self, now: float, terms: Terms) -> tuple[str, int]:
        return "the turnstile", 1


class Halt:
    """A gate that nothing opens."""

    by_run = False

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed:
        return Closed(math.inf, "it is closed")


ROUTES: dict[str, dict[str, Any]] = {
    "plain": {"needs": {"memory": 2}},
    "limited": {"concurrency": 2},
    "keyed": {"key": lambda event: None, "concurrency": 3, "needs": {"memory": 1}},
    "bounded": {"key": lambda event: None, "per_key": 1},
    "bounded to two": {"key": lambda event: None, "per_key": 2},
    "single": {"key": lambda event: None, "overlap": "queue"},
    "due": {"key": lambda event: None, "deadline": SPAN, "per_key": 1},
    "shared": {"key": lambda event: None, "share": True},
}


class Workload:
    """Whatever can happen to what waits, by chance, to one who keeps what was shown and one who does not."""

    def __init__(self, seed: int) -> None:
        self.drawn, self.now, self.number = random.Random(seed), 1e9, 0
        names = self.drawn.sample(list(ROUTES), self.drawn.randint(1, 4))
        self.lasts = {name: Prediction(60.0 * n, 90.0 * n) for n, name in enumerate(names, 1)}
        self.known: dict[int, tuple[str, str | None]] = {}
        self.running: list[int] = []
        self.over: list[int] = []
        self.delayed: list[int] = []
        threads, memory = self.drawn.randint(1, 4), self.drawn.randint(4, 9)
        self.both = [self.made(kind, names, {"thread": threads, "memory": memory}) for kind in (Admission, Forgetful)]

    def made(self, kind: type[Admission], names: list[str], capacity: dict[str, float]) -> Admission:
        routes = {
            name: make_route(handler, A, name=name, where=None, source=None, policy=make_policy(name, ROUTES[name]))
            for name in names
        }
        sharing = Sharing(Shares(WEIGHTS), lambda: self.now)
        made = kind(routes, capacity, 600, lambda route, size: self.lasts[route], sharing=sharing)
        for flow in made.flows.values():
            flow.ask()
            made.fill(flow, [])
        return made

    def happen(self) -> None:
        """Have one thing happen."""
        drawn, routes = self.drawn, list(self.lasts)
        what, route = drawn.choice(["come", "come", "end", "end", "other", "other"]), drawn.choice(routes)
        if what == "come":
            for _ in range(drawn.randint(1, 3)):
                self.number += 1
                self.come(self.number, drawn.choice(routes), drawn.choice([*"abc", None]))
        elif what == "end" and self.running:
            number = self.running.pop(drawn.randrange(len(self.running)))
            self.over.append(number)
            for one in self.both:
                one.release(number)
        else:
            drawn.choice([self.delay, self.tried_again, self.forget, self.bar, self.predict, self.grow, self.wait])(
                route
            )

    def come(self, number: int, route: str, key: str | None) -> None:
        priority, ago = self.drawn.choice([0, 0, 0, 1]), self.drawn.choice([*range(0, 700, 70), 2 * DAY])
        rank, options = self.now - ago - 600 * priority, ROUTES[route]
        deadline = self.now - ago + SPAN if "deadline" in options else None
        memory = 3.0 if "needs" in options and self.drawn.random() < 0.2 else None
        terms = Terms(rank, priority, key if "key" in options else None, 1, deadline, None, memory)
        self.known[number] = route, terms.key
        for one in self.both:
            one.promote([Promoted(number, number, route, 0, terms)])

    def delay(self, route: str) -> None:
        """Have a run that has ended be tried again later."""
        if self.over:
            number = self.over.pop()
            self.delayed.append(number)
            name, key = self.known[number]
            for one in self.both:
                one.hold([(name, number, key)])

    def tried_again(self, route: str) -> None:
        if self.delayed:
            number = self.delayed.pop()
            self.come(number, *self.known[number])

    def forget(self, route: str) -> None:
        of = self.delayed if self.drawn.random() < 0.5 else self.known.keys() - self.running
        gone = {number for number in of if self.known[number][0] == route and self.drawn.random() < 0.3}
        self.delayed = [number for number in self.delayed if number not in gone]
        for one in self.both:
            one.flows[route].forget(gone)

    def bar(self, route: str) -> None:
        gates = {route: Halt()} if self.drawn.random() < 0.5 else {}
        for one in self.both:
            one.bar(gates)

    def predict(self, route: str) -> None:
        self.lasts[route] = Prediction(self.drawn.uniform(1, 900), self.drawn.uniform(900, 2000))

    def grow(self, route: str) -> None:
        threads = self.drawn.randint(0, 5)
        for one in self.both:
            one.resize("thread", threads)

    def wait(self, route: str) -> None:
        self.now += self.drawn.choice([-60.0, 1.0, 60.0, 5000.0])

    def start(self) -> tuple[list[int], list[int]]:
        """Return what the one starts and what the other does."""
        kept, anew = ([head.number for _, head in one.choose(self.now).claims] for one in self.both)
        self.running += kept
        return kept, anew


@pytest.mark.parametrize("seed", range(100))
def test_what_starts_is_what_would_start_if_nothing_were_kept_of_what_was_shown_before(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "FEW", 0)  # else the bounds of keys are there for longer than this takes
    work = Workload(seed)
    for _ in range(100):
        for _ in range(work.drawn.randint(1, 4)):
            work.happen()
        kept, anew = work.start()
        assert kept == anew


def waiting(options: dict[str, Any]) -> Machine:
    """Return a machine of two threads on which a thousand keys wait, of which two runs are at work."""
    machine = Machine(2, options)
    for number in range(3000):
        machine.wait(number, "keyed", f"k{number % 1000}", 0, 0.0)
    assert len(machine.start()) == 2
    machine.of.release(0)
    return machine


def test_what_was_seen_of_a_lane_holds_only_as_long_as_that_much_is_free() -> None:
    machine = Machine(10, {})
    for number in range(30):
        machine.wait(number, "plain", "a", 0, 0.0)
    assert machine.start() == list(range(10))
    assert machine.start() == []
    for number in range(10):
        machine.of.release(number)
    assert machine.start() == list(range(10, 20))


@pytest.mark.parametrize("route", ["keyed", "plain"])
def test_what_was_seen_before_a_gate_closed_is_looked_at_anew_once_it_is_gone(route: str) -> None:
    machine = Machine(9, {})
    for number in range(30):
        machine.wait(number, route, f"k{number}", 0, 0.0)
    assert machine.start() == list(range(9))
    assert machine.start() == []
    machine.of.bar({route: Halt()})
    for number in range(9):
        machine.of.release(number)
    assert machine.start() == []
    machine.of.bar({})
    assert machine.start() == list(range(9, 18))


def test_a_key_of_which_one_of_two_has_ended_is_looked_at_anew() -> None:
    machine = Machine(9, {"per_key": 2})
    for number in range(3):
        machine.wait(number, "keyed", "a", 0, 0.0)
    assert machine.start() == [0, 1]
    assert machine.start() == []
    machine.of.release(0)
    assert machine.start() == [2]


def test_what_the_journal_still_has_starts_though_no_key_had_room_before_it_was_read() -> None:
    machine = Machine(9, {"per_key": 1})
    flow = machine.of.flows["keyed"]
    flow.horizon = BEFORE_ALL
    for key in "ab":
        flow.ask()
        flow.fill([Head(number, number, Terms(ord(key), 0, key)) for number in range(ord(key), ord(key) + 2)], 2)
        assert machine.start() == [ord(key)]
        assert machine.start() == []


def test_of_a_thousand_keys_with_deadlines_only_those_that_may_be_next_are_looked_at() -> None:
    machine = waiting(KEYED["deadlines"])
    assert machine.start() == [2]
    assert len(machine.of.holdings.capacity) <= 1 + 4  # there is a bound for each key that was looked at


def test_of_a_thousand_shares_only_those_are_looked_at_that_may_have_had_least() -> None:
    machine = waiting(KEYED["shares"])
    machine.shares.looked = 0
    for number in range(20):
        machine.now += 60
        (started,) = machine.start()
        machine.of.release(started)
        assert machine.shares.looked < 5 * (number + 1)


def test_what_the_first_to_come_needs_is_kept_once_it_is_late_though_its_share_has_had_most() -> None:
    machine = Machine(9, {"share": True, "needs": {"gpu": 2}}, plain={"needs": {"gpu": 1}})
    machine.wait(0, "keyed", "a", 0, 0.0)
    assert machine.start() == [0]
    machine.now += 3600
    machine.of.release(0)
    machine.wait(1, "plain", "", 0, 0.0)
    assert machine.start() == [1]
    machine.now += 60
    machine.wait(2, "keyed", "a", 0, 2 * DAY)
    machine.wait(3, "keyed", "b", 0, 0.0)
    machine.wait(4, "plain", "", 0, 0.0)
    assert machine.start() == []  # the one gpu that is free is kept for the one that is late


def test_a_window_is_asked_about_each_key_where_runs_have_deadlines() -> None:
    machine = Machine(1, {"deadline": SPAN, "window": "20:00-21:00 UTC"})
    flow = machine.of.flows["keyed"]
    for number, deadline in enumerate((7200.0, 60.0, -60.0, 3600.0)):
        flow.add(Head(number, number, Terms(machine.now - 60 + number, 0, f"k{number}", 1, machine.now + deadline)))
    machine.of.fill(flow, [])
    assert machine.start() == [1]
    assert {closed.until - machine.now for closed in machine.of.closures.of("keyed")} == {7200.0 - 900, 3600.0 - 900}


def test_gates_that_go_by_nothing_of_a_run_are_asked_about_one_of_a_thousand_keys() -> None:
    class Looked(Halt):
        looks = 0

        def closed(self, now: float, terms: Terms, longest: float | None) -> Closed:
            Looked.looks += 1
            return super().closed(now, terms, longest)

    machine = waiting({})
    machine.of.gate("keyed", Looked())
    assert machine.start() == []
    assert Looked.looks == 1
