"""A workload in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable
from dataclasses import replace
from itertools import pairwise

import pytest

from triggers.policy.order import by_rank
from triggers.policy.view import PATIENCE
from triggers.prediction.forecast import UNKNOWN, Prediction
from triggers.rate import Rate
from triggers.schedule.series import Row, series
from triggers.scheduling.gates import Closed
from triggers.scheduling.terms import Terms
from triggers.simulate import Job, JobError, LastTwo, Learned, Perfect, Quantiles, Rules, figures, shaken, simulate
from triggers.simulate.figures import cost
from triggers.simulate.synthetic import MACHINE, permanent, synthetic
from triggers.simulate.workload import compressed, offered

UNIT = 1_000_000
ONE = {"slot": UNIT}


class Silent:
    """Knows nothing and learns nothing, as on the first day."""

    def predict(self, job: Job) -> Prediction:
        """Return that it is not known."""
        return UNKNOWN

    def learn(self, job: Job) -> None:
        """Learn nothing."""


def job(arrival: float, seconds: float, *, key: str = "", priority: int = 0, slots: int = 1) -> Job:
    return Job(arrival, "r", key, {"slot": slots * UNIT}, 0, priority, seconds)


def test_a_job_starts_when_it_comes_or_when_what_it_needs_is_free() -> None:
    assert simulate([job(0, 10), job(3, 5), job(40, 1)], ONE) == [0, 10, 40]


def test_who_comes_as_another_ends_starts_at_once() -> None:
    assert simulate([job(0, 10), job(10, 5)], ONE) == [0, 10]


def test_keys_of_a_route_that_are_lined_up_go_in_the_order_of_their_arrival_as_far_as_they_have_room() -> None:
    machine = {"slot": 2 * UNIT, "a": UNIT, "b": UNIT}

    def of(key: str, arrival: float, seconds: float) -> Job:
        return replace(job(arrival, seconds, key=key), needs={**ONE, key: UNIT})

    jobs = [of("a", 0, 100), job(1, 30, priority=9), of("a", 2, 100), of("b", 3, 1000), of("b", 4, 10), job(5, 20)]
    rules = Rules(predictor=Perfect, of_keys={"a", "b"}, lined_up={"r"})
    assert simulate(jobs, machine, rules) == [0, 1, 100, 31, 1031, 200]


def test_of_a_key_no_more_run_than_it_may_however_their_priorities_differ() -> None:
    machine = {"slot": 2 * UNIT, "a": UNIT}
    jobs = [replace(job(0, 10, priority=n, key="a"), needs={**ONE, "a": UNIT}) for n in range(2)]
    assert simulate(jobs, machine, Rules(predictor=Perfect, of_keys={"a"}, lined_up={"r"})) == [10, 0]


def test_a_job_larger_than_the_machine_is_refused() -> None:
    with pytest.raises(JobError, match="job 1 of 'r' needs 2 slot, the machine has 1; give it more"):
        simulate([job(0, 1), job(0, 1, slots=2)], ONE)


def test_short_work_passes_long_work_once_its_length_is_known() -> None:
    known = [job(0, 10, key="short"), job(10, 500, key="long"), job(400, 100, key="other")]
    waiting = [job(401, 500, key="long"), job(402, 10, key="short")]
    assert simulate([*known, *waiting], ONE)[3:] == [620, 510]
    assert simulate([*known, *waiting], ONE, Rules(by_rank))[3:] == [610, 1110]


def test_jobs_of_one_lane_start_in_their_order() -> None:
    starts = simulate([job(0, 50), *(job(1 + n, 30 - n) for n in range(20))], ONE)
    assert starts == sorted(starts)


@pytest.mark.parametrize("predictor", [Silent, Perfect, LastTwo, Quantiles, Learned])
def test_never_over_capacity_and_nobody_is_lost_whatever_is_predicted(predictor: type) -> None:
    jobs = synthetic(1, 300, 1.1)
    starts = simulate(jobs, MACHINE, Rules(predictor=predictor))
    for moment in starts:
        for name, amount in MACHINE.items():
            running = [one for one, start in zip(jobs, starts, strict=True) if start <= moment < start + one.seconds]
            assert sum(one.needs.get(name, 0) for one in running) <= amount
    assert all(start >= one.arrival for one, start in zip(jobs, starts, strict=True))


def test_the_same_workload_always_gives_the_same_schedule() -> None:
    jobs = synthetic(2, 300)
    assert jobs == synthetic(2, 300)
    assert simulate(jobs, MACHINE) == simulate(jobs, MACHINE)


def test_the_lowest_priority_starts_within_the_stated_bound_while_the_higher_asks_for_more_than_there_is() -> None:
    slots, aging, levels = 4, 600.0, 5
    jobs = list(permanent(1, hours=100, load=1.5, low=0.05, slots=slots, typical=1200))
    starts = simulate(jobs, {"slot": slots * UNIT}, Rules(predictor=Quantiles, aging=aging))
    patience = PATIENCE + levels * aging
    longest = max(one.seconds for one in jobs)
    ranks = [one.arrival - aging * one.priority for one in jobs]
    for one, start, rank in zip(jobs, starts, ranks, strict=True):
        late = one.arrival + patience
        if one.priority == 0 and start > late:
            before = [
                min(other.seconds, began + other.seconds - late)
                for other, began, value in zip(jobs, starts, ranks, strict=True)
                if began + other.seconds > late and began <= start and value <= rank and other is not one
            ]
            assert start <= late + longest + sum(before) / slots
    passed = [
        (rank, start) for rank, start, one in zip(ranks, starts, jobs, strict=True) if start > one.arrival + patience
    ]
    assert len(passed) > 100  # it is overloaded for long enough
    for rank, start in passed:
        later = [began for value, began in zip(ranks, starts, strict=True) if value > rank and began < start]
        assert max(later, default=0) <= rank + aging * levels + PATIENCE  # nobody of a larger rank once it was late


def test_shares_that_ask_for_the_same_get_the_same_though_one_came_first() -> None:
    flood = [job(0, 60, key="flood") for _ in range(100)]
    other = [job(30, 60, key="other") for _ in range(20)]
    rules = Rules(share=lambda one: one.key)
    starts = simulate([*flood, *other], ONE, rules)
    assert max(starts[100:]) < 45 * 60
    assert max(simulate([*flood, *other], ONE)[100:]) > 90 * 60


def test_a_share_of_twice_the_weight_gets_twice_as_much() -> None:
    jobs = [job(0, 60, key=key) for key in ("one", "two") for _ in range(200)]
    starts = simulate(jobs, ONE, Rules(share=lambda one: one.key, weights={"two": 2.0}))
    first = [one.key for one, start in zip(jobs, starts, strict=True) if start < 150 * 60]
    assert 90 <= first.count("two") <= 110


def test_figures_are_those_of_the_schedule() -> None:
    jobs = [job(0, 100), replace(job(0, 5), deadline=104.0), job(0, 50)]
    found = figures(jobs, [0, 100, 105], ONE)
    assert found.slowdown == pytest.approx((1 + 105 / 10 + 155 / 50) / 3)
    assert (found.mean, found.p95, found.longest, found.missed, found.idle) == (205 / 3, 105, 105, 1, 0)


def test_idle_counts_what_is_free_while_something_waits_and_only_then() -> None:
    two = {"slot": 2 * UNIT}
    assert figures([job(0, 10), job(0, 10)], [0, 10], two).idle == pytest.approx(0.5)
    assert figures([job(0, 10), job(50, 10)], [0, 50], two).idle == 0
    assert figures([job(0, 10), job(0, 10)], [5, 20], two).idle == pytest.approx((5 + 10 / 2 + 5) / 20)


def test_cost_is_the_price_while_it_runs_by_the_part_of_the_machine() -> None:
    prices = series("p", [Row(0.0, 10.0, ""), Row(3600.0, 2.0, "")])
    one = [job(0, 3600)]
    assert cost(one, [1800], {"slot": 2 * UNIT}, prices) == pytest.approx((5 + 1) / 2)
    assert cost(one, [-7200], {"slot": UNIT}, prices) == pytest.approx(10)
    assert cost(one, [7200], {"slot": UNIT}, prices) == pytest.approx(2)
    assert cost(one * 2, [0, 3600], {"slot": UNIT}, prices) == pytest.approx(12)


def test_shaking_moves_arrivals_a_little_and_nothing_else() -> None:
    jobs = [replace(job(10.0 * n, 5), deadline=10.0 * n + 30) for n in range(50)]
    moved = shaken(jobs, 3)
    assert moved != jobs
    assert moved == shaken(jobs, 3) != shaken(jobs, 4)
    pauses = [b.arrival - a.arrival for a, b in pairwise(moved)]
    assert all(9 <= pause <= 11 for pause in pauses)
    assert all(one.deadline == pytest.approx(one.arrival + 30) for one in moved)


def test_compressed_to_a_load_a_workload_asks_for_that_part() -> None:
    jobs = compressed([job(100.0 * n, 20) for n in range(50)], ONE, 0.7)
    assert offered(jobs, ONE) == pytest.approx(0.7)


def test_predictions_come_from_what_ended_and_was_alike() -> None:
    quantiles, last = Quantiles(), LastTwo()
    for seconds in range(1, 21):
        quantiles.learn(job(0, seconds, key="a"))
        last.learn(job(0, seconds, key="a"))
    assert quantiles.predict(job(0, 0, key="a")) == (10, 18)
    assert last.predict(job(0, 0, key="a")) == (19.5, 19.5)
    assert quantiles.predict(job(0, 0, key="b")) == (None, None) == last.predict(job(0, 0, key="b"))


def test_a_synthetic_workload_asks_for_its_load_by_day_more_than_by_night() -> None:
    jobs = synthetic(5, 3000, 0.73)
    assert 0.7 < offered(jobs, MACHINE) < 0.76
    hours = [one.arrival / 3600 % 24 for one in jobs]
    day, night = (sum(start <= hour < start + 4 for hour in hours) for start in (12, 0))
    assert day > 2 * night
    random.Random(1).shuffle(jobs)
    assert simulate(jobs[:50], MACHINE) == simulate(jobs[:50], MACHINE)


class Shut:
    """A gate that is closed until a moment."""

    def __init__(self, until: float) -> None:
        self.until = until

    def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
        return Closed(self.until, "closed") if now < self.until else None


def test_who_waits_behind_a_gate_starts_when_it_opens_and_holds_nobody_else_up() -> None:
    jobs = [job(0, 10), replace(job(1, 5), route="other"), job(300, 5)]
    assert simulate(jobs, ONE, Rules(gates={"r": [Shut(100), Shut(200)]})) == [200, 1, 300]


def test_the_gates_of_what_is_throttled_are_asked_when_its_turn_has_come() -> None:
    asked = []

    class Door:
        def closed(self, now: float, terms: Terms, longest: float | None) -> Closed | None:
            asked.append((now, terms.key))
            return None

    jobs = [replace(job(10.0 * n, 1), key="a" if n < 3 else str(n)) for n in range(9)]
    starts = simulate(jobs, ONE, Rules(gates={"r": [Door()]}, throttles={"r": Rate(1, per=1000)}, alike=_by_key))
    assert starts == [0, 1000, 2000, *range(30, 90, 10)]
    assert {now for now, key in asked if key == "a"} == {0, 1000, 2000}


def _by_key(job: Job) -> Hashable:
    return job.key


def test_what_waits_for_what_never_happens_never_starts() -> None:
    starts = simulate([job(0, 10), replace(job(0, 5), route="other")], ONE, Rules(gates={"r": [Shut(math.inf)]}))
    assert (math.isnan(starts[0]), starts[1]) == (True, 0)


def test_what_is_ready_later_keeps_the_rank_of_its_arrival() -> None:
    assert simulate([job(5, 100), job(20, 10), replace(job(10, 10), ready=30)], ONE) == [5, 115, 105]


def test_what_expires_is_dropped_wherever_in_its_lane_it_waits() -> None:
    jobs = [job(0, 10, slots=2), job(1, 10), replace(job(2, 10), expires=5), replace(job(3, 10), expires=50)]
    assert simulate(jobs, {"slot": 2 * UNIT}) == [0, 10, math.inf, 10]


def test_what_has_begun_holds_what_it_needs_whatever_is_decided() -> None:
    began = replace(job(0, 50), begun=20)
    assert simulate([job(0, 30), job(0, 1), began], {"slot": 2 * UNIT}) == [0, 0, 20]
    assert simulate([job(25, 30), began], ONE) == [70, 20]
    assert math.isnan(simulate([job(25, 30), replace(began, seconds=math.inf)], ONE)[0])
