"""JSON values as patterns see them: numbers that know their text, IP addresses, text in and text out.

Amazon EventBridge compares numbers by value where a double holds them exactly as written, and by their text where it
does not. Python's `json` and pydantic's parser both lose that text, so `parse` keeps it in a `Spelling`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias

from triggers.errors import EventError

Leaf: TypeAlias = str | int | float | bool | None

EXACT_TYPES = frozenset({str, int, float, bool, type(None)})
"""The types that a JSON scalar has when it is nobody's subclass: one look-up tells them from everything else."""

_SAFE = 2**53  # up to here every integer is a double, and Python's own comparison is EventBridge's
_PLAIN_DIGITS = 15  # a decimal of so many digits survives the way to a double and back
_LONGEST_INTEGER = 4_000  # Python refuses to read integers of 4,300 digits
_LONGEST_ADDRESS = len("2001:0db8:0000:0000:0000:0000:0000:0001")
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:]*")


class Spelling(float):
    """A number that no double holds as it is written: it equals only a number with the same text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Spelling:
        """Return the nearest double, with the text."""
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spelling) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


class Repeated(tuple[object, ...]):
    """The values of a key that stands more than once in an object of a JSON text; each of them counts."""

    __slots__ = ()


def number(value: object) -> float | None:
    """Return what a number is compared by, or None when the value is no number.

    The answer is a plain int or float that Python compares as EventBridge does, or a `Spelling`.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if -_SAFE <= value <= _SAFE:
            return value
        return _by_text(str(value) if value.bit_length() < _LONGEST_INTEGER else format(Decimal(value), "f"))
    if not isinstance(value, float) or isinstance(value, Spelling):
        return value if isinstance(value, float) else None
    return value if value - value == 0 else Spelling(repr(value))


def as_key(value: object) -> object:
    """Return a stand-in for a scalar, by which equal values find one another in a dictionary.

    Strings stand for themselves. Python holds `True` equal to 1, EventBridge does not, so words are marked.
    """
    if isinstance(value, str):
        return value
    return ("word", value) if value is None or isinstance(value, bool) else number(value)


def fold(text: str) -> str:
    """Return the same text for all texts that are equal when the case of each character is ignored, and some more."""
    if text.isascii():
        return text.lower()
    return "".join(character.lower() for character in text).upper().casefold()


def scalar(value: object) -> Leaf:
    """Return a JSON scalar as a plain one, an enumeration's member as its value; raises `TypeError` for others."""
    if type(value) in EXACT_TYPES or isinstance(value, Spelling):
        return value  # type: ignore[return-value]  # the line above says which types it can be
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{show(value)} is no JSON value")


def comparable(value: object) -> bool:
    """Return whether the value is a number that is compared by value: what `numeric` and `anything-but` take."""
    found = number(value)
    return found is not None and not isinstance(found, Spelling)


def parse_event(event: str | bytes | bytearray) -> Mapping[str, object]:
    """Return the object that a JSON text holds, with number text and repeated keys kept.

    Text after the closing brace is ignored, as EventBridge does. Raises `EventError` when it is no JSON object.
    """
    try:
        text = event if isinstance(event, str) else event.decode("utf-8-sig")
        start = len(text) - len(text.lstrip(" \t\r\n"))
        found, _ = _EVENT_DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise EventError(f"the event is not JSON: {error or 'nested too deep'}") from error
    if not isinstance(found, dict):
        raise EventError(f"the event must be a JSON object, not {show(found)}")
    return found


def decoder(pairs: Callable[[list[tuple[str, object]]], object]) -> json.JSONDecoder:
    """Return a JSON decoder that keeps number text, gives each object's pairs to `pairs` and refuses `NaN`."""
    return json.JSONDecoder(
        parse_int=_integer, parse_float=_decimal, parse_constant=_not_finite, object_pairs_hook=pairs
    )


def write(value: object) -> str:
    """Return the JSON text of a value, each number spelt as it was given. Raises `ValueError` for what is not JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)}: {write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, Spelling):
        return value.text
    return json.dumps(value, allow_nan=False)


def show(value: object) -> str:
    """Return a value for a message: its `repr`, cut at 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def address(value: object) -> tuple[int, int] | None:
    """Return (version, number) of a string that is an IP address in any spelling, or None.

    As in EventBridge, leading zeros of an IPv4 part mean nothing, IPv6 with dots in it is no address, and
    `::ffff:a00:1` is 10.0.0.1.
    """
    return _address(value) if isinstance(value, str) and len(value) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=1024)
def _address(value: str) -> tuple[int, int] | None:
    if _IPV4.fullmatch(value):
        parts = [int(part) for part in value.split(".")] if len(value) <= len("255.255.255.255") else [256]
        return (4, int.from_bytes(bytes(parts))) if max(parts) < 256 else None
    if not _IPV6.fullmatch(value):
        return None
    from ipaddress import IPv6Address  # only ever needed by patterns about addresses

    try:
        found = IPv6Address(value)
    except ValueError:
        return None
    return (6, int(found)) if found.ipv4_mapped is None else (4, int(found.ipv4_mapped))


def _by_text(text: str) -> float:
    """Return the double that a decimal text spells exactly, or the `Spelling` when there is none."""
    found = float(text)
    if found - found != 0:
        return Spelling(text)
    brief = f"{found:.1e}"  # the shortest text has two digits at least, as Java writes it: 4.9e-324, never 5e-324
    shortest = brief if float(brief) == found else repr(found)
    return found if _same(text, shortest) else Spelling(text)


def _same(text: str, shortest: str) -> bool:
    try:
        return Decimal(text) == Decimal(shortest)
    except ArithmeticError:  # an exponent beyond all bounds
        return False


def _integer(text: str) -> float:
    return int(text) if len(text) <= _LONGEST_INTEGER else Spelling(text)


def _decimal(text: str) -> float:
    if len(text) <= _PLAIN_DIGITS and "e" not in text and "E" not in text:
        return float(text)
    return _by_text(text)


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _event_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key in found:
            values = [value for name, value in pairs if name == key]
            found[key] = values[0] if len(values) == 1 else Repeated(values)
    return found


_EVENT_DECODER = decoder(_event_object)
