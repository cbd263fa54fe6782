"""Kill -9, for real: nothing is lost, every chain ends, every effect is there once under its key."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

ROOT = Path(__file__).parents[2]
SEED = 20261123
FILES = 40


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("in", "effects"):
        (tmp_path / name).mkdir()
    return tmp_path


def drop(home: Path, first: int, number: int = FILES) -> None:
    for n in range(first, first + number):
        unfinished = home / "in" / f".{n}.tmp"
        unfinished.write_text(f"content {n}")
        unfinished.rename(home / "in" / f"{n}.csv")


def start(home: Path, *point: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.driver", *point]
    environment = {**os.environ, "CRASH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    log = (home / "stderr").open("ab")
    with log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)


def drain(home: Path) -> None:
    """Run the app to its end."""
    process = start(home)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, (home / "stderr").read_text()[-3000:]
    assert out == "started\ndrained\n"


def check(home: Path, files: int) -> Counter[str]:
    """Prove that nothing is lost and nothing is applied under two keys; return what the runs went through."""
    connection = apsw.Connection(str(home / "state" / "journal.db"))
    assert connection.pragma("integrity_check") == "ok"
    kinds = dict(connection.execute("SELECT type, count(*) FROM event GROUP BY type"))
    assert kinds == {"ObjectCreated": files, "First": files, "Second": files, "Third": files}
    assert list(connection.execute("SELECT DISTINCT state FROM run")) == [(3,)]
    for route, event in connection.execute("SELECT route, count(DISTINCT event) FROM run GROUP BY route"):
        assert event == files, route
    chains = list(connection.execute("SELECT count(*), count(DISTINCT type) FROM event GROUP BY root"))
    assert chains == [(4, 4)] * files
    journal_id = connection.execute("SELECT value FROM meta WHERE name = 'id'").get

    expected = {f"{journal_id}-r{run}": route for run, route in connection.execute("SELECT number, route FROM run")}
    applied = {
        path.name: path.read_text().split(" ", 1) for path in (home / "effects").iterdir() if path.suffix != ".tmp"
    }
    assert {key: route for key, (route, _) in applied.items()} == expected
    contents: dict[str, set[str]] = defaultdict(set)
    for route, content in applied.values():
        contents[route].add(content)
    assert contents["one"] == {f"content {n}" for n in range(files)}
    assert contents["two"] == contents["three"] == {f"{n}.csv" for n in range(files)}

    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in (home / "effects.log").read_text().splitlines():
        key, route, event, content = line.split(" ", 3)
        keys[route, content].add(key)
        assert applied[key] == [route, content], "one key was used for two effects"
    assert all(len(used) == 1 for used in keys.values()), "one effect was applied under two keys"
    outcomes = Counter(outcome for (outcome,) in connection.execute("SELECT outcome FROM attempt"))
    connection.close()
    assert set(outcomes) <= {"interrupted", "given back"}
    return outcomes


def test_ten_kills_at_random_moments_lose_nothing_and_repeat_no_effect_under_another_key(home: Path) -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    dropped = 0
    for _ in range(10):
        drop(home, dropped)
        dropped += FILES
        process = start(home)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            process.wait(chance.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    drain(home)
    outcomes = check(home, dropped)
    print("interrupted attempts", outcomes)
    assert outcomes["interrupted"] > 0


def killed_at_storage_calls(home: Path, half: int) -> int:
    """Kill ten processes, each at one call; return how many died of it."""
    chance = random.Random(SEED + half)
    dropped = killed = 0
    for number in range(half, 20, 2):
        drop(home, dropped, 5)
        dropped += 5
        when, what = (("before", "COMMIT"), ("after", "COMMIT"), ("before", ""))[number % 3]
        process = start(home, when, what, str(1 + number // 3 if number < 12 else chance.randint(1, 30)))
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
    drain(home)
    check(home, dropped)
    return killed


def test_twenty_kills_at_a_storage_call_lose_nothing(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        (home / "in").mkdir(parents=True)
        (home / "effects").mkdir()
    with ThreadPoolExecutor(2) as pool:  # one for each core
        killed = sum(pool.map(killed_at_storage_calls, homes, (0, 1)))
    print("seed", SEED, "killed", killed, "times")
    assert killed >= 16


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
        outlived = not select.select([file], [], [], 10)[0]
        if outlived:
            signal.pidfd_send_signal(file, signal.SIGKILL)
        os.close(file)
        assert not outlived, f"{who} outlived its dispatcher"
