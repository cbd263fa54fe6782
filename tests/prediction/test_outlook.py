"""What is to come: the policy's own decisions played forward, and nothing said that nobody knows."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from triggers.commands.why import PLAYED
from triggers.journal.backlog import OpenRun, Parked
from triggers.journal.orders import Shut
from triggers.journal.views import AppView, RouteView
from triggers.policy import Shares
from triggers.prediction.forecast import Range
from triggers.prediction.outlook import MOST, Moments, Open, Outlook, draw, foresee
from triggers.scheduling.terms import Terms, scale
from triggers.simulate.declared import Declared

NOW = 1_000_000.0
MINUTE = Range(60, 60, 60, 30)
ABOUT = Range(30, 60, 120, 30)


def declared(**routes: Mapping[str, Any]) -> Declared:
    views = {
        name: RouteView(name, "A", None, None, {"kind": "coroutine", **policy}, []) for name, policy in routes.items()
    }
    return Declared(AppView("a", {"coroutine": 1000, "gpu": 1}, []), views)


def one(number: int, route: str = "work", *, started: float | None = None, **more: Any) -> OpenRun:
    due = more.pop("due", None)
    return OpenRun(number, route, 1, 1, started, due, Terms(NOW - 100 + number / 1000, **more))


def seen(
    app: Declared, running: Sequence[OpenRun], *waiting: OpenRun, delayed: Sequence[OpenRun] = (),
    shut: Sequence[Shut] = (), parked: Sequence[Parked] = (), **times: Range,
) -> Outlook:  # fmt: skip
    lines: dict[str, list[OpenRun]] = {}
    for run in waiting:
        lines.setdefault(run.route, []).append(run)
    open = Open(running, lines, delayed, {name: len(line) for name, line in lines.items()}, parked)
    return foresee(open, app, lambda route, size: times.get(route), shut, NOW)


def exactly(moment: float) -> Moments:
    return pytest.approx((NOW + moment,) * 3, abs=0.5)  # type: ignore[return-value]  # it compares as one


def test_those_that_wait_start_one_after_the_other_as_those_before_them_end() -> None:
    app = declared(work={"concurrency": 1})
    found = seen(app, [one(1, started=NOW - 20)], one(2), one(3), work=MINUTE).runs
    assert [found[n].end for n in (1, 2, 3)] == [exactly(40), exactly(100), exactly(160)]
    assert [found[n].start for n in (1, 2, 3)] == [exactly(-20), exactly(40), exactly(100)]


def test_those_that_go_in_the_order_of_their_data_start_as_the_one_before_them_ends() -> None:
    parked = [Parked(one(3), 2), Parked(one(2), 1), Parked(one(4), 0), Parked(one(5), 999)]
    found = seen(declared(work={}), [one(1, started=NOW - 20)], parked=parked, work=MINUTE).runs
    assert [found[n].start for n in (2, 3)] == [exactly(40), exactly(100)]
    assert [found[n].start for n in (4, 5)] == [None, None]  # behind a dead one, and behind one that is not looked at
    assert [found[n].after for n in (1, 2, 3, 4)] == [None, 1, 2, 0]


def test_whose_turn_in_the_order_of_the_data_has_come_starts_as_any_other() -> None:
    found = seen(declared(work={}), [], parked=[Parked(one(1), None), Parked(one(2), 1)], work=MINUTE).runs
    assert [(found[n].start, found[n].after) for n in (1, 2)] == [(exactly(0), None), (exactly(60), 1)]


def test_what_expires_before_it_could_start_is_dropped_and_keeps_nobody_waiting() -> None:
    app, running = declared(work={"concurrency": 1}), [one(1, started=NOW - 20)]
    late, tried = one(2, expires=NOW + 30), one(3, expires=NOW + 30)
    found = seen(app, running, late._replace(attempt=0), tried, one(4, expires=NOW + 110), work=MINUTE).runs
    assert (found[2].start, found[2].expires) == (None, NOW + 30)
    assert [found[n].start for n in (3, 4)] == [exactly(40), exactly(100)]  # what has been started does not expire
    after = seen(app, running, late._replace(attempt=0), parked=[Parked(one(5), 2)], work=MINUTE).runs[5]
    assert after.start == exactly(40)


def test_a_range_that_is_wide_gives_a_wide_answer_and_always_the_same() -> None:
    app = declared(work={"concurrency": 1})
    found = seen(app, [one(1, started=NOW - 20)], one(2), work=ABOUT).runs[2].start
    assert found is not None
    assert NOW < found.low < found.middle < found.high < NOW + 200
    assert found == seen(app, [one(1, started=NOW - 20)], one(2), work=ABOUT).runs[2].start


def test_a_run_that_has_been_at_work_for_long_is_never_expected_to_have_ended() -> None:
    for elapsed in (90, 110, 500):
        end = seen(declared(work={}), [one(1, started=NOW - elapsed)], work=ABOUT).runs[1].end
        assert end is not None
        assert NOW < end.low <= end.high


def test_what_depends_on_what_nobody_knows_is_not_predicted_and_the_rest_is() -> None:
    app = declared(work={}, heavy={"needs": {"gpu": 1}}, other={"needs": {"gpu": 1}})
    found = seen(app, [one(1, "heavy", started=NOW - 20)], one(2, "other"), one(3), work=MINUTE, other=MINUTE)
    assert found.runs[2].start is found.runs[2].end is None
    assert (found.runs[3].start, found.runs[3].end) == (exactly(0), exactly(60))
    assert found.unknown == {"heavy"}


def test_a_run_of_unknown_length_starts_and_nobody_knows_when_it_ends() -> None:
    expected = seen(declared(work={}), [], one(1)).runs[1]
    assert (expected.start, expected.end) == (exactly(0), None)


def test_closed_gates_open_when_they_said() -> None:
    shut = [
        Shut("work", False, "a", NOW + 300, "outside its window"),
        Shut("work", False, "b", math.inf, "paused"),
    ]
    found = seen(declared(work={}), [], one(1, key="a"), one(2, key="b"), one(3), shut=shut, work=MINUTE).runs
    assert [found[n].start for n in (1, 2, 3)] == [exactly(300), None, exactly(0)]


@pytest.mark.parametrize("every", [False, True])
def test_gates_that_go_by_the_size_of_inputs_hold_back_those_alone(every: bool) -> None:
    shut = [Shut("work", every, None, NOW + 300, "it would not end within its window", scale(5000))]
    waiting = one(1, size=5000), one(2, size=5050), one(3, size=50), one(4), one(5, size=5000, key="a")
    found = seen(declared(work={"price": "day.csv"}), [], *waiting, shut=shut, work=MINUTE).runs
    assert [found[n].start for n in (1, 2, 3, 4)] == [exactly(300), exactly(300), exactly(0), exactly(0)]
    assert found[5].start == exactly(300 if every else 0)


def test_what_is_known_of_one_key_is_not_looked_at_for_the_others() -> None:
    reads = 0

    class Row(Shut):
        @property
        def key(self) -> str:  # type: ignore[override]  # a row that counts who asks it
            nonlocal reads
            reads += 1
            return super().key or ""

    keys = [f"k{n}" for n in range(40)]
    shut = [Row("work", False, key, NOW + 100 + n, "throttled") for n, key in enumerate(keys)]
    found = seen(declared(work={}), [], *(one(n, key=key) for n, key in enumerate(keys)), shut=shut, work=MINUTE)
    assert [found.runs[n].start for n in (0, 39)] == [exactly(100), exactly(139)]
    assert reads <= len(keys)


def test_what_is_to_be_tried_again_starts_when_it_is_due() -> None:
    found = seen(declared(work={}), [], delayed=[one(1, due=NOW + 30), one(2, due=NOW - 5)], work=MINUTE).runs
    assert (found[1].start, found[2].start) == (exactly(30), exactly(0))


def test_a_key_waits_for_its_own_runs_alone() -> None:
    app = declared(work={"key": "customer", "per_key": 1})
    running = [one(1, started=NOW - 20, key="a")]
    found = seen(app, running, one(2, key="a"), one(3, key="b"), work=MINUTE).runs
    assert (found[2].start, found[3].start) == (exactly(40), exactly(0))


def test_starts_that_are_throttled_are_spread() -> None:
    app = declared(work={"throttle": [2, 60.0]})
    app.counted = [("work", None, NOW + 10)]
    found = seen(app, [], *(one(n) for n in range(4)), work=MINUTE).runs
    assert [found[n].start for n in range(4)] == [exactly(0), exactly(10), exactly(60), exactly(70)]


def test_the_share_that_had_least_of_late_is_expected_first() -> None:
    app = declared(work={"key": "tenant", "share": True, "needs": {"gpu": 1}})
    for had, first in (("a", 2), ("b", 1)):
        app.had = Shares(app.weights)
        app.had.recall(had, 1.0, NOW - 7200, NOW, NOW)
        found = seen(app, [], one(1, key="a"), one(2, key="b"), work=MINUTE).runs
        assert (found[first].start, found[3 - first].start) == (exactly(0), exactly(60))


def test_no_more_than_some_thousand_are_played_and_the_rest_is_counted() -> None:
    found = seen(declared(work={"concurrency": 50}), [], *(one(n) for n in range(3000)), work=MINUTE)
    assert (len(found.runs), found.behind["work"]) == (MOST, 3000 - MOST)


def test_runs_of_a_route_that_is_gone_are_left_out() -> None:
    assert seen(declared(work={}), [], one(1, "old"), work=MINUTE).runs == {}


def test_a_drawn_time_lies_in_the_range_eight_of_ten_times_and_is_never_over_already() -> None:
    drawn = random.Random(1)
    times = [draw(ABOUT, 0, drawn.random()) for _ in range(5000)]
    assert 0.78 < sum(ABOUT.p10 <= time <= ABOUT.p90 for time in times) / 5000 < 0.82
    assert 0.48 < sum(time < ABOUT.p50 for time in times) / 5000 < 0.52
    for elapsed in (1, 60, 119, 500, 1e6):
        assert all(draw(ABOUT, elapsed, drawn.random()) > elapsed for _ in range(200))


def test_why_and_the_outlook_agree_on_how_many_are_played() -> None:
    assert PLAYED == MOST
