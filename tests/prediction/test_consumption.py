"""What runs used, and what their route should declare."""

from __future__ import annotations

import pytest

from triggers.journal.usages import Used
from triggers.prediction.consumption import Spread, propose, spread, usages

GIB, MIB = 2**30, 2**20


def run(memory: float, *, size: int = 10, seconds: float = 10.0, cpu: float = 5.0, short: bool = False) -> Used:
    return Used("train", size, seconds, memory, cpu, short)


def test_each_figure_of_a_spread_is_one_that_was_seen() -> None:
    assert spread(range(1, 101)) == Spread(50, 95, 100)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_runs_are_told_apart_by_the_size_of_their_input_tenfold() -> None:
    found = list(usages([run(1, size=size) for size in (0, 999, 1000, 9999, 10_000, 5_000_000)]))
    assert [(one.from_size, one.below, one.runs) for one in found] == [
        (0, 1000, 2), (1000, 10_000, 2), (10_000, 100_000, 1), (1_000_000, 10_000_000, 1),
    ]  # fmt: skip


def test_memory_is_proposed_with_room_above_what_ninety_five_of_a_hundred_used() -> None:
    runs = [run(GIB + n * MIB) for n in range(100)]
    proposal = propose(runs, {})
    assert dict(proposal.needs) == {"memory": "1.4GiB"}
    assert proposal.why == "1.2 times what 95 of 100 used"


def test_no_less_memory_is_proposed_than_a_process_has_room_with() -> None:
    assert dict(propose([run(21 * MIB)] * 20, {"memory": 128 * MIB}).needs) == {"memory": "32MiB"}
    assert propose([run(21 * MIB)] * 20, {"memory": 64 * MIB}).needs == {}


@pytest.mark.parametrize(("declared", "kept"), [(0.9, False), (1.1, True), (2.4, True), (3.0, False)])
def test_a_declaration_is_kept_that_is_enough_and_not_ample(declared: float, kept: bool) -> None:
    proposal = propose([run(GIB) for _ in range(30)], {"memory": declared * GIB})
    assert (not proposal.needs) == kept
    assert ("fits" in proposal.why) == kept


def test_little_that_is_known_is_said_and_very_little_proposes_nothing() -> None:
    assert propose([run(GIB)] * 4, {}) == ({}, "measured in 4 of its runs only, too few to propose anything")
    assert propose([run(GIB)] * 5, {}).why == "by 5 runs only"


def test_runs_that_died_of_memory_would_have_used_more_and_that_is_said() -> None:
    proposal = propose([run(GIB, short=True), *(run(GIB) for _ in range(9))], {"memory": GIB})
    assert dict(proposal.needs) == {"memory": "1.8GiB"}
    assert proposal.why == "by 10 runs only; 1 died of memory, and would have used more"


def test_processors_are_proposed_where_they_are_declared_or_more_than_one_is_used() -> None:
    assert "cpu" not in propose([run(GIB, cpu=9)] * 20, {}).needs
    assert propose([run(GIB, cpu=25)] * 20, {}).needs["cpu"] == 2.5
    assert propose([run(GIB, cpu=5)] * 20, {"cpu": 4}).needs["cpu"] == 0.5
