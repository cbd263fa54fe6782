"""A page of the documentation: its fenced blocks, its links and its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN = {"python", "console", "bash"}
SHOWN = {"text", "toml", "ini", "json", "jsonl", "makefile", "mermaid"}

_FENCE = re.compile(r"^( *)(`{3,})(\S*)\s*$")
_DIRECTIVE = re.compile(r"^ *<!-- ([a-z]+)(?:: (.*?))? -->\s*$")
_FILE = re.compile(r"# (\w+\.\w+)\n")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is that of its first line, `directives` what the comments just above it say."""

    page: Path
    line: int
    language: str
    text: str
    directives: dict[str, str]

    @property
    def file(self) -> str | None:
        """The file that the block is, by a comment above it or by its own first line: `# app.py`."""
        named = _FILE.match(self.text)
        return self.directives.get("file") or (named[1] if named else None)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def pages() -> list[Path]:
    """Return the pages whose examples are executed."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    directives: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if directive := _DIRECTIVE.match(line):
            directives[directive[1]] = directive[2] or ""
        elif fence := _FENCE.match(line):
            inside = []
            for _, content in lines:
                if content.strip() == fence[2]:
                    break
                inside.append(content.removeprefix(fence[1]) + "\n")
            else:
                raise ValueError(f"{page.name}:{number}: the block is never closed")
            yield Block(page, number + 1, fence[3], "".join(inside), directives)
            directives = {}
        elif line.strip():
            directives = {}


def links(text: str) -> list[str]:
    """Return the targets of the links and pictures that lead to files or headings of ours."""
    prose = re.sub(r"^( *)(`{3,})[^\n]*\n.*?^\1\2\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [target for target in _LINK.findall(prose) if "://" not in target and not target.startswith("mailto:")]


def anchors(text: str) -> set[str]:
    """Return what a link may name behind `#`, by GitHub's rule for headings."""
    found = (re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in _HEADING.findall(text))
    return {heading.replace(" ", "-") for heading in found}


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead nowhere."""
    broken = []
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(text if target == page else target.read_text())):
            broken.append(link)
    return broken
