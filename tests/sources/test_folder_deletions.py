"""What is gone, what was moved, and what only seems to be gone."""
# ruff: noqa: ASYNC240  # the files are local and tiny, and what is tested is when they are touched

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.sources.site import FakeClock, FakeSite, Tap, run, tapped
from triggers.events import ObjectCreated, ObjectDeleted, decode
from triggers.sources import Delivery
from triggers.sources.folder import Folder
from triggers.sources.mounts import identity, same_disk
from triggers.sources.tree import Tree
from triggers.sources.waitlist import AGAIN

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


def test_nothing_is_told_as_deleted_on_another_disk(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "a.csv").write_text("1")
    tree = Tree(telling(root), FakeClock(), watched=False)
    known: Mapping[bytes, bytes] = {b"gone.csv": b"1-2-3"}
    both = {b"a.csv": True, b"gone.csv": False}
    tree.expect(identity(bytes(root)))
    first, deleted = tree.examine(both, known)
    assert (deleted.subject, deleted.memory) == ("gone.csv", (b"gone.csv", b""))
    assert tree.missing(known) == {b"gone.csv": False}
    tree.expect(b"nfs4 2 server:/export")
    for _ in range(2):
        assert tree.missing(known) == {}
        (created,) = tree.examine(both, known)
    assert created.memory is not None
    assert first.memory is not None
    assert created.memory[1].startswith(first.memory[1] + b"@")
    assert tree.examine(both, dict([created.memory])) == []
    (root / "a.csv").unlink()
    (gone,) = tree.examine({b"a.csv": False}, dict([created.memory]))
    assert (gone.subject, gone.memory) == ("a.csv", (b"a.csv", b""))
    assert json.loads(gone.data)["version"] == first.memory[1].decode()
    (warning,) = caplog.records
    assert f"in: {root} is on another disk than it was: what that one held is not told" in warning.message


def test_a_disk_is_the_same_by_its_name_or_by_its_kind_and_inode() -> None:
    disk = b"ext4 2 /dev/sda1"
    assert same_disk(disk, b"ext4 2 /dev/sdb1")
    assert same_disk(disk, b"ext4 77 /dev/sda1")
    assert not same_disk(disk, b"ext4 77 /dev/vda")
    assert not same_disk(disk, b"overlay 2 overlay")
    assert not same_disk(b"nfs4 2 server:/a b", b"nfs4 7 server:/a")
