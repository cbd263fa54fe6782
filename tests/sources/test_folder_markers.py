"""Files that wait for a marker."""
# ruff: noqa: ASYNC230  # the files are local and tiny, and what is tested is when they are touched

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sources.site import FakeSite, run, tapped
from tests.sources.test_folder import another_user, public
from triggers.errors import WiringError
from triggers.sources.folder import Folder

__all__ = ["public"]  # a fixture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


@pytest.mark.parametrize("marker", ["", "*", "a/b", "*.*", ".", ".."])
def test_a_marker_that_names_no_file_is_refused_with_the_ways_to_name_one(marker: str) -> None:
    with pytest.raises(WiringError, match=r"names no file; write .* as '_SUCCESS', or .* as '\*\.done'"):
        Folder("data", marker=marker)


def test_a_folder_bound_elsewhere_keeps_its_marker_and_what_else_it_was_told() -> None:
    bound = Folder("data", marker="_SUCCESS", deletions=True, poll=5).bind("/elsewhere")
    assert (bound.marker, bound.deletions, bound.poll) == ("_SUCCESS", True, 5)


@pytest.mark.parametrize("marker", ["_SUCCESS", ".done"])
def test_the_files_of_a_folder_and_of_those_below_wait_for_its_marker(root: Path, marker: str) -> None:
    async def main() -> None:
        async with tapped(Folder(root, marker=marker), FakeSite()) as tap:
            await tap.idle()
            (root / "table/day=1").mkdir(parents=True)
            for key in ("table/a.csv", "table/day=1/b.csv", "other.csv"):
                (root / key).write_text("1")
            await tap.idle()
            (root / "table" / marker).touch()
            assert sorted(map(str, await tap.keys(2))) == ["table/a.csv", "table/day=1/b.csv"]
            (root / "table/c.csv").write_text("after the marker")
            assert await tap.keys() == ["table/c.csv"]
            (root / marker).touch()
            assert await tap.keys() == ["other.csv"]
            await tap.idle()
            assert tap.told == 4

    run(main())


@pytest.mark.parametrize(("marker", "name"), [("*.done", "a.csv.done"), (".*.ok", ".a.csv.ok"), ("ok-*", "ok-a.csv")])
def test_each_file_waits_for_a_marker_of_its_own(root: Path, marker: str, name: str) -> None:
    (root / "sub").mkdir()
    (root / "sub/a.csv").write_text("1")
    (root / "sub/b.csv").write_text("2")

    async def main() -> None:
        async with tapped(Folder(root, marker=marker), FakeSite()) as tap:
            await tap.idle()
            (root / "sub" / name).touch()
            assert await tap.keys() == ["sub/a.csv"]
            (root / "sub/b.csv").rename(root / "sub/c.csv")
            (root / "sub" / marker.replace("*", "c.csv")).symlink_to("a.csv")
            assert await tap.keys() == ["sub/c.csv"]
            await tap.idle()
            assert tap.told == 2

    run(main())


def test_a_marker_that_comes_first_releases_the_file_that_follows(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root, marker="*.done"), FakeSite()) as tap:
            await tap.idle()
            (root / "a.csv.done").touch()
            (root / "a.csv").write_text("1")
            assert await tap.keys() == ["a.csv"]

    run(main())


def test_markers_that_came_while_nobody_looked_are_found(root: Path) -> None:
    (root / "a.csv").write_text("1")
    (root / "a.csv.done").touch()
    (root / "b.csv").write_text("1")

    async def main() -> None:
        site = FakeSite()
        async with tapped(Folder(root, marker="*.done"), site) as tap:
            assert await tap.keys() == ["a.csv"]
            await tap.idle()
        (root / "b.csv.done").touch()
        async with tapped(Folder(root, marker="*.done"), site) as tap:
            assert await tap.keys() == ["b.csv"]
            await tap.idle()
            assert tap.told == 1

    run(main())


def test_a_file_that_is_still_written_is_not_told_whatever_its_marker_says(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root, marker="*.done"), FakeSite()) as tap:
            await tap.idle()
            with (root / "a.csv").open("w") as file:
                file.write("1")
                file.flush()
                (root / "a.csv.done").touch()
                (root / "probe").write_text("p")
                (root / "probe.done").touch()
                assert await tap.keys() == ["probe"]
            assert await tap.keys() == ["a.csv"]

    run(main())


def test_a_marker_spares_the_wait_for_quiet(public: Path) -> None:
    (public / "a.csv").write_text("1")
    (public / "empty.csv").touch()
    for name in ("a.csv", "empty.csv"):
        (public / f"{name}.done").touch()

    async def main() -> None:
        async with tapped(Folder(public, marker="*.done", settle=5), FakeSite()) as tap:
            assert sorted(map(str, await tap.keys(2))) == ["a.csv", "empty.csv"]

    with another_user():
        run(main())


@pytest.mark.parametrize(("marker", "name"), [("_SUCCESS", "_SUCCESS"), ("*.done", "a.csv.done")])
def test_a_folder_of_a_markers_name_releases_nothing(root: Path, marker: str, name: str) -> None:
    (root / "a.csv").write_text("1")
    (root / name).mkdir()

    async def main() -> None:
        site = FakeSite()
        for _ in range(2):
            async with tapped(Folder(root, marker=marker), site) as tap:
                await tap.idle()
                assert tap.told == 0
        (root / name).rmdir()
        (root / name).touch()
        async with tapped(Folder(root, marker=marker), site) as tap:
            assert await tap.keys() == ["a.csv"]

    run(main())


def test_a_name_that_is_not_utf_8_has_its_marker_too(root: Path) -> None:
    async def main() -> None:
        async with tapped(Folder(root, marker="*.done"), FakeSite()) as tap:
            await tap.idle()
            for name in (b"caf\xe9.csv", b"caf\xe9.csv.done"):
                with open(os.fsencode(root) + b"/" + name, "wb") as file:
                    file.write(b"1")
            assert await tap.keys() == ["caf\\xe9.csv"]

    run(main())
