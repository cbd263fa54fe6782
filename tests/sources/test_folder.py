# ruff: noqa: ASYNC230, ASYNC240  # the files are local and tiny, and what is tested is when they are touched
from __future__ import annotations

import asyncio
import logging
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.sources.site import PATIENCE, FakeSite, run, tapped
from triggers.errors import Reject, WiringError
from triggers.events import ObjectCreated, decode
from triggers.sources import Delivery
from triggers.sources.folder import Folder
from triggers.sources.folder_scan import AUDIT
from triggers.sources.lease import look
from triggers.sources.tree import Tree
from triggers.sources.waitlist import AGAIN
from triggers.sources.watch import EVERYWHERE, Files, Hints, KernelWatcher, StockWatcher
from triggers.testing import FakeClock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def event_of(delivery: Delivery) -> ObjectCreated:
    event = decode(ObjectCreated, delivery.data, delivery.version)
    assert isinstance(event, ObjectCreated)
    return event


def inotify_watches() -> int:
    """How many inotify watches this process holds, as the kernel tells it."""
    total = 0
    for number in os.listdir("/proc/self/fdinfo"):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            total += Path(f"/proc/self/fdinfo/{number}").read_text().count("inotify wd:")
    return total


@contextmanager
def another_user() -> Iterator[None]:
    """Run as a user who owns none of the test's files; as any other than root we are that for what is forbidden."""
    if os.geteuid():
        pytest.skip("needs root, to become another user")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def in_memory(root: Path) -> Iterator[Path]:
    """A folder in memory where there is one: ext4 makes new files slowly for seconds after many were deleted."""
    if not os.path.isdir("/dev/shm"):
        yield root
        return
    path = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


# --- what a folder is ----------------------------------------------------------------------------


def test_a_folder_is_named_by_the_last_part_of_its_path() -> None:
    assert Folder("data/incoming").name == "incoming"
    assert Folder("data/incoming", name="raw").name == "raw"
    assert Folder("data/incoming").path == Path("data/incoming")


def test_a_folder_bound_elsewhere_keeps_all_but_its_place() -> None:
    bound = Folder("data", name="raw", ignore=["*.log"], settle=3).bind("/elsewhere")
    assert (bound.path, bound.name, bound.ignore, bound.settle) == (Path("/elsewhere"), "raw", ("*.log",), 3)


def test_a_folder_without_a_name_is_refused() -> None:
    with pytest.raises(WiringError, match="needs a name of its own"):
        Folder("/")


def test_a_negative_settle_time_is_refused() -> None:
    with pytest.raises(WiringError, match="settle=-1 is no span of time; write seconds"):
        Folder("data", settle=-1)


@pytest.mark.parametrize("path", [None, 3, b"in", "a\0b"])
def test_a_folder_at_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(WiringError, match=r"a folder at .* cannot be; write its path as text or as a Path"):
        Folder(path, name="in")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 3}, "needs a name of its own"),
        ({"settle": "1"}, "settle='1' is no span of time"),
        ({"marker": 3}, "marker=3 names no file; write the name of one"),
        ({"marker": "a\0b"}, "names no file; write the name of one"),
        ({"deletions": "yes"}, "deletions is True or False, not 'yes'"),
        ({"ignore": 3}, r"ignore=3 must be a list of patterns: \['\*\.tmp'\]"),
        ({"ignore": "*.bak"}, r"ignore='\*\.bak' must be a list of patterns"),
        ({"ignore": [3]}, r"ignore= holds 3; write patterns as text"),
        ({"ignore": ["a/b/*.x"]}, r"holds 'a/b/\*\.x', but patterns are of names, .* write .*: '\*\.x'"),
        ({"ignore": ["sub/"]}, "holds 'sub/', but patterns are of names, .* write .*: 'sub'"),
    ],
)
def test_an_option_that_cannot_work_is_refused_when_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        Folder("data", **options)


def test_declaring_a_folder_loads_no_watchdog() -> None:
    code = "import sys, triggers.sources.folder as f; f.Folder('x'); sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_that_does_not_exist_is_a_wiring_error(tmp_path: Path) -> None:
    async def main() -> None:
        await anext(aiter(Folder(tmp_path / "gone", name="in").deliveries(FakeSite())))

    with pytest.raises(WiringError, match=r"source 'in'\) does not exist; create it or .* --bind in=PATH"):
        run(main())


def test_a_file_in_place_of_the_folder_is_a_wiring_error(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")

    async def main() -> None:
        await anext(aiter(Folder(tmp_path / "in").deliveries(FakeSite())))

    with pytest.raises(WiringError, match=r"is not a folder; name the one that it lies in or bind"):
        run(main())


def test_a_folder_that_may_not_be_read_is_a_wiring_error(public: Path) -> None:
    for mode in (0o000, 0o444, 0o111):
        public.chmod(mode)
        with (
            another_user(),
            pytest.raises(WiringError, match=r"source 'in'\) cannot be read by uid 65534; give it the"),
        ):
            Folder(public, name="in").require()
    public.chmod(0o555)
    with another_user():
        assert Folder(public).require() == os.fsencode(public)


# --- what arrives --------------------------------------------------------------------------------


def test_a_dropped_file_is_told_with_all_that_names_it(root: Path) -> None:
    async def main() -> Delivery:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a b.csv").write_text("1,2\n")
            return (await tap.take())[0]

    delivery = run(main())
    event = event_of(delivery)
    assert (event.key, event.size) == ("a b.csv", 4)
    assert event.uri == f"file://{root}/a%20b.csv"
    assert event.path() == root / "a b.csv"
    with event.open() as file:
        assert file.read() == b"1,2\n"
    assert (delivery.source, delivery.type, delivery.subject) == ("incoming", "ObjectCreated", "a b.csv")
    assert delivery.id == f"a b.csv@{event.version}"
    assert delivery.memory == (b"a b.csv", event.version.encode())
    assert delivery.time == (root / "a b.csv").stat().st_mtime


def test_files_that_came_before_the_start_are_told(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub/a.csv").write_text("1")
    (root / "b.csv").write_text("2")

    async def main() -> list[str | None]:
        async with tapped(Folder(root), FakeSite()) as tap:
            return await tap.keys(2)

    assert sorted(map(str, run(main()))) == ["b.csv", "sub/a.csv"]


def test_known_files_are_not_told_again_after_a_restart(root: Path) -> None:
    (root / "a.csv").write_text("1")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root), site) as tap:
            assert await tap.keys() == ["a.csv"]
            await tap.idle()
        (root / "b.csv").write_text("while nobody looked")
        async with tapped(Folder(root), site) as tap:
            assert await tap.keys() == ["b.csv"]
            assert tap.told == 1

    run(main())


def test_a_file_that_is_renamed_when_done_is_told_once_by_its_last_name(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            for number in range(3):
                (root / "x.tmp").write_text("done")
                (root / "x.tmp").rename(root / f"{number}.csv")
            assert await tap.keys(3) == ["0.csv", "1.csv", "2.csv"]
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]

    run(main())


def test_a_slow_writer_is_told_once_after_the_close(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            with open(root / "slow.csv", "w") as file:
                for part in range(3):
                    file.write("part\n")
                    file.flush()
                    (root / f"probe{part}").write_text("p")
                    assert await tap.keys() == [f"probe{part}"]
            assert [event_of(delivery).size for delivery in await tap.take()] == [15]
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]

    run(main())


def test_a_file_still_open_at_the_start_is_told_after_the_close(root: Path) -> None:
    async def main() -> None:
        with open(root / "slow.csv", "w") as file:
            file.write("part\n")
            file.flush()
            async with tapped(Folder(root), FakeSite()) as tap:
                await tap.idle()
                assert tap.told == 0
                file.close()
                assert await tap.keys() == ["slow.csv"]

    run(main())


def test_a_file_that_still_counts_as_open_at_its_close_is_told_within_a_second(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        (root.parent / "outside.csv").write_text("1")
        async with tapped(Folder(root), site) as tap:
            await tap.idle()
            with open(root.parent / "outside.csv", "a"):  # no hint will tell of this close
                (root / "a.csv").hardlink_to(root.parent / "outside.csv")
                (root / "a.csv").open("a").close()
                (root / "probe").write_text("p")
                assert await tap.keys() == ["probe"]
                await site.time.someone_sleeps()
            await site.time.advance(1)
            assert await tap.keys() == ["a.csv"]

    run(main())


def test_an_overwrite_in_place_is_told_again(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            (first,) = await tap.take()
            (root / "a.csv").write_text("22")
            (second,) = await tap.take()
        assert (first.subject, second.subject) == ("a.csv", "a.csv")
        assert event_of(second).size == 2
        with pytest.raises(Reject, match="was overwritten"):
            event_of(first).path()

    run(main())


def test_a_content_whose_version_only_begins_as_the_known_one_does_is_told(root: Path) -> None:
    (root / "a.csv").write_text("1")
    tree = Tree(Folder(root), FakeClock(), watched=False)
    (told,) = tree.examine({b"a.csv": True}, {})
    assert told.memory is not None
    key, version = told.memory
    assert tree.examine({key: True}, {key: version}) == []
    assert len(tree.examine({key: True}, {key: version + b"0"})) == 1
    assert len(tree.examine({key: True}, {key: version[:-1]})) == 1


def test_folders_made_and_filled_at_once_lose_and_double_nothing(root: Path) -> None:
    wanted = set()

    async def main() -> list[str | None]:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            for tree in range(50):
                place = root / f"t{tree}"
                for folder in (place / "a", place / "a/b", place / "a/b/c"):
                    folder.mkdir(parents=True)
                    (folder / "x.csv").write_text("x")
                    wanted.add(str((folder / "x.csv").relative_to(root)))
            got = await tap.keys(150)
            (root / "probe").write_text("p")
            return got + await tap.keys()

    got = run(main())
    assert got[-1] == "probe"
    assert set(got[:-1]) == wanted


def test_a_folder_that_is_moved_takes_its_files_and_its_watch_along(root: Path) -> None:
    async def main() -> None:
        outside = root.parent / "outside"
        (outside / "deep").mkdir(parents=True)
        (outside / "deep/a.csv").write_text("1")
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            watches = inotify_watches()
            outside.rename(root / "in")
            assert await tap.keys() == ["in/deep/a.csv"]
            (root / "in").rename(root / "new")
            assert await tap.keys() == ["new/deep/a.csv"]
            (root / "new/deep/b.csv").write_text("2")
            assert await tap.keys() == ["new/deep/b.csv"]
            assert inotify_watches() == watches + 2
            (root / "new").rename(outside)
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]
            assert inotify_watches() == watches

    run(main())


def test_a_burst_of_files_is_told_completely_and_once(in_memory: Path) -> None:
    root = in_memory

    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            code = "import sys\nfor n in range(5000): open(f'{sys.argv[1]}/{n}', 'w').write('x')"
            writer = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(root))
            got = await tap.keys(5000)
            await writer.wait()
            assert len(set(got)) == 5000
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]

    run(main())


def test_a_name_that_is_not_utf_8_is_told_escaped_and_can_be_opened(root: Path) -> None:
    path = os.fsencode(root) + b"/caf\xe9.csv"

    async def main() -> Delivery:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            with open(path, "w") as file:
                file.write("1")
            return (await tap.take())[0]

    delivery = run(main())
    event = event_of(delivery)
    assert event.key == "caf\\xe9.csv"
    assert event.uri.endswith("/caf%E9.csv")
    with event.open() as file:
        assert file.read() == b"1"
    assert delivery.memory is not None
    assert delivery.memory[0] == b"caf\xe9.csv"


# --- what does not arrive ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".hidden", "a~", "a.tmp", "a.part", "a.crdownload", ".a.swp", ".git/config"])
def test_hidden_and_unfinished_names_are_ignored(root: Path, name: str) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("x")
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]
        async with tapped(Folder(root), FakeSite()) as tap:
            assert await tap.keys() == ["probe"]
            await tap.idle()
            assert tap.told == 1

    run(main())


def test_what_is_ignored_can_be_chosen(root: Path) -> None:
    (root / "a.tmp").write_text("x")
    (root / "b.log").write_text("x")

    async def main(ignore: list[str]) -> list[str]:
        async with tapped(Folder(root, ignore=ignore), FakeSite()) as tap:
            await tap.idle()
            return sorted(map(str, await tap.keys(tap.told)))

    assert run(main(["*.log"])) == ["a.tmp"]
    assert run(main([])) == ["a.tmp", "b.log"]


def test_a_pattern_of_ignored_names_is_of_characters_and_not_of_bytes(root: Path) -> None:
    tree = Tree(Folder(root, ignore=["?.csv", "[äö]*"]), FakeClock(), watched=False)
    for name in ("é.csv", "äx", "éé.csv", "üx"):
        (root / name).write_text("1")
    told = tree.examine(next(tree.walk(EVERYWHERE)), {})
    assert sorted(delivery.subject or "" for delivery in told) == ["éé.csv", "üx"]


def test_pipes_devices_sockets_and_links_that_lead_out_are_ignored_and_never_opened(root: Path) -> None:
    secret = root.parent / "secret"
    secret.write_text("s")
    (root.parent / "more").mkdir()
    (root.parent / "more/x").write_text("x")

    def litter() -> None:
        os.mkfifo(root / "pipe")
        with suppress(PermissionError):
            os.mknod(root / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        (root / "out.csv").symlink_to(secret)
        (root / "up.csv").symlink_to("../secret")
        (root / "folder").symlink_to(root.parent / "more")
        (root / "dangling").symlink_to(root / "nothing")

    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            litter()
            tree = Tree(Folder(root), FakeClock(), watched=True)
            told = tree.examine(
                dict.fromkeys([b"pipe", b"device", b"out.csv", b"up.csv", b"folder", b"dangling"], True), {}
            )
            assert (told, tree.waitlist.seconds_left()) == ([], None)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(root / "s"))
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]
        async with tapped(Folder(root), FakeSite()) as tap:
            assert await tap.keys() == ["probe"]
            await tap.idle()
            assert tap.told == 1

    run(main())


def test_a_file_behind_a_folder_that_became_a_link_is_not_told(root: Path) -> None:
    outside = root.parent / "outside"
    for folder in (root / "sub", root / "kept/deep", outside):
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("1")
    tree = Tree(Folder(root), FakeClock(), watched=False)
    hints = {b"sub/a.csv": True, b"kept/deep/a.csv": True}
    assert [told.subject for told in tree.examine(hints, {})] == ["sub/a.csv", "kept/deep/a.csv"]
    shutil.rmtree(root / "sub")
    (root / "sub").symlink_to(outside)
    assert [told.subject for told in tree.examine(hints, {})] == ["kept/deep/a.csv"]


def test_links_of_both_kinds_that_stay_in_the_folder_are_told(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            assert await tap.keys() == ["a.csv"]
            (root / "soft.csv").symlink_to("a.csv")
            (soft,) = await tap.take()
            (root / "hard.csv").hardlink_to(root / "a.csv")
            (hard,) = await tap.take()
        assert event_of(soft).path().read_text() == event_of(hard).path().read_text() == "1"
        assert (soft.subject, hard.subject) == ("soft.csv", "hard.csv")

    run(main())


def test_a_file_that_is_gone_when_it_is_looked_at_is_nothing(root: Path) -> None:
    tree = Tree(Folder(root), FakeClock(), watched=True)
    assert tree.examine({b"never.csv": True, b"no/such/place": True}, {}) == []
    assert tree.waitlist.seconds_left() is None

    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            for _ in range(100):
                (root / "brief").touch()
                (root / "brief").unlink()
            (root / "probe").write_text("p")
            while await tap.keys() != ["probe"]:
                pass
            (root / "probe2").write_text("p")
            assert await tap.keys() == ["probe2"]

    run(main())


# --- what stands in the way ----------------------------------------------------------------------


def test_an_unreadable_file_is_named_once_and_told_when_it_can_be_read(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def drop(name: str, mode: int) -> None:
        os.seteuid(0)
        (public / name).write_text("x")
        (public / name).chmod(mode)
        os.seteuid(65534)

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public, name="in"), site) as tap:
            await tap.idle()
            drop("locked.csv", 0o600)
            drop("free.csv", 0o644)
            assert await tap.keys() == ["free.csv"]
            await site.time.advance(AGAIN)
            await site.time.someone_sleeps()
            os.seteuid(0)
            (public / "locked.csv").chmod(0o644)
            os.seteuid(65534)
            await site.time.advance(AGAIN)
            await site.time.advance(1.0)  # another user's file: told when it has settled
            assert await tap.keys() == ["locked.csv"]

    with another_user():
        run(main())
    (record,) = [record for record in caplog.records if "cannot be read" in record.message]
    assert record.levelno == logging.WARNING
    assert f"in: {public}/locked.csv cannot be read (Permission denied); give uid 65534 the right" in record.message


def test_an_unreadable_folder_is_named_and_the_rest_is_told(public: Path, caplog: pytest.LogCaptureFixture) -> None:
    (public / "locked").mkdir(mode=0o700)
    (public / "locked/a.csv").write_text("1")
    (public / "free.csv").write_text("2")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public, name="in"), site) as tap:
            await site.time.advance(1.0)
            assert await tap.keys() == ["free.csv"]
            os.seteuid(0)
            (public / "locked").chmod(0o755)
            os.seteuid(65534)
            await site.time.advance(AGAIN)
            await site.time.advance(1.0)
            assert await tap.keys() == ["locked/a.csv"]

    with another_user():
        run(main())
    (record,) = [record for record in caplog.records if "cannot be listed" in record.message]
    assert f"{public}/locked cannot be listed (Permission denied)" in record.message


def test_another_users_file_is_told_when_its_writer_closes_it(public: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(public), FakeSite()) as tap:
            await tap.idle()
            os.seteuid(0)
            with open(public / "a.csv", "w") as file:
                file.write("part")
                file.flush()
                (public / "probe").write_text("p")
                os.seteuid(65534)
                assert await tap.keys() == ["probe"]
            assert await tap.keys() == ["a.csv"]

    with another_user():
        run(main())


def test_another_users_file_that_is_being_made_waits_for_its_close_however_its_writer_dawdles(public: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public), site) as tap:
            await tap.idle()
            os.seteuid(0)
            with open(public / "a.csv", "w") as file:
                file.write("part")
                file.flush()
                os.seteuid(65534)
                await site.time.advance(5)
                await site.time.someone_sleeps()
                os.seteuid(0)
                os.fchmod(file.fileno(), 0o644)
                file.write("more")
                file.flush()
                os.seteuid(65534)
                await site.time.advance(50)
                await site.time.someone_sleeps()
                assert tap.told == 0
            assert [event_of(delivery).size for delivery in await tap.take()] == [8]

    with another_user():
        run(main())


def test_another_users_file_that_nobody_is_seen_to_close_is_not_waited_for_for_ever(public: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public), site) as tap:
            await tap.idle()
            os.seteuid(0)
            (public / "ignored.tmp").write_text("1")
            (public / "linked.csv").hardlink_to(public / "ignored.tmp")
            os.mknod(public / "made.csv", 0o644)
            os.seteuid(65534)
            await site.time.advance(1)
            assert await tap.keys() == ["linked.csv"]
            await site.time.advance(60)
            assert await tap.keys() == ["made.csv"]

    with another_user():
        run(main())


def test_that_completeness_is_guessed_is_said_once_with_the_ways_out(
    public: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.csv", "b.csv"):
        (public / name).write_text("1")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public, name="in"), site) as tap:
            await site.time.advance(1)
            await tap.keys(2)

    with another_user():
        run(main())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for part in ("belongs to uid 0, and this is uid 65534", "guessed, from 1 s", "CAP_LEASE", "marker=", "settle="):
        assert part in record.message
    assert "looked at again" not in record.message


def test_a_time_of_modification_that_is_set_by_name_is_told(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv").write_text("1")
            assert await tap.keys() == ["a.csv"]
            os.utime(root / "a.csv", (1, 1))
            assert await tap.keys() == ["a.csv"]
            (root / "a.csv").chmod(0o600)
            (root / "probe").write_text("p")
            assert await tap.keys() == ["probe"]

    run(main())


def test_a_hint_that_knows_no_more_takes_back_no_close(root: Path) -> None:
    async def main() -> None:
        hints = Hints()
        hints.add({b"closed": True, b"made": None}, {})
        hints.add({b"closed": False, b"made": False, b"seen": False}, {})
        assert hints.take_files(9) == {b"closed": True, b"made": None, b"seen": False}
        hints.add({b"a": True}, {})
        hints.add({b"a": None}, {})
        assert hints.take_files(9) == {b"a": None}

    run(main())


def test_another_users_file_that_was_there_is_told_when_it_has_been_quiet(public: Path) -> None:
    (public / "a.csv").write_text("1")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(public, settle=5), site) as tap:
            await site.time.advance(4)
            await site.time.someone_sleeps()
            os.seteuid(0)
            with open(public / "a.csv", "a") as file:
                file.write("2")
                file.flush()
                os.seteuid(65534)
                await site.time.advance(1)  # it changed: five more seconds
                await site.time.advance(4)
                await site.time.someone_sleeps()
                assert (tap.told, site.is_idle(public.name)) == (0, False)
                await site.time.advance(1)
                assert [event_of(delivery).size for delivery in await tap.take()] == [2]
                await tap.idle()

    with another_user():
        run(main())


def test_an_empty_file_that_nobody_was_seen_to_close_is_told_when_it_has_been_quiet(root: Path) -> None:
    (root / "_SUCCESS").touch()

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root, settle=5), site) as tap:
            await site.time.someone_sleeps()
            assert (tap.told, site.is_idle("incoming")) == (0, False)
            (root / "closed").touch()
            assert await tap.keys() == ["closed"]
            await site.time.advance(5)
            assert await tap.keys() == ["_SUCCESS"]
            await tap.idle()

    run(main())


def test_a_folder_that_goes_away_is_named_and_awaited(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root), site) as tap:
            (root / "a.csv").write_text("1")
            assert await tap.keys() == ["a.csv"]
            root.rename(root.parent / "away")
            await site.time.advance(AGAIN)
            await site.time.someone_sleeps()
            (root.parent / "away/b.csv").write_text("2")
            (root.parent / "away").rename(root)
            await site.time.advance(AGAIN)
            assert await tap.keys() == ["b.csv"]
            (root / "c.csv").write_text("3")
            assert await tap.keys() == ["c.csv"]

    run(main())
    assert [f"{root} cannot be listed (No such file or directory)" in r.message for r in caplog.records] == [True]


def test_a_folder_that_is_polled_says_how_often_and_shows_odd_bytes_as_keys_do(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Path(os.fsdecode(os.fsencode(root) + b"/odd\xff"))
    place.mkdir()

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(place, name="in", poll=2), site) as tap:
            await tap.idle()
            place.rename(root / "away")
            await site.time.advance(2)
            await site.time.someone_sleeps()
            (root / "away").rename(place)
            (place / "a.csv").write_text("1")
            await site.time.advance(2)
            await site.time.advance(1)
            assert await tap.keys() == ["a.csv"]

    run(main())
    (record,) = caplog.records
    assert f"in: {root}/odd\\xff cannot be listed" in record.message
    assert record.message.endswith("; looked at again every 2 s")


def test_a_writer_that_comes_while_we_look_is_neither_killed_nor_refused(root: Path) -> None:
    path = root / "a.csv"
    path.write_text("1")
    tree = Tree(Folder(root), FakeClock(), watched=False)
    writes = 0

    def write() -> None:
        nonlocal writes
        for _ in range(3000):
            with open(path, "r+") as file:
                file.write("2")
            writes += 1

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        tree.examine({b"a.csv": True}, {})
    assert writes == 3000


def test_who_looks_is_sent_no_signal_that_ends_the_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "a.csv"
    path.write_text("1")
    sent: list[int] = []
    writers: list[subprocess.Popen[bytes]] = []
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)

    def status(descriptor: int) -> os.stat_result:
        monkeypatch.undo()
        writers.append(subprocess.Popen(["sh", "-c", 'echo 22 > "$1"', "sh", path]))
        select.select([woken], [], [], PATIENCE)
        return os.fstat(descriptor)

    def note(number: int, _: FrameType | None) -> None:
        sent.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGURG, signal.SIGIO)}
    told = signal.set_wakeup_fd(wakes)
    try:
        monkeypatch.setattr(os, "fstat", status)
        is_open, looked_at = look(bytes(path), leases=True)
    finally:
        signal.set_wakeup_fd(told)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(wakes)
    assert (sent, is_open, looked_at.st_size) == ([signal.SIGURG], False, 1)
    assert [writer.wait(PATIENCE) for writer in writers] == [0]
    assert path.read_text() == "22\n"


# --- where nobody watches ------------------------------------------------------------------------


def test_without_a_watch_the_folder_is_looked_at_when_poked(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite(watches=False)) as tap:
            await tap.idle()
            assert inotify_watches() == 0
            (root / "a.csv").write_text("1")
            (root / "empty").touch()
            await tap.poke()
            assert sorted(map(str, await tap.keys(tap.told))) == ["a.csv", "empty"]
            await tap.poke()
            assert tap.told == 2

    run(main())


def test_without_a_watch_an_open_file_is_looked_at_again_after_the_settle_time(root: Path) -> None:
    async def main() -> None:
        site = FakeSite(watches=False)
        with open(root / "a.csv", "w") as file:
            async with tapped(Folder(root), site) as tap:
                await site.time.advance(1.0)
                await site.time.someone_sleeps()
                assert tap.told == 0
                file.write("1")
                file.close()
                await site.time.advance(1.0)
                assert await tap.keys() == ["a.csv"]

    run(main())


def test_a_folder_has_looked_though_there_is_always_a_file_that_is_being_written(root: Path) -> None:
    (root / "a.csv").write_text("1")
    (root.parent / "b.csv").touch()
    (root / "b.csv").hardlink_to(root.parent / "b.csv")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root, poll=3, settle=5), site) as tap:
            await site.time.someone_sleeps()
            assert site.looks == set()  # what is there may be complete, which only time tells
            for number in range(6):
                (root.parent / "b.csv").write_text("1" * number)
                await site.time.advance(3)
            await site.time.someone_sleeps()
            assert await tap.keys() == ["a.csv"]
            assert (tap.told, site.looks, site.is_idle("incoming")) == (1, {"incoming"}, False)

    run(main())


def test_a_folder_that_is_polled_is_looked_at_every_so_many_seconds_and_trusts_no_lease(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        (root.parent / "a.csv").write_text("1")
        (root / "a.csv").hardlink_to(root.parent / "a.csv")
        async with tapped(Folder(root, poll=60, settle=5), site) as tap:
            await site.time.advance(4)
            await site.time.someone_sleeps()
            assert tap.told == 0
            await site.time.advance(1)
            assert await tap.keys() == ["a.csv"]
            await tap.idle()
            (root.parent / "a.csv").write_text("the kernel has nothing to tell of it")
            await site.time.advance(54)
            await site.time.someone_sleeps()
            await site.time.advance(1)
            await site.time.advance(4)
            await site.time.someone_sleeps()
            assert tap.told == 1
            await site.time.advance(1)
            assert await tap.keys() == ["a.csv"]

    run(main())


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "5", True])
def test_a_folder_that_is_polled_without_a_pause_is_refused(seconds: Any) -> None:
    with pytest.raises(WiringError, match=r"poll=.* is no span of time above 0"):
        Folder("data", poll=seconds)


def test_what_the_kernel_never_told_is_found_within_the_hour(root: Path) -> None:
    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root), site) as tap:
            (root / "a.csv").write_text("1")
            (root / "link.csv").symlink_to("a.csv")
            await tap.keys(2)
            await tap.idle()
            (root / "a.csv").write_text("22")
            assert await tap.keys() == ["a.csv"]
            await tap.idle()
            site.time.leap(AUDIT)
            assert await tap.keys() == ["link.csv"]

    run(main())


# --- the watch -----------------------------------------------------------------------------------


class Told:
    """Hints, as a watcher tells them."""

    def __init__(self) -> None:
        self.files: Files = {}
        self.folders: dict[bytes, None] = {}
        self.something = threading.Event()

    def __call__(self, files: Mapping[bytes, bool | None], folders: Mapping[bytes, None]) -> None:
        self.files.update(files)
        self.folders.update(folders)
        self.something.set()


def test_an_overflow_of_the_kernels_queue_becomes_a_look_everywhere(root: Path) -> None:
    told = Told()
    watcher = KernelWatcher(os.fsencode(root), told)
    watcher.add(EVERYWHERE)
    watcher.take(struct.pack("iIII", -1, 0x4000, 0, 0))
    watcher.stop()
    assert told.folders == {EVERYWHERE: None}


def test_ending_a_source_ends_its_threads_and_closes_its_descriptors(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root), FakeSite()) as tap:
            await tap.idle()

    run(main())
    descriptors, threads = len(os.listdir("/proc/self/fd")), set(threading.enumerate())
    run(main())
    assert len(os.listdir("/proc/self/fd")) == descriptors
    for thread in set(threading.enumerate()) - threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_on_other_systems_the_stock_observer_hints_at_everything(root: Path) -> None:
    told = Told()
    watcher = StockWatcher(os.fsencode(root), told)
    watcher.add(EVERYWHERE)
    watcher.add(b"sub")
    (root / "a.csv").write_text("1")
    assert told.something.wait(PATIENCE)
    watcher.stop()
    watcher.stop()
    assert (told.files, told.folders) == ({}, {EVERYWHERE: None})
