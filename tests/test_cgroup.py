"""Where control groups are ours to make, told from a folder that is laid out as the kernel lays them out.

What a real kernel does with them is in `tests/cgroup`.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_kernel import lay_out
from triggers import kernel
from triggers.cgroup import DISPATCHERS, WORKER, ControlGroup, ControlGroups, Events, delegation

MIB = 2**20
OURS = str(os.getpid())


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container's view of the tree, in which it may do what it likes."""
    monkeypatch.setattr("triggers.kernel.CGROUP", tmp_path)
    monkeypatch.setattr("triggers.kernel.membership", lambda: "0::/\n")
    lay_out(tmp_path, {"cgroup.controllers": "cpu memory\n", "cgroup.type": "domain\n", "cgroup.subtree_control": ""})
    lay_out(tmp_path, {"cgroup.procs": f"{OURS}\n", f"{DISPATCHERS}/cgroup.procs": ""})
    return tmp_path


@pytest.mark.parametrize(
    ("groups", "files", "said"),
    [
        ("4:memory:/x\n", {}, "holds no control groups of version 2"),
        ("0::/../other\n", {}, "control group /../other is not handed over to it"),
        ("0::/user.slice/s\n", {"user.slice/s/cgroup.controllers": "memory"}, "/user.slice/s is not handed over to it"),
        ("0::/\n", {"cgroup.controllers": "cpu pids"}, "comes without the memory controller"),
        ("0::/\n", {"cgroup.procs": f"{OURS}\n1\n"}, "holds other processes, too (1)"),
    ],
    ids=["version 1", "outside", "systemd's own", "no memory", "others"],
)
def test_a_group_that_is_not_ours_to_divide_is_left_alone_and_the_reason_is_told(
    container: Path, groups: str, files: dict[str, str], said: str
) -> None:
    lay_out(container, files)
    found = delegation(groups, os.getpid())
    assert found.folder is None
    assert said in found.said


def test_the_root_of_all_groups_is_nobodys_to_divide(container: Path) -> None:
    (container / "cgroup.type").unlink()
    assert "is not handed over" in delegation("0::/\n", os.getpid()).said


@pytest.mark.parametrize("below", ["", f"/{DISPATCHERS}"])
def test_what_systemd_has_marked_is_ours_also_for_who_has_moved_below_it(container: Path, below: str) -> None:
    unit = "app.service"
    lay_out(container, {f"{unit}/{name}": "memory" for name in ("cgroup.controllers", "cgroup.subtree_control")})
    lay_out(container, {f"{unit}/cgroup.procs": ""})
    os.setxattr(container / unit, "user.delegate", b"1")
    assert delegation(f"0::/{unit}{below}\n", os.getpid()).folder == container / unit


def test_a_dispatcher_moves_below_before_it_hands_memory_on_and_a_group_that_fails_leaves_the_worker_watched(
    container: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "triggers.dispatcher")
    assert ControlGroups().make(os.getpid()) is None  # the folder that it makes has none of the kernel's files
    assert (container / DISPATCHERS / "cgroup.procs").read_text() == OURS
    assert (container / "cgroup.subtree_control").read_text() == "+memory"
    kept, watched = caplog.messages
    assert kept == f"memory of isolated handlers is kept by the kernel, in control group {container}"
    assert watched.startswith(f"memory of process {OURS} is watched, as control group {container}/{WORKER}.{OURS}.")


def test_groups_whose_dispatcher_has_died_are_removed_and_no_others(container: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    birth = kernel.birth_of(os.getpid())
    assert birth
    orphans = [f"{WORKER}.{gone.pid}.17.0", f"{WORKER}.{OURS}.{birth - 1}.0"]  # the second has had our number before us
    others = [f"{WORKER}.{OURS}.{birth}.999999", f"{WORKER}.mine", "else"]
    for name in (*orphans, *others):
        (container / name).mkdir()
    groups = ControlGroups()
    groups.make(os.getpid())
    groups.sweep()
    assert {path.name for path in container.iterdir() if path.is_dir()} == {DISPATCHERS, *others}


def test_groups_that_could_not_be_made_are_not_remembered(container: Path) -> None:
    groups = ControlGroups()
    groups.make(os.getpid())
    shutil.rmtree(container)
    for _ in range(5):
        groups.make(os.getpid())
    assert len(groups._ended) == 1


def test_what_a_group_holds_is_what_it_cannot_give_back(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path, set())
    assert (group.held(), group.events()) == (None, Events(0, 0))
    stat = f"anon {50 * MIB}\nfile {300 * MIB}\nshmem {20 * MIB}\nslab_reclaimable {4 * MIB}\n"
    lay_out(tmp_path, {"memory.current": f"{360 * MIB}\n", "memory.stat": stat, "memory.swap.current": f"{MIB}\n"})
    lay_out(tmp_path, {"memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 1\n"})
    assert group.held() == (360 - 280 - 4 + 1) * MIB
    assert group.events() == Events(oom=2, oom_kill=3)


def test_a_group_takes_a_process_in_bounds_it_and_ends_it(tmp_path: Path) -> None:
    names = ("memory.oom.group", "memory.swap.max", "cgroup.procs", "memory.max", "cgroup.kill")
    lay_out(tmp_path, dict.fromkeys(names, ""))
    group, ended = ControlGroup(tmp_path, kept := set[Path]()), {tmp_path}
    group.take(7)
    group.limit(5 * MIB)
    assert [(tmp_path / name).read_text() for name in names] == ["1", "0", "7", str(5 * MIB), ""]
    (tmp_path / "memory.max").write_text("")
    group.limit(None)
    group.kill()
    assert [(tmp_path / name).read_text() for name in names[3:]] == ["max", "1"]
    assert kept == ended
