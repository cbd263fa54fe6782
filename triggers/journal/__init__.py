"""The journal: every event, run, attempt and decision is a row, written before it is acknowledged."""

from triggers.journal.change import AttemptRow, Change, CheckpointRow, Promoted, Result, RunRow, SettleRow, UsageRow
from triggers.journal.journal import Journal, transient
from triggers.journal.orders import Shut, declare, drop, failing, insert, prune, redrive, remember, shut
from triggers.journal.reading import (
    Ended,
    Stranded,
    WaitingRow,
    ended_since,
    event_row,
    event_rows,
    memories,
    memories_below,
    next_due,
    stranded,
    waiting,
)
from triggers.journal.schema import DEAD, DELAYED, DONE, DROPPED, RUNNING, STATES, WAITING

__all__ = [
    "DEAD",
    "DELAYED",
    "DONE",
    "DROPPED",
    "RUNNING",
    "STATES",
    "WAITING",
    "AttemptRow",
    "Change",
    "CheckpointRow",
    "Ended",
    "Journal",
    "Promoted",
    "Result",
    "RunRow",
    "SettleRow",
    "Shut",
    "Stranded",
    "UsageRow",
    "WaitingRow",
    "declare",
    "drop",
    "ended_since",
    "event_row",
    "event_rows",
    "failing",
    "insert",
    "memories",
    "memories_below",
    "next_due",
    "prune",
    "redrive",
    "remember",
    "shut",
    "stranded",
    "transient",
    "waiting",
]
