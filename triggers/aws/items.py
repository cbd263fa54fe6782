"""An item of a DynamoDB table: its attributes, as the API writes them, and what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

LARGEST: Final = 300_000
"""Bytes of one text that an item holds, beside what else it has to say: an item has 400 KB."""

Item = Mapping[str, Mapping[str, Any]]
"""An item's attributes by their names: each a type's letter and the value."""


def text_in(item: Item, name: str) -> str:
    """Return the text in an attribute, an empty one where there is none."""
    return str(item.get(name, {"S": ""})["S"])


def number_in(item: Item, name: str) -> float:
    """Return the number in an attribute, 0 where there is none."""
    return float(item.get(name, {"N": "0"})["N"])


@lru_cache(maxsize=16, typed=True)
def as_number(value: float) -> Mapping[str, str]:
    """Return a number as the value of an attribute: to the microsecond, where it is a moment.

    The last ones are kept: runs have most of their numbers in common, as the end of their lease and the first attempt.
    """
    return {"N": f"{value}" if type(value) is int else f"{value:.6f}"}


def rounded(moment: float) -> float:
    """Return a moment as it comes back from the table."""
    return float(f"{moment:.6f}")


def plain(text: str) -> str:
    """Return a text without what is no character: DynamoDB would refuse it."""
    return text.encode("utf-8", "replace").decode()


def cut(text: str, longest: int, *, end: bool = False) -> str:
    """Return as much of a text as has so many bytes: its beginning, or its end."""
    written = text.encode("utf-8", "replace")
    return (written[-longest:] if end else written[:longest]).decode("utf-8", "ignore")


def pieces(text: str) -> list[str]:
    """Return a text in pieces that an item has room for; one at least."""
    written, found = text.encode("utf-8", "replace"), [""]
    while written:
        piece = written[:LARGEST].decode("utf-8", "ignore")  # the bytes of a character that is cut come next
        found.append(piece)
        written = written[len(piece.encode()) :]
    return found[1:] or found


__all__ = ["LARGEST", "Item", "as_number", "cut", "number_in", "pieces", "plain", "rounded", "text_in"]
