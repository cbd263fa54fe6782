"""When the last of the events came that are expected, kept as what the source `ARRIVALS` remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import apsw

from triggers.sources import ARRIVALS


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
_NOTE = "INSERT OR REPLACE INTO ledger (source, key, value, event) VALUES (?, ?, ?, 0)"
