"""What the policy is shown decides the same as all that waits would, and most of it is not even looked at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduling.test_flows import A, handler
from triggers.options import make_policy
from triggers.policy import Shares, View, order
from triggers.routing import make_route
from triggers.scheduling.admission import Admission
from triggers.scheduling.flows import Head
from triggers.scheduling.sharing import Sharing
from triggers.scheduling.terms import Terms

DAY = 86_400.0
SPAN = 1800.0
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
        lasts = (600.0, 900.0), (60.0, 90.0)

        def forecast(route: str, size: int | None) -> tuple[float, float]:
            return lasts[route == "plain"]

        self.of = Admission(routes, {"thread": threads, "gpu": 2}, 600, forecast, sharing=sharing, **more)
        for flow in self.of.flows.values():
            flow.ask()
            self.of.fill(flow, [])

    def wait(self, number: int, route: str, key: str, priority: int, ago: float) -> None:
        """Have a run wait that came so many seconds ago."""
        came = self.now - ago
        deadline = came + SPAN if route == "keyed" and self.of.flows[route].route.policy.deadline else None
        terms = Terms(came - 600 * priority, priority, key if route == "keyed" else None, 1, deadline)
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


@pytest.mark.parametrize("options", KEYED.values(), ids=KEYED)
@given(steps=steps, threads=st.integers(1, 3))
@settings(max_examples=20)
def test_what_starts_is_what_would_start_if_the_policy_saw_the_lane_of_each_key(
    options: dict[str, Any], steps: list[Any], threads: int
) -> None:
    few, whole = Machine(threads, options), Machine(threads, options, policy=all_of)
    running: list[int] = []
    number = 0
    for coming, ends, later in steps:
        for one in coming:
            number += 1
            few.wait(number, *one)
            whole.wait(number, *one)
        ended, running = running[:ends], running[ends:]
        for machine in (few, whole):
            for run in ended:
                machine.of.release(run)
            machine.now += later
        started = few.start()
        assert started == whole.start()
        running += started


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
