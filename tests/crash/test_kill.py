"""Kill -9, for real: nothing is lost, every chain ends, every effect is there once under its key."""

from __future__ import annotations

import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from tests.crash.chains import ROOT, Home
from tests.kit import PATIENCE
from tests.torture import TIMES

SEED = 20261123
AT_ONCE = 2  # one for each core


def each(work: Callable[[Path, int], int], folder: Path, times: int) -> list[int]:
    """Do work so many times, each in a folder of its own and with another seed, and return what came of each."""
    folders, seeds = [folder / str(n) for n in range(times)], range(SEED, SEED + times)
    if TIMES == 1:
        return list(map(work, folders, seeds))
    with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("forkserver")) as pool:
        return list(pool.map(work, folders, seeds))


def killed_at_random(folder: Path, seed: int) -> int:
    """Kill ten processes, each at a random moment; return how many attempts were interrupted."""
    home, chance = Home(folder), random.Random(seed)
    for _ in range(10):
        home.drop(15)
        wanted = home.applied() + chance.randint(0, 40)  # of 45 that are new
        process = home.started()
        home.wait(wanted)
        process.join(chance.uniform(0.0, 0.01))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert home.abandoned() == []
    home.drain()
    outcomes = home.check()
    assert set(outcomes) <= {"interrupted", "given back"}
    return outcomes["interrupted"]


def test_kills_at_random_moments_lose_nothing_and_repeat_no_effect_under_another_key(tmp_path: Path) -> None:
    interrupted = each(killed_at_random, tmp_path, TIMES)
    print("seed", SEED, "kills", 10 * TIMES, "interrupted attempts", sum(interrupted))
    assert sum(interrupted) >= TIMES


def workers_killed(folder: Path, seed: int) -> int:
    """Kill ten processes of isolated handlers, each at a random moment; return how many attempts died with them."""
    home, chance = Home(folder), random.Random(seed)
    process = home.started()
    for _ in range(10):
        home.drop(10)
        while not (there := home.workers()):
            assert process.is_alive()
        time.sleep(chance.uniform(0.0, 0.1))
        with suppress(psutil.NoSuchProcess):
            chance.choice(there).kill()
    home.enough()
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert home.abandoned() == []
    outcomes = home.check()
    assert set(outcomes) <= {"failed"}
    return outcomes["failed"]


def test_kills_of_isolated_handlers_cost_an_attempt_each_and_nothing_else(tmp_path: Path) -> None:
    died = sum(each(workers_killed, tmp_path, TIMES))
    print("seed", SEED, "kills", 10 * TIMES, "attempts that died with them", died)
    assert died


POINTS = (("before", "COMMIT"), ("after", "COMMIT"), ("before", ""), ("storage", "write"), ("storage", "sync"))


def killed_at_storage_calls(folder: Path, seed: int) -> int:
    """Kill ten processes, each at one call; return how many died of it."""
    home, chance, killed = Home(folder), random.Random(seed), 0
    for number in range(seed % 2, 20, 2):
        home.drop(5)
        when, what = POINTS[number % len(POINTS)]
        process = home.start(when, what, str(1 + number // 3 if number < 12 else chance.randint(1, 30)))
        process.join(60)
        killed += process.exitcode == -signal.SIGKILL
    home.drain()
    home.check()
    return killed


def test_kills_at_a_storage_call_lose_nothing(tmp_path: Path) -> None:
    killed = sum(each(killed_at_storage_calls, tmp_path, 2 * TIMES))
    print("seed", SEED, "killed", killed, "times")
    assert killed >= 16 * TIMES


def test_workers_and_what_they_started_die_with_their_dispatcher_whatever_they_do(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = [sys.executable, "-m", "tests.crash.hanging", str(tmp_path / "state"), str(pids)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not pids.exists():
        assert process.poll() is None
        os.sched_yield()
    files = [os.pidfd_open(int(pid)) for pid in pids.read_text().split()]
    process.kill()
    process.wait()
    for file, who in zip(files, ("a worker", "a worker's child"), strict=True):
        outlived = not select.select([file], [], [], PATIENCE)[0]
        if outlived:
            signal.pidfd_send_signal(file, signal.SIGKILL)
        os.close(file)
        assert not outlived, f"{who} outlived its dispatcher"
