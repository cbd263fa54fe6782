"""The documentation tells the truth: its examples run, its links lead somewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, RUN, SHOWN, Block, anchors, blocks, broken_links, name_of, pages
from tests.docs.running import ExampleError, Session
from triggers import App
from triggers.testing import Harness

LINKED = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harness: Callable[[App], Harness]) -> Session:
    """A folder for a page's examples, which is also the current one and on Python's path."""
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Session(folder, {"harness": lambda: harness, "tmp_path": lambda: tmp_path})


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_the_examples_of_a_page_do_what_it_says(page: Path, session: Session) -> None:
    session.run(blocks(page, page.read_text()))


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_block_is_either_run_or_visibly_not_code_to_run(page: Path) -> None:
    odd = [f"{block} is {block.language or 'unmarked'}" for block in blocks(page, page.read_text())
           if block.language not in RUN | SHOWN]  # fmt: skip
    assert odd == []


# --- the runner itself


def run(session: Session, text: str) -> None:
    session.run(list(blocks(Path("page.md"), text)))


def test_blocks_of_a_page_share_their_names(session: Session) -> None:
    run(session, "```python\na = 1\n```\n\nand\n\n```python\nassert a == 1\n```\n")


def test_an_example_that_fails_is_named_by_page_and_line(session: Session) -> None:
    with pytest.raises(ExampleError, match=r"page.md:4: ZeroDivisionError: division by zero"):
        run(session, "# Page\n\n```python\n1 / 0\n```\n")


def test_a_test_in_an_example_is_called_with_what_it_asks_for(session: Session) -> None:
    with pytest.raises(ExampleError, match="AssertionError"):
        run(session, "```python\ndef test_it(harness, tmp_path):\n    assert harness is None\n```\n")


def test_a_named_block_is_a_file_that_others_import(session: Session) -> None:
    run(
        session,
        "```python\n# shop.py\nprice = 3\n```\n\n```console\n$ python -c 'import shop; print(shop.price)'\n```\n",
    )
    assert session.output == "3\n"


def test_output_is_compared_where_the_page_says_so(session: Session) -> None:
    run(session, "```python\nprint('a b')\n```\n\n<!-- output -->\n\n```text\na ...\n```\n")
    with pytest.raises(ExampleError, match="the page shows"):
        run(session, "```python\nprint('a')\n```\n\n<!-- output -->\n```text\nb\n```\n")
    with pytest.raises(ExampleError, match="the page shows"):
        run(session, "<!-- output -->\n```console\n$ echo a\nb\n```\n")


def test_an_error_can_be_what_an_example_shows(session: Session) -> None:
    run(session, "<!-- raises -->\n```python\nint('x')\n```\n<!-- output -->\n```text\nValueError: invalid ...\n```\n")
    with pytest.raises(ExampleError, match="no error was raised"):
        run(session, "<!-- raises -->\n```python\nint('1')\n```\n")


def test_a_command_must_exit_as_the_page_says(session: Session) -> None:
    run(session, "<!-- exit: 3 -->\n```console\n$ exit 3\n```\n")
    with pytest.raises(ExampleError, match="exited with 3"):
        run(session, "```bash\nexit 3\n```\n")


def test_a_command_that_goes_on_is_interrupted_once_it_has_said_enough(session: Session) -> None:
    run(
        session,
        "<!-- until: up -->\n```console\n$ python -c 'import time; print(\"up\", flush=True); time.sleep(99)'\n```\n",
    )
    with pytest.raises(ExampleError, match="ended without 'up'"):
        run(session, "<!-- until: up -->\n```console\n$ echo down\n```\n")


def test_a_block_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"page.md:1: the block is never closed"):
        list(blocks(Path("page.md"), "```python\n"))


def test_a_comment_belongs_to_the_block_just_below_it() -> None:
    [block] = blocks(Path("page.md"), "<!-- raises -->\nText.\n\n```python\n```\n")
    assert block == Block(Path("page.md"), 5, "python", "", {})


def test_links_into_pages_are_followed_to_the_heading(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    text = "## What's `new`?\n\n[a](a.md#whats-new) [b](b.md) [c](#whats-new) [d](a.md#old) [e](https://x.org)\n"
    page.write_text(text)
    assert anchors(text) == {"whats-new"}
    assert broken_links(page, text) == ["b.md", "a.md#old"]
