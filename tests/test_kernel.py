"""What the kernel tells: how much the machine gives, where a control group allows less, and what processes use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from triggers.kernel import (
    available_memory,
    cgroup_cores,
    cgroup_memory,
    cpu_of,
    forget_most,
    machine_resources,
    memory_of,
    share_of,
    strain,
    tree,
)

MIB = 2**20


def lay_out(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, []),
        ({"cpu.max": "max 100000"}, []),
        ({"cpu.max": "150000 100000"}, [1.5]),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, [2.0]),
    ],
    ids=["no group", "no quota", "quota", "version 1, no quota", "version 1, quota"],
)
def test_a_quota_of_the_control_group_counts_as_cores(
    tmp_path: Path, files: dict[str, str], cores: list[float]
) -> None:
    lay_out(tmp_path, files)
    assert cgroup_cores(tmp_path) == cores


def test_the_groups_that_a_process_lies_in_bound_it_too(tmp_path: Path) -> None:
    lay_out(tmp_path, {"a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000", "c/cpu.max": "1 100000"})
    assert sorted(cgroup_cores(tmp_path, "0::/a/b\n")) == [3.0, 4.0]
    lay_out(tmp_path, {"cpu/d/cpu.cfs_quota_us": "50000", "cpu/d/cpu.cfs_period_us": "100000"})
    assert cgroup_cores(tmp_path, "4:memory:/x\n3:cpu,cpuacct:/d\n0::/\n") == [0.5]


def test_a_cache_of_files_is_memory_that_can_be_had_back(tmp_path: Path) -> None:
    new = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 100\ninactive_file 600\n"}
    old = {
        "memory/g/memory.limit_in_bytes": "2000",
        "memory/g/memory.usage_in_bytes": "900",
        "memory/g/memory.stat": "inactive_file 1\ntotal_inactive_file 200\n",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    lay_out(tmp_path, new | old)
    assert cgroup_memory(tmp_path, "4:memory:/g\n") == [(1000.0, 100.0), (2000.0, 700.0)]
    (tmp_path / "memory.max").write_text("max")
    assert cgroup_memory(tmp_path, "4:memory:/g\n") == [(2000.0, 700.0)]


def test_what_is_asked_of_the_machine_is_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triggers.kernel.PROC", tmp_path)
    monkeypatch.setattr("triggers.kernel.CGROUP", tmp_path / "none")
    half = int(machine_resources()["memory"] / 2048)
    lay_out(tmp_path, {"loadavg": "6.00 4.00 2.00 3/300 7", "meminfo": f"MemAvailable: {half} kB"})
    now = strain()
    assert now.load == 6 / (os.cpu_count() or 1)
    assert now.memory == pytest.approx(0.5, rel=0.01)
    assert now.stall == 0
    full = "some avg10=90.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=0\n"
    lay_out(tmp_path, {"pressure/io": full, "pressure/memory": "full avg10=3.00 avg60=0.00"})
    assert strain().stall == 0.125


def test_the_machine_has_cores_and_memory() -> None:
    resources = machine_resources()
    assert resources["cpu"] > 0
    assert resources["memory"] >= available_memory() > 0


HOLDS = """
import os, sys
held = bytearray(b"x") * (40 << 20)
if os.fork() == 0:
    own = bytearray(b"x") * (20 << 20)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def parent() -> Iterator[int]:
    """A process of 40 MiB, whose child shares them and has 20 MiB of its own."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout
        assert process.stdin
        assert [process.stdout.readline() for _ in range(2)] == [b"\n", b"\n"]
        yield process.pid
        process.stdin.close()


def test_what_processes_share_counts_once_where_it_is_shared_out(parent: int) -> None:
    processes = tree(parent)
    assert len(processes) == 2
    whole = [memory.held / MIB for one in processes if (memory := memory_of(one))]
    assert whole[0] == pytest.approx(48, abs=9)
    assert whole[1] == pytest.approx(68, abs=9)
    assert sum(map(share_of, processes)) / MIB == pytest.approx(70, abs=9)
    assert all(cpu_of(one) < 5 for one in processes)


def test_the_most_that_a_process_had_is_forgotten_on_demand_and_nothing_is_said_of_one_that_has_ended() -> None:
    code = "held = bytearray(b'x') * (60 << 20); del held; print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        before = memory_of(process.pid)
        assert forget_most(process.pid)
        after = memory_of(process.pid)
        assert before
        assert after
        assert before.most - before.held > 50 * MIB > after.most - after.held
        process.stdin.close()
    assert (memory_of(process.pid), share_of(process.pid), cpu_of(process.pid)) == (None, 0.0, 0.0)
    assert tree(process.pid) == [process.pid]
    assert not forget_most(process.pid)
