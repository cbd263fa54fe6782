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
    "no_outbox": (1, 32, 132),
    "no_epoch_check": (6, 9, 13),
    "no_dedupe": (0, 2, 4),
    "attempts_counted_late": (1, 6, 9),
    "counters_instead_of_queries": (26, 44, 132),
    "lost_wake_up": (1, 3, 5),
    "ledger_apart_from_its_event": (0, 10, 20),
    "emit_outside_settle": (0, 1, 9),
    "keys_that_differ_between_attempts": (0, 1, 2),
    "told_before_it_is_durable": (6, 9, 12),
    "stale_ends_emit": (132, 191, 210),
    "delayed_forgotten_at_the_start": (6, 7, 67),
    "no_takeover": (1, 6, 9),
    "duplicates_start": (0, 5, 9),
    "epoch_not_raised": (1, 6, 9),
    "death_without_news": (0, 5, 16),
    "slots_that_are_not_given_back": (32, 83, 281),
    "drops_counted_twice": (132, 191, 210),
    "started_before_it_is_claimed": (0, 1, 3),
    "promoted_to_nobody": (0, 1, 2),
    "turns_not_passed_on": (12, 65, 73),
    "groups_forgotten_at_the_start": (7, 55, 124),
    "told_of_twice": (0, 1, 3),
    "checkpoints_forgotten": (0, 10, 23),
    "starts_counted_in_memory": (12, 35, 114),
    "limits_forgotten_at_the_start": (102, 286, 834),
    "duplicates_use_up_the_rate": (29, 30, 57),
    "drops_leave_no_row": (24, 29, 57),
    "drops_stay_open": (13, 24, 26),
    "arrivals_kept_in_memory": (2, 4, 18),
    "duplicates_count_as_arrivals": (77, 176, 261),
    "absence_told_again": (18, 37, 77),
    "pauses_forgotten_at_the_start": (14, 54, 65),
    "pauses_that_come_too_late": (880, 1084),
    "app_paused_in_vain": (3, 13, 14),
    "resumed_to_nobody": (36, 42, 81),
    "shares_not_given_back": (5, 11, 21),
    "room_for_keys_overlooked": (42, 266, 289),
    "weights_ignored": (96, 479),
    "windows_not_asked_of_the_new": (34, 58, 60),
    "delays_kept_in_memory": (16, 34, 52),
    "the_begun_expire": (60, 75, 80),
    "expiry_forgotten_at_the_start": (119, 124, 802),
    "claimed_although_expired": (196, 449, 620),
    "failed_events_forgotten": (0, 14, 17),
    "isolated_runs_start_twice": (14, 19, 24),
    "interruptions_untold": (1, 6, 9),
    "errors_that_stay": (0, 1, 2),
    "checkpoints_left_behind": (0, 10, 23),
    "put_off_too_briefly": (1, 3, 17),
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
