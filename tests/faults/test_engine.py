"""The engine under seeded faults: nothing is lost, nothing finished is done again, and no row lies."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator

import pytest

from tests.faults.mistakes import MISTAKES, found
from tests.faults.storm import Replacements, live, storms

SCENARIOS = int(os.environ.get("TRIGGERS_SCENARIOS", "2000"))
FIRST = int(os.environ.get("TRIGGERS_FIRST", "0"))
AT_ONCE = 100  # seeds to one task of a process

FOUND_BY: dict[str, tuple[int, ...]] = {
    "acknowledge_early": (0, 1, 2),
    "no_outbox": (27, 59, 187),
    "no_epoch_check": (1, 6, 13),
    "no_dedupe": (0, 1, 2),
    "attempts_counted_late": (1, 6, 9),
    "counters_instead_of_queries": (36, 48, 56),
    "lost_wake_up": (1, 2, 3),
    "ledger_apart_from_its_event": (0, 10, 20),
    "emit_outside_settle": (9, 10, 20),
    "keys_that_differ_between_attempts": (0, 1, 2),
    "told_before_it_is_durable": (9, 12, 13),
    "stale_ends_emit": (59, 131, 192),
    "delayed_forgotten_at_the_start": (4, 6, 10),
    "no_takeover": (1, 6, 9),
    "duplicates_start": (5, 8, 9),
    "epoch_not_raised": (1, 6, 9),
    "death_without_news": (5, 11, 12),
    "slots_that_are_not_given_back": (36, 56, 64),
    "drops_counted_twice": (59, 131, 192),
    "started_before_it_is_claimed": (1, 4, 5),
    "promoted_to_nobody": (0, 1, 2),
    "turns_not_passed_on": (0, 2, 3),
    "groups_forgotten_at_the_start": (51, 55, 61),
    "told_of_twice": (1, 4, 5),
    "checkpoints_forgotten": (7, 26, 46),
    "starts_counted_in_memory": (14, 125, 172),
}
"""The first seeds that find each mistake, as `python -m tests.faults.mistakes` tells them."""

OTHERS = range(400)
"""The seeds that are tried where those no longer do, because the engine commits in other turns."""


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Keep the engine's complaints about its own deaths to itself."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _tidy_seldom() -> None:
    """Have a process collect its garbage less often: it has a lot that stays, and looks through it each time."""
    gc.freeze()
    gc.set_threshold(20_000)


def test_nothing_is_lost_or_done_twice_or_told_wrongly_in_any_scenario() -> None:
    parts = [(first, min(AT_ONCE, FIRST + SCENARIOS - first)) for first in range(FIRST, FIRST + SCENARIOS, AT_ONCE)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), _tidy_seldom, maxtasksperchild=20) as pool:
        failed = [words for some in pool.starmap(storms, parts, chunksize=1) for words in some]
    assert not failed, f"{len(failed)} of {SCENARIOS} scenarios: {failed[0]}"


def test_a_scenario_comes_by_all_that_can_happen() -> None:
    kinds = {fault.kind for seed in range(30) for fault in live(seed).taken}
    assert kinds >= {"order", "clock", "crash", "slow", "fail", "cheat"}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_found_by_its_seeds(mistake: Callable[[], Replacements]) -> None:
    assert any(found(mistake, seed) for seed in (*FOUND_BY[mistake.__name__], *OTHERS))


def test_without_a_mistake_those_seeds_find_nothing() -> None:
    seeds = {seed for seeds in FOUND_BY.values() for seed in seeds}
    assert [words for seed in sorted(seeds) for words in storms(seed, 1)] == []
