"""What we depend on is locked by hash, and may be used; `make audit` asks the rest."""

from __future__ import annotations

import re
import tomllib
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from infra.audit import LOCK, allowed, locked, main, normal, problems
from tests.docs.pages import ROOT

GROUPS = ("pipeline", "test", "aws", "lint", "types", "audit", "coverage", "build")


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = [project["dependency-groups"][name] for name in GROUPS]
    texts = [text for some in (project["project"]["dependencies"], *extras, *groups) for text in some]
    names = {re.match(r"[\w.-]+", text)[0] for text in texts}  # type: ignore[index]  # each begins with a name
    return {normal(name) for name in names} - {"triggers-ml"}


def test_everything_that_is_declared_is_locked() -> None:
    missing = declared() - locked(LOCK.read_text()).keys()
    assert missing == set(), "make lock"


def test_everything_that_is_locked_has_a_hash_and_comes_from_no_place_by_name() -> None:
    text = LOCK.read_text()
    entries = re.split(r"\n(?=[A-Za-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert len(entries) == len(locked(text))
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("MIT", True), ("Apache-2.0 OR GPL-3.0", True), ("MIT AND GPL-3.0", False), ("GPL-3.0", False), ("", False),
        ("BSD License; Apache Software License", True), ("(MIT OR GPL-3.0) AND Zlib", True), ("UNKNOWN", False),
    ],
)  # fmt: skip
def test_a_licence_will_do_where_all_of_it_is_allowed(text: str, may: bool) -> None:
    assert allowed(text) == may


class Installed(Distribution):
    """A package with the metadata that a test gives it."""

    def __init__(self, version: str, licence: str) -> None:
        self._message = Message()
        self._message["Name"], self._message["Version"], self._message["License-Expression"] = "x", version, licence

    def read_text(self, filename: str) -> str | None:
        return str(self._message) if filename == "METADATA" else None

    def locate_file(self, path: object) -> object:  # type: ignore[override]  # nobody asks for a file
        return path


def test_another_version_and_a_licence_that_will_not_do_are_problems() -> None:
    installed = {"x": Installed("2", "GPL-3.0")}
    assert [line.partition(":")[0] for line in problems(installed, {"x": "1"})] == [
        "x is installed as 2, and locked as 1",
        "x 2 is under GPL-3.0",
    ]
    assert list(problems(installed, {})) == []


def test_what_is_installed_and_not_locked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stray-1.dist-info").mkdir()
    (tmp_path / "stray-1.dist-info" / "METADATA").write_text("Name: stray\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    main()
    _, _, others = capsys.readouterr().out.partition("not locked, so not looked at: ")
    assert "stray" in others.strip().split(", ")
