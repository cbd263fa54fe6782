"""When the last of the events came that are expected, kept as what the source `ARRIVALS` remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

import apsw

from triggers.sources import ARRIVALS, EXPECT


def last_told(connection: apsw.Connection, name: str) -> tuple[float | None, float]:
    """Return when the last event of an expectation came, or somebody began to look, None where nobody has; and the last
    moment whose event was said to be missing, before all others where none was."""
    arrived, told = (connection.execute(_KEPT, (source, name.encode())).get for source in (ARRIVALS, EXPECT))
    return None if arrived is None else float(arrived), -inf if told is None else float(told)


def came(events: Mapping[str, Sequence[int]]) -> Callable[[apsw.Connection], dict[str, float]]:
    """Return the order that takes note of events, by the names of the expectations that they meet.

    It returns when the last one of each came, as far as they are there: a duplicate is no arrival.
    """

    def apply(connection: apsw.Connection) -> dict[str, float]:
        found = {}
        for name, numbers in events.items():
            at = connection.execute(_RECORDED, (f"[{','.join(map(str, numbers))}]",)).get
            if at is not None:
                found[name] = float(at)
                connection.execute(_NOTE, (ARRIVALS, name.encode(), repr(float(at)).encode()))
        return found

    return apply


_RECORDED = """
SELECT recorded FROM event WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number DESC LIMIT 1"""
_KEPT = "SELECT value FROM ledger WHERE source = ? AND key = ?"
_NOTE = "INSERT OR REPLACE INTO ledger (source, key, value, event) VALUES (?, ?, ?, 0)"
