"""A folder and the kernel: its limits, mounts, and what it does not tell of. Each in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.sources.running import Intake
from tests.sources.site import PATIENCE, run
from tests.sources.test_folder import Told
from triggers.sources import watch
from triggers.sources.folder import Folder
from triggers.sources.mounts import Table, _plain, is_remote
from triggers.sources.tree import Tree
from triggers.sources.watch import EVERYWHERE, Hints, KernelWatcher
from triggers.testing import FakeClock

SOON = {"test_again": 0.1, "test_review": 0.1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "in coming"
    path.mkdir()
    return path


def limited(name: str, most: int) -> list[str]:
    """Return what puts before a command that the kernel allows its user less of something."""
    prefix = ["unshare", "-r", "-U", "sh", "-c", f'echo {most} > /proc/sys/user/{name} && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces")
    return prefix


# --- limits --------------------------------------------------------------------------------------


def test_folders_beyond_the_kernels_limit_are_named_once_and_polled(root: Path, intake: Callable[..., Intake]) -> None:
    folders = [root / f"{n}/deep/deeper" for n in range(4)]
    for folder in folders:
        folder.mkdir(parents=True)
    app = intake(*limited("max_inotify_watches", 5), **SOON)
    assert app.next() == ["idle"]
    for folder in folders:
        (folder / "a.csv").write_text("1")
    assert app.next(4) == [f"created {n}/deep/deeper/a.csv" for n in range(4)]
    (root / "new").mkdir()
    (root / "new/b.csv").write_text("1")
    assert app.next() == ["created new/b.csv"]
    (line,) = app.warnings().splitlines()
    assert line.startswith(f"in: {root}/")
    assert "cannot be watched (too many folders), raise fs.inotify.max_user_watches (now " in line


def test_without_an_instance_of_the_kernels_watch_everything_is_polled(
    root: Path, intake: Callable[..., Intake]
) -> None:
    app = intake(*limited("max_inotify_instances", 1), **SOON)
    assert app.next() == ["idle"]
    (root / "a").mkdir()
    (root / "a/b.csv").write_text("1")
    assert app.next() == ["created a/b.csv"]
    warnings = app.warnings()
    assert f"in: {root} cannot be watched (Too many open files), raise fs.inotify.max_user_instances (now " in warnings


# --- mounts --------------------------------------------------------------------------------------


class Mounts:
    """A mount namespace of one's own."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-r", "-m", "sh", "-c", "echo up && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        self.usable = self._holder.stdout.readline() == "up\n"
        self.prefix = ["nsenter", "-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials"]

    def run(self, command: str, *words: object) -> None:
        subprocess.run([*self.prefix, "sh", "-ec", command, "sh", *map(str, words)], check=True)

    def close(self) -> None:
        self._holder.communicate()


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    mounts = Mounts()
    if not mounts.usable:
        pytest.skip("needs user namespaces")
    yield mounts
    mounts.close()


def test_a_disk_that_is_mounted_and_unmounted_loses_and_deletes_nothing(
    root: Path, intake: Callable[..., Intake], mounts: Mounts
) -> None:
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next() == ["idle"]
    mounts.run('echo 1 > "$1/below.csv"', root)
    assert app.next() == ["created below.csv"]
    mounts.run('mount -t tmpfs disk "$1" && echo 1 > "$1/a.csv"', root)
    assert app.next() == ["created a.csv"]
    mounts.run('mkdir "$1/sub" && echo 1 > "$1/sub/b.csv"', root)
    assert app.next() == ["created sub/b.csv"]
    mounts.run('umount "$1" && echo 2 > "$1/probe.csv"', root)
    assert app.next() == ["created probe.csv"]
    assert f"in: {root} is on another disk than it was" in app.warnings()


def test_an_app_that_is_started_before_its_disk_is_mounted_tells_nothing_as_deleted(
    root: Path, intake: Callable[..., Intake], mounts: Mounts
) -> None:
    mounts.run('mount -t tmpfs disk "$1" && echo 1 > "$1/a.csv"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["created a.csv", "idle"]
    app.end()
    mounts.run('mkdir "$1.kept" && mount --move "$1" "$1.kept"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next() == ["idle"]
    mounts.run('mount --move "$1.kept" "$1" && rm "$1/a.csv" && echo 1 > "$1/b.csv"', root)
    assert app.next(2) == ["created b.csv", "deleted a.csv"]


OTHER_PLACES = {
    "a disk of the same kind": 'mount -t tmpfs disk "$1"',
    "a folder of the same disk": 'mkdir "$1.bound" && mount --bind "$1.bound" "$1"',
    "nothing": "true",
}


@pytest.mark.parametrize("other", OTHER_PLACES.values(), ids=OTHER_PLACES)
def test_what_is_in_a_disks_place_deletes_nothing_and_makes_nothing_new(
    root: Path, intake: Callable[..., Intake], mounts: Mounts, other: str
) -> None:
    def told_at_a_start() -> list[str]:
        app = intake(*mounts.prefix, deletions=True, **SOON)
        found: list[str] = []
        while "idle" not in found:
            found += app.next()
        app.end()
        return sorted(found)

    mounts.run('mkdir "$1.kept" && mount -t tmpfs disk "$1"', root)
    mounts.run('mkdir "$1/s" && echo 1 > "$1/a" && echo 2 > "$1/s/b"', root)
    assert told_at_a_start() == ["created a", "created s/b", "idle"]
    mounts.run(f'mount --move "$1" "$1.kept" && {other} && echo 3 > "$1/a" && echo 4 > "$1/c"', root)
    assert told_at_a_start() == ["created a", "created c", "idle"]
    mounts.run('mkdir "$1.other" && (mount --move "$1" "$1.other" || true) && mount --move "$1.kept" "$1"', root)
    assert told_at_a_start() == ["idle"]
    mounts.run('rm "$1/s/b"', root)
    assert told_at_a_start() == ["deleted s/b", "idle"]


def test_a_disk_below_the_folder_that_is_not_mounted_deletes_nothing(
    root: Path, intake: Callable[..., Intake], mounts: Mounts
) -> None:
    mounts.run('mkdir "$1/disk" "$1.kept" && mount -t tmpfs disk "$1/disk"', root)
    mounts.run('echo 1 > "$1/disk/a" && echo 2 > "$1/b" && ln -s disk/a "$1/link"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(4) == ["created b", "created disk/a", "created link", "idle"]
    app.end()
    mounts.run('mount --move "$1/disk" "$1.kept" && rm "$1/b"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["deleted b", "idle"]
    app.end()
    mounts.run('mount --move "$1.kept" "$1/disk" && echo 2 > "$1/probe"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["created probe", "idle"]
    mounts.run('rm "$1/disk/a"', root)
    assert app.next() == ["deleted disk/a"]


def test_a_disk_that_is_mounted_at_another_place_of_the_folder_deletes_nothing(
    root: Path, intake: Callable[..., Intake], mounts: Mounts
) -> None:
    mounts.run('mkdir "$1/disk" "$1.kept" && mount -t tmpfs disk "$1/disk" && echo 1 > "$1/disk/a"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["created disk/a", "idle"]
    app.end()
    mounts.run('mount --move "$1/disk" "$1"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["created a", "idle"]
    app.end()
    mounts.run('mount --move "$1" "$1.kept" && mount --move "$1.kept" "$1/disk" && rm "$1/disk/a"', root)
    app = intake(*mounts.prefix, deletions=True, **SOON)
    assert app.next(2) == ["deleted disk/a", "idle"]


def test_a_link_to_the_folder_that_leads_elsewhere_is_followed(root: Path, intake: Callable[..., Intake]) -> None:
    first, second = root.parent / "first", root.parent / "second"
    for folder in (first, second):
        folder.mkdir()
    root.rmdir()
    root.symlink_to(first)
    app = intake(**SOON)
    assert app.next() == ["idle"]
    (second / "a.csv").write_text("1")
    new = root.parent / "new"
    new.symlink_to(second)
    new.rename(root)
    assert app.next() == ["created a.csv"]
    (first / "b.csv").write_text("1")
    (second / "c.csv").write_text("1")
    assert app.next() == ["created c.csv"]
    (second / "link.csv").symlink_to("c.csv")
    assert app.next() == ["created link.csv"]


def test_a_link_that_leads_elsewhere_is_noticed_while_the_old_folder_is_still_written_to(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, first, second = Told(), root / "first", root / "second"
    for folder in (first, second):
        folder.mkdir()
    (root / "in").symlink_to(first)
    monkeypatch.setattr(watch, "_REVIEW", 0.1)
    watcher = KernelWatcher(os.fsencode(root / "in"), told)
    watcher.add(EVERYWHERE)
    (root / "new").symlink_to(second)
    (root / "new").rename(root / "in")
    until = monotonic() + PATIENCE
    while not told.folders and monotonic() < until:
        (first / "busy").touch()
    watcher.stop()
    assert told.folders == {EVERYWHERE: None}


def test_a_folder_above_that_is_replaced_is_noticed(root: Path, tmp_path: Path) -> None:
    told = Told()
    place = root / "in"
    place.mkdir()
    watcher = KernelWatcher(os.fsencode(place), told)
    watcher.add(EVERYWHERE)
    watcher.review()
    assert told.folders == {}
    root.rename(tmp_path / "away")
    watcher.review()
    assert told.folders == {EVERYWHERE: None}
    told.folders.clear()
    watcher.review()
    watcher.stop()
    watcher.review()
    assert told.folders == {}


def test_a_folder_in_memory_or_on_a_disk_is_not_remote(root: Path) -> None:
    assert not is_remote(os.fsencode(root))


def test_a_network_disk_is_remote_at_above_and_below_the_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import triggers.sources.mounts as module

    place = os.path.realpath(os.fsencode(root))
    for at, kind, expected in [
        (place, "nfs4", True),
        (place, "fuse.sshfs", True),
        (place, "btrfs", False),
        (os.path.dirname(place), "cifs", True),
        (place + b"/sub", "9p", True),
        (place + b"-not", "nfs4", False),
    ]:
        mounted = [module.Mount(b"/", "ext4", b"/dev/vda"), module.Mount(at, kind, b"server:/x")]
        monkeypatch.setattr(module, "mounted", lambda mounted=mounted: iter(mounted))
        assert is_remote(place) is expected, (at, kind)


def test_a_network_disk_that_is_mounted_late_is_polled_from_then_on_and_trusts_no_lease(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import triggers.sources.mounts as module

    (root / "a.csv").write_text("1")
    place = os.path.realpath(os.fsencode(root))
    mounted = [module.Mount(b"/", "ext4", b"/dev/vda")]
    monkeypatch.setattr(module, "mounted", lambda: iter(mounted))

    async def main() -> None:
        tree = Tree(Folder(root), FakeClock(), watched=True)
        stop = tree.watch(Hints())

        def is_polled() -> bool:
            told = tree.examine(next(tree.walk(EVERYWHERE)), {})
            assert bool(told) is not tree.remote
            return tree.remote and tree.waitlist.get(EVERYWHERE) is not None

        assert not is_polled()
        mounted.append(module.Mount(place + b"/disk", "nfs4", b"server:/x"))
        assert is_polled()
        mounted.pop()
        assert not is_polled()
        mounted.append(module.Mount(place, "autofs", b"systemd-1"))
        assert is_polled()
        stop()
        tree.close()

    run(main())


def test_a_disk_that_is_mounted_below_the_folder_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import triggers.sources.mounts as module

    told = Told()
    mounted = [module.Mount(b"/", "ext4", b"/dev/vda")]
    monkeypatch.setattr(module, "mounted", lambda: iter(mounted))
    watcher = KernelWatcher(os.fsencode(root), told)
    watcher.add(EVERYWHERE)
    watcher.review()
    assert told.folders == {}
    mounted.append(module.Mount(os.path.realpath(os.fsencode(root)) + b"/disk", "ext4", b"/dev/sdb"))
    watcher.review()
    watcher.stop()
    assert told.folders == {EVERYWHERE: None}


def test_a_table_of_mounts_that_was_closed_takes_no_descriptor_again() -> None:
    table = Table()
    assert table.changed()
    assert not table.changed()
    table.close()
    descriptors = len(os.listdir("/proc/self/fd"))
    assert table.changed()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_mount_hides_the_one_that_was_there_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import triggers.sources.mounts as module

    place = os.path.realpath(os.fsencode(root))
    mounted = [module.Mount(place, "nfs4", b"a:/"), module.Mount(place, "ext4", b"/dev/sdb")]
    monkeypatch.setattr(module, "mounted", lambda: iter(mounted))
    assert not is_remote(place)
    assert _plain(rb"/in\040coming\134x") == rb"/in coming\x"
