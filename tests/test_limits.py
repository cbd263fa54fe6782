"""How much the machine gives: what the control group allows, where it allows less."""

from __future__ import annotations

from pathlib import Path

import pytest

from triggers.limits import cgroup_cores, machine_resources


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
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert cgroup_cores(tmp_path) == cores


def test_the_machine_has_cores_and_memory() -> None:
    resources = machine_resources()
    assert resources["cpu"] > 0
    assert resources["memory"] > 2**20
