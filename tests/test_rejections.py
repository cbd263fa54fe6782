from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from triggers.errors import StateError
from triggers.rejections import Rejections


def keep(folder: Path, *given: str) -> Rejections:
    rejections = Rejections(folder)
    asyncio.run(rejections.keep(*given))
    return rejections


def test_what_is_rejected_lies_beside_its_reason_and_is_private(tmp_path: Path) -> None:
    assert keep(tmp_path / "rejected", "orders", "m1", '{"body":"\ud800"}', "it is torn").count == 1
    kept = tmp_path / "rejected" / "orders-m1.json"
    assert kept.read_bytes().decode("utf-8", "surrogatepass") == '{"body":"\ud800"}'
    assert (tmp_path / "rejected" / "orders-m1.json.reason").read_text() == "it is torn\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_what_comes_again_is_kept_once(tmp_path: Path) -> None:
    for body in ("a longer one", "again"):
        keep(tmp_path / "rejected", "orders", "m1", body, "why")
    assert sorted(path.name for path in (tmp_path / "rejected").iterdir()) == [
        "orders-m1.json",
        "orders-m1.json.reason",
    ]
    assert (tmp_path / "rejected" / "orders-m1.json").read_text() == "again"


def test_two_names_that_look_the_same_once_cleaned_stay_two(tmp_path: Path) -> None:
    for id in ("a b", "a.b", "a-b"):
        keep(tmp_path / "rejected", "orders", id, id, "why")
    kept = [path.read_text() for path in (tmp_path / "rejected").glob("*.json")]
    assert sorted(kept) == ["a b", "a-b", "a.b"]


@pytest.mark.parametrize("id", ["../../evil", "/etc/evil", "a\0b\n", "x" * 1000, "."])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, id: str) -> None:
    keep(tmp_path / "rejected", "orders", id, "{}", "why")
    assert [path.name for path in tmp_path.iterdir()] == ["rejected"]
    assert len(list((tmp_path / "rejected").iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "rejected").write_text("a file")
    with pytest.raises(StateError, match=r"orders-m1.json cannot be written \(.*\); nothing was acknowledged"):
        keep(tmp_path / "rejected", "orders", "m1", "{}", "why")
