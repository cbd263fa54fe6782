"""What is gone, what was moved, and what only seems to be gone."""
# ruff: noqa: ASYNC240  # the files are local and tiny, and what is tested is when they are touched

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sources.site import FakeSite, SiteClock, Tap, run, tapped
from triggers.events import ObjectCreated, ObjectDeleted, decode
from triggers.sources import Delivery
from triggers.sources.disks import Disks, Marks, identity
from triggers.sources.folder import Folder
from triggers.sources.listing import BATCH
from triggers.sources.mounts import Mount, holding
from triggers.sources.tree import Tree
from triggers.sources.waitlist import AGAIN
from triggers.sources.watch import EVERYWHERE, Files, Hints

Told = tuple[str, str, str | None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def telling(root: Path) -> Folder:
    return Folder(root, name="in", deletions=True)


def described(delivery: Delivery) -> Told:
    """Return what happened to which key, and what it was before."""
    if delivery.type == "ObjectDeleted":
        gone = decode(ObjectDeleted, delivery.data, 1)
        assert isinstance(gone, ObjectDeleted)
        return "deleted", gone.key, None
    event = decode(ObjectCreated, delivery.data, 1)
    assert isinstance(event, ObjectCreated)
    return "created", event.key, event.moved_from


async def next_of(tap: Tap, number: int = 1) -> list[Told]:
    return [described(delivery) for delivery in await tap.take(number)]


def test_a_file_that_is_deleted_is_told_with_the_version_that_was_told_last(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a b.csv").write_text("1")
            (created,) = await tap.take()
            (root / "a b.csv").unlink()
            (deleted,) = await tap.take()
            gone, event = decode(ObjectDeleted, deleted.data, 1), decode(ObjectCreated, created.data, 1)
            assert isinstance(gone, ObjectDeleted)
            assert isinstance(event, ObjectCreated)
            assert (gone.key, gone.uri, gone.version) == (event.key, event.uri, event.version)
            assert (deleted.subject, deleted.memory) == ("a b.csv", (b"a b.csv", b""))

    run(main())


def test_what_was_never_told_is_not_told_as_deleted(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "x.tmp").write_text("1")
            (root / "x.tmp").unlink()
            with (root / "open.csv").open("w"):
                (root / "open.csv").unlink()
            (root / "probe").write_text("p")
            assert await next_of(tap) == [("created", "probe", None)]
            assert tap.told == 1

    run(main())


def test_without_deletions_nobody_hears_of_them(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            await tap.take()
            (root / "a.csv").rename(root / "b.csv")
            assert await next_of(tap) == [("created", "b.csv", None)]
            (root / "b.csv").unlink()
            (root / "probe").write_text("p")
            assert await next_of(tap) == [("created", "probe", None)]

    run(main())


def test_a_file_that_comes_back_is_told_again(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            (root / "a.csv").rename(root.parent / "a.csv")
            (root / "probe").write_text("p")
            while await next_of(tap) != [("created", "probe", None)]:
                pass
            (root.parent / "a.csv").rename(root / "a.csv")
            assert await next_of(tap) == [("created", "a.csv", None)]
            (root / "a.csv").unlink()
            assert await next_of(tap) == [("deleted", "a.csv", None)]

    run(main())


def test_a_rename_names_the_file_that_it_was_and_a_copy_does_not(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            assert await next_of(tap) == [("created", "a.csv", None)]
            shutil.copy2(root / "a.csv", root / "copy.csv")
            assert await next_of(tap) == [("created", "copy.csv", None)]
            (root / "a.csv").rename(root / "b.csv")
            assert await next_of(tap, 2) == [("created", "b.csv", "a.csv"), ("deleted", "a.csv", None)]

    run(main())


def test_a_rename_over_another_file_deletes_one_and_overwrites_the_other(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            (root / "b.csv").write_text("2")
            (root / "probe").write_text("p")
            await tap.take(3)
            (root / "a.csv").rename(root / "b.csv")
            assert await next_of(tap, 2) == [("created", "b.csv", "a.csv"), ("deleted", "a.csv", None)]

    run(main())


def test_a_folder_that_is_renamed_moves_all_its_files(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "old/deep").mkdir(parents=True)
            for key in ("old/a.csv", "old/deep/b.csv"):
                (root / key).write_text(key)
            await tap.take(2)
            (root / "old").rename(root / "new")
            assert sorted(await next_of(tap, 4), key=str) == [
                ("created", "new/a.csv", "old/a.csv"),
                ("created", "new/deep/b.csv", "old/deep/b.csv"),
                ("deleted", "old/a.csv", None),
                ("deleted", "old/deep/b.csv", None),
            ]
            shutil.rmtree(root / "new")
            assert sorted(await next_of(tap, 2)) == [
                ("deleted", "new/a.csv", None),
                ("deleted", "new/deep/b.csv", None),
            ]

    run(main())


def test_a_folder_that_is_moved_out_is_told_file_by_file(root: Path) -> None:
    async def main() -> None:
        async with tapped(telling(root), FakeSite()) as tap:
            await tap.idle()
            (root / "sub").mkdir()
            (root / "sub-not").write_text("its name begins alike")
            (root / "sub/a.csv").write_text("1")
            await tap.take(2)
            (root / "sub").rename(root.parent / "away")
            assert await next_of(tap) == [("deleted", "sub/a.csv", None)]
            (root / "probe").write_text("p")
            assert await next_of(tap) == [("created", "probe", None)]

    run(main())


def test_what_was_deleted_or_moved_while_nobody_looked_is_told_at_the_start(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(telling(root), site) as tap:
            for name in ("a.csv", "b.csv", "c.csv"):
                (root / name).write_text(name)
            await tap.take(3)
        (root / "a.csv").unlink()
        (root / "b.csv").rename(root / "new.csv")
        async with tapped(telling(root), site) as tap:
            assert await next_of(tap, 3) == [
                ("deleted", "a.csv", None),
                ("deleted", "b.csv", None),
                ("created", "new.csv", "b.csv"),
            ]
            await tap.idle()
        async with tapped(telling(root), site) as tap:
            await tap.idle()
            assert tap.told == 0

    run(main())


def test_what_was_gone_before_deletions_were_asked_for_is_forgotten(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        for folder in (Folder(root, name="in"), telling(root)):
            (root / "a.csv").write_text(str(folder.deletions))
            async with tapped(folder, site) as tap:
                assert await next_of(tap) == [("created", "a.csv", None)]
                await tap.idle()
            if not folder.deletions:
                (root / "a.csv").unlink()
                async with tapped(telling(root), site) as tap:
                    await tap.idle()
                    assert tap.told == 0

    run(main())


def test_deletions_can_be_given_up_and_taken_up_again(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        for number, folder in enumerate([telling(root), Folder(root, name="in"), telling(root)]):
            (root / f"{number}.csv").write_text("1")
            async with tapped(folder, site) as tap:
                assert await next_of(tap) == [("created", f"{number}.csv", None)]
                await tap.idle()
            (root / f"{number}.csv").unlink()
        async with tapped(telling(root), site) as tap:
            assert await next_of(tap) == [("deleted", "2.csv", None)]
            await tap.idle()
            assert tap.told == 1

    run(main())


def test_a_file_whose_name_is_taken_by_a_folder_is_gone(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(telling(root), site) as tap:
            (root / "a").write_text("1")
            await tap.take()
        (root / "a").unlink()
        (root / "a").mkdir()
        async with tapped(telling(root), site) as tap:
            assert await next_of(tap) == [("deleted", "a", None)]

    run(main())


def test_the_deleted_among_more_files_than_one_look_takes_are_all_told(root: Path) -> None:
    kept, gone = [f"{n:04}.csv" for n in range(BATCH)], ["0500x.csv", "2000.csv", "2001.csv"]

    async def main() -> None:
        site = FakeSite()
        for name in [*kept, *gone]:
            (root / name).write_text("1")
        async with tapped(telling(root), site) as tap:
            await tap.take(len(kept) + len(gone))
            await tap.idle()
        for name in gone:
            (root / name).unlink()
        async with tapped(telling(root), site) as tap:
            assert sorted(delivery.subject or "" for delivery in await tap.take(len(gone))) == gone
            await tap.idle()
            assert tap.told == len(gone)

    run(main())


def test_a_root_that_goes_away_and_comes_back_deletes_nothing(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(telling(root), site) as tap:
            (root / "a.csv").write_text("1")
            await tap.take()
            root.rename(root.parent / "away")
            await site.time.advance(AGAIN)
            await site.time.someone_sleeps()
            (root.parent / "away").rename(root)
            (root / "b.csv").write_text("2")
            await site.time.advance(AGAIN)
            assert await next_of(tap) == [("created", "b.csv", None)]
            await tap.idle()
            assert tap.told == 2

    run(main())


def test_a_root_that_is_replaced_on_the_same_disk_deletes_what_it_does_not_hold(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(telling(root), site) as tap:
            (root / "a.csv").write_text("1")
            (root / "b.csv").write_text("1")
            await tap.take(2)
        root.rename(root.parent / "away")
        root.mkdir()
        (root / "b.csv").write_text("2")
        async with tapped(telling(root), site) as tap:
            assert await next_of(tap, 2) == [("deleted", "a.csv", None), ("created", "b.csv", None)]

    run(main())


def test_two_files_that_change_their_names_are_told_as_moved(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(telling(root), site) as tap:
            (root / "a.csv").write_text("1")
            (root / "b.csv").write_text("22")
            await tap.take(2)
        (root / "a.csv").rename(root / "c.csv")
        (root / "b.csv").rename(root / "a.csv")
        (root / "c.csv").rename(root / "b.csv")
        async with tapped(telling(root), site) as tap:
            assert sorted(await next_of(tap, 2)) == [("created", "a.csv", "b.csv"), ("created", "b.csv", "a.csv")]

    run(main())


# --- disks ---------------------------------------------------------------------------------------

ELSEWHERE = b"ext4 5e1f /"


@pytest.fixture
def clock() -> SiteClock:
    return SiteClock()


@pytest.fixture
def tree(root: Path, clock: SiteClock) -> Iterator[Tree]:
    tree = Tree(telling(root), clock, watched=False)
    yield tree
    tree.close()


def told(deliveries: list[Delivery]) -> dict[bytes, bytes]:
    return dict(delivery.memory for delivery in deliveries if delivery.memory)


def test_nothing_is_told_as_deleted_on_another_disk(root: Path, tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    (root / "a.csv").write_text("1")
    known = {b"gone.csv": b"1-2-3"}
    both: Files = {b"a.csv": True, b"gone.csv": False}
    tree.expect(tree.disk())
    first, deleted = tree.examine(both, known)
    assert (deleted.subject, deleted.memory) == ("gone.csv", (b"gone.csv", b""))
    assert tree.missing(known) == {b"gone.csv": False}
    assert caplog.records == []
    tree.expect(ELSEWHERE)
    for _ in range(2):
        assert tree.missing(known) == {}
        (created,) = tree.examine(both, known)
    assert first.memory is not None
    assert created.memory is not None
    assert created.memory[1].startswith(first.memory[1] + b"@")
    assert tree.examine(both, told([created])) == []
    (root / "a.csv").unlink()
    (gone,) = tree.examine({b"a.csv": False}, told([created]))
    assert (gone.subject, gone.memory) == ("a.csv", (b"a.csv", b""))
    assert json.loads(gone.data)["version"] == first.memory[1].decode()
    (warning,) = caplog.records
    assert f"in: {root} is on another disk than it was: what that one held is not told" in warning.message
    assert "looked at again" not in warning.message


def test_a_file_that_was_told_is_not_told_again_where_its_disk_is_known_by_another_name(root: Path, tree: Tree) -> None:
    (root / "a.csv").write_text("1")
    tree.expect(tree.disk())
    known = told(tree.examine({b"a.csv": True}, {}))
    assert tree.seen_again() == {}
    tree.expect(ELSEWHERE)
    assert tree.examine({b"a.csv": False}, known) == []
    again = tree.seen_again()
    assert again[b"a.csv"].startswith(known[b"a.csv"] + b"@")
    assert tree.seen_again() == {}
    (root / "a.csv").unlink()
    assert tree.missing(known) == {}
    assert tree.missing(again) == {b"a.csv": False}


def test_a_key_is_remembered_for_each_disk_that_it_was_told_on(root: Path, tree: Tree) -> None:
    (root / "a.csv").write_text("1")
    here = tree.disk()
    tree.expect(here)
    known = told(tree.examine({b"a.csv": True}, {}))
    (root / "a.csv").rename(root / "kept")
    (root / "a.csv").write_text("22")
    tree.expect(ELSEWHERE)
    known = told(tree.examine({b"a.csv": True}, known))
    (root / "a.csv").rename(root / "other")
    (root / "kept").rename(root / "a.csv")
    tree.expect(here)
    assert tree.examine({b"a.csv": True}, known) == []
    (root / "a.csv").unlink()
    known = told(tree.examine({b"a.csv": True}, known))
    (root / "other").rename(root / "a.csv")
    tree.expect(ELSEWHERE)
    assert tree.examine({b"a.csv": True}, known) == []
    (root / "a.csv").unlink()
    assert told(tree.examine({b"a.csv": True}, known)) == {b"a.csv": b""}


def test_what_is_found_while_the_disk_cannot_be_told_is_looked_at_again(
    root: Path, tree: Tree, clock: SiteClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        hints = Hints()
        (root / "a.csv").write_text("1")
        tree.expect(tree.disk())
        known = {b"gone.csv": b"1-2-3"}
        with monkeypatch.context() as broken:
            broken.setattr(Disks, "now", lambda self: Marks(None))
            assert tree.examine({b"a.csv": True, b"gone.csv": False}, known) == []
            assert tree.missing(known) == {}
        clock.leap(AGAIN)
        tree.waitlist.recheck(hints)
        assert hints.take_folder() == EVERYWHERE
        assert set(told(tree.examine({b"a.csv": True, **tree.missing(known)}, known))) == {b"a.csv", b"gone.csv"}

    run(main())


def test_a_complete_file_whose_disk_cannot_be_told_waits_as_it_was_hinted_at(
    root: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.csv").write_text("1")
    tree.expect(tree.disk())
    with monkeypatch.context() as broken:
        broken.setattr(Disks, "now", lambda self: Marks(None))
        assert tree.examine({b"a.csv": True}, {}) == []
    waiting = tree.waitlist.get(b"a.csv")
    assert waiting is not None
    assert waiting.closed
    assert list(told(tree.examine({b"a.csv": waiting.closed}, {}))) == [b"a.csv"]
    assert tree.waitlist.get(b"a.csv") is None


def test_a_disk_is_known_by_what_no_other_has(root: Path) -> None:
    place = bytes(root)
    here = identity(holding(os.path.realpath(place)), place)
    assert identity(holding(os.path.realpath(place)), bytes(root.parent)) == here
    assert identity(Mount(place, "ext4", b"/dev/sdb"), place) == identity(Mount(place, "ext4", b"/dev/sdc"), place)
    assert identity(Mount(place, "ext4", b"/dev/sdb"), place) != identity(Mount(place, "xfs", b"/dev/sdb"), place)
    assert identity(Mount(place, "nfs4", b"server:/export"), place) == b"nfs4 server:/export /"
    assert identity(Mount(place, "fuse.sshfs", b"me@server:/x", b"/y"), place) == b"fuse.sshfs me@server:/x /y"
    assert identity(Mount(place, "fuse.s3fs", b"s3fs"), place).startswith(b"fuse.s3fs ?")
    bound = Mount(place, "ext4", b"/dev/sdb", b"/elsewhere")
    assert identity(bound, place) != identity(bound._replace(root=b"/"), place)


def test_the_number_of_a_device_is_not_taken_for_that_of_a_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, mount = bytes(root), Mount(bytes(root), "xfs", b"/dev/sdb")
    by_number = identity(mount, place)
    device = root.stat().st_dev

    class Numbered(NamedTuple):
        f_fsid: int

    monkeypatch.setattr(os, "statvfs", lambda _: Numbered(device))
    assert b"%x" % device not in identity(mount, place).split()
    monkeypatch.setattr(os, "statvfs", lambda _: Numbered(0x5E1F))
    assert identity(mount, place) == b"xfs 5e1f /" != by_number
