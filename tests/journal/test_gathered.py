"""What it costs to find the group of an event, in steps of SQLite's machine: they do not depend on who else is busy."""

from __future__ import annotations

from math import inf

import apsw

from triggers.gather import ALL, Rule
from triggers.journal.gathered import Arrival, gather
from triggers.journal.schema import DONE, prepare

EVENT = """
INSERT INTO event (number, id, source, type, version, time, recorded, data, cause, root, depth, budget)
VALUES (?, ?, 's', ?, 1, 0, 0, '{}', ?, 1, 0, 9)"""
RUN = f"INSERT INTO run (number, event, route, priority, state, attempt, epoch) VALUES (?, ?, 'r', 0, {DONE}, 1, 1)"


def fan(parts: int) -> apsw.Connection:
    """Return a journal in which a run emitted so many parts, each of which led to a score."""
    connection = apsw.Connection("")
    prepare(connection)
    rows = [(1, "Job", None)]
    rows += [(2 + n, "Part", 1) for n in range(parts)]
    rows += [(2 + parts + n, "Score", 2 + n) for n in range(parts)]
    connection.executemany(EVENT, [(number, str(number), kind, cause) for number, kind, cause in rows])
    connection.executemany(RUN, [(number, number) for number, kind, _ in rows if kind != "Score"])
    return connection


def steps_of_the_last_but_one(parts: int) -> int:
    connection = fan(parts)
    rules = {"collect": Rule(ALL, within=inf, of="Part")}
    arrivals = [Arrival("collect", None, "Score", 2 + parts + n, 0.0) for n in range(parts - 1)]
    gather(rules, arrivals[:-1], 0.0)(connection)
    steps = 0

    def step() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection.set_progress_handler(step, 1)
    assert gather(rules, arrivals[-1:], 0.0)(connection).ended == []
    return steps


def test_what_a_part_led_to_costs_the_same_however_many_parts_there_are() -> None:
    assert steps_of_the_last_but_one(500) < 1.5 * steps_of_the_last_but_one(10)
