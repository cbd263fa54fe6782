"""What every place does, a folder and a bucket alike; and what only one of them does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from triggers.errors import Conflict, HandlerError, WiringError
from triggers.places import Place


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(tmp_path / "out")


@pytest.fixture
def bucket(endpoint: str, unique: str) -> Place:
    import boto3

    boto3.client("s3").create_bucket(Bucket=unique)
    return Place(f"s3://{unique}/data/out")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    found: Place = request.getfixturevalue(request.param)
    assert found.name == "out"
    return found


def write(place: Place, key: str, data: bytes) -> None:
    with place.output(key) as file:
        file.write(data)


def test_what_is_put_out_is_read_looked_at_opened_and_listed(place: Place) -> None:
    write(place, "deep/a b+ü.bin", b"0123456789")
    assert place.read("deep/a b+ü.bin") == b"0123456789"
    assert place.exists("deep/a b+ü.bin")
    seen = place.look("deep/a b+ü.bin")
    assert seen is not None
    assert seen.data == b"0123456789"
    with place.open("deep/a b+ü.bin") as file:
        assert file.seek(-2, os.SEEK_END) == 8
        assert file.read() == b"89"
        assert os.fstat(file.fileno()).st_size == 10
    assert place.keys() == ["deep/a b+ü.bin"]


def test_what_is_not_there_is_said_as_of_any_file(place: Place) -> None:
    write(place, "there-too", b"")
    for ask in (place.read, place.open):
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*there"):
            ask("there")
    assert place.look("there") is None
    assert not place.exists("there")
    assert place.keys("nothing/") == []


def test_keys_are_listed_by_any_prefix_in_order(place: Place) -> None:
    for key in ("b/2", "b/10", "b0", "a/b/c"):
        write(place, key, b"")
    assert place.keys() == ["a/b/c", "b/10", "b/2", "b0"]
    assert place.keys("b/") == ["b/10", "b/2"]
    assert place.keys("b/1") == ["b/10"]
    assert place.keys("b") == ["b/10", "b/2", "b0"]


def test_an_output_appears_whole_when_the_block_ends(place: Place) -> None:
    with place.output("deep/a.bin") as file:
        file.write(b"half")
        assert place.keys() == []
    assert place.read("deep/a.bin") == b"half"
    assert place.keys() == ["deep/a.bin"]


def test_an_output_of_a_block_that_fails_never_appears(place: Place) -> None:
    def failing() -> None:
        with place.output("a.bin") as file:
            file.write(b"half")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        failing()
    assert place.keys() == []


def test_an_output_replaces_other_content(place: Place) -> None:
    write(place, "a", b"one")
    write(place, "a", b"two")
    assert place.read("a") == b"two"


@pytest.mark.parametrize("key", ["../a", "/etc/passwd", "a/../../b", "", ".", "a//b", "a/", "a\0b"])
def test_a_key_may_not_leave_its_place(folder: Place, key: str) -> None:
    calls: list[Callable[[str], object]] = [folder.output, folder.read, folder.open, folder.look, folder.exists]
    for call in calls:
        with pytest.raises(HandlerError, match="is no key in the place 'out'; keys are relative paths inside it"):
            call(key)
    with pytest.raises(HandlerError, match="is no key in the place 'out'"):
        folder.replace(key, b"", seen=None)


def test_a_prefix_may_not_leave_its_place(folder: Place) -> None:
    with pytest.raises(HandlerError, match=r"'\.\.' is no key in the place 'out'"):
        folder.keys("../")


def test_an_object_is_replaced_by_who_saw_the_last_one_and_by_nobody_else(place: Place) -> None:
    place.replace("pointer", b"1", seen=None)
    first = place.look("pointer")
    place.replace("pointer", b"2", seen=first)
    with pytest.raises(Conflict, match="'pointer' in the place 'out' is no longer what was seen: somebody else was"):
        place.replace("pointer", b"3", seen=first)
    with pytest.raises(Conflict, match="'pointer' in the place 'out' is there already"):
        place.replace("pointer", b"3", seen=None)
    with pytest.raises(Conflict):
        place.replace("never-there", b"3", seen=first)
    assert place.read("pointer") == b"2"
    assert place.keys() == ["pointer"]


def test_of_many_who_count_at_once_none_is_lost(place: Place) -> None:
    def count(_: int) -> None:
        while True:
            seen = place.look("count")
            with suppress(Conflict):
                place.replace("count", str(int(seen.data) + 1 if seen else 1).encode(), seen=seen)
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(12)))
    assert place.read("count") == b"12"


def test_a_place_says_where_it_is(tmp_path: Path) -> None:
    here, there = Place(tmp_path / "a b"), Place("s3://acme/raw%20data/", name="raw")
    assert (str(here), here.uri, here.path) == (str(tmp_path / "a b"), (tmp_path / "a b").as_uri(), tmp_path / "a b")
    assert (str(there), there.uri) == ("s3://acme/raw%20data", "s3://acme/raw%20data/")
    with pytest.raises(WiringError, match="the place 'raw' is s3://acme/raw%20data, which has no path; use its read"):
        there.path  # noqa: B018


# --- folders


def test_the_same_content_again_leaves_a_file_untouched_and_other_content_replaces_it(folder: Place) -> None:
    def number_after(content: bytes) -> int:
        write(folder, "a.bin", content)
        return (folder.path / "a.bin").stat().st_ino

    first = number_after(b"one")
    assert number_after(b"one") == first
    assert number_after(b"two") != first
    assert (folder.path / "a.bin").stat().st_mode & 0o777 == 0o644


def test_a_key_may_not_leave_its_folder_by_a_link(folder: Place, tmp_path: Path) -> None:
    folder.path.mkdir()
    (folder.path / "link").symlink_to(tmp_path)
    (tmp_path / "a").write_text("secret")
    for call in (folder.output, folder.read):
        with pytest.raises(HandlerError, match="'link/a' leaves the place 'out' by a link"):
            call("link/a")


def test_a_name_may_be_as_long_as_names_are(folder: Place) -> None:
    write(folder, "n" * 255, b"1")
    assert folder.keys() == ["n" * 255]


def test_what_is_written_meanwhile_is_not_listed(folder: Place) -> None:
    folder.replace("pointer", b"1", seen=None)
    with folder.output("a"):
        assert len(list(folder.path.iterdir())) == 3
        assert folder.keys() == ["pointer"]
    write(folder, ".hidden", b"")
    assert folder.keys() == [".hidden", "a", "pointer"]
