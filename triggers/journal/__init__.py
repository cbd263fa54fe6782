"""The journal: every event, run, attempt and decision is a row, written before it is acknowledged."""

from triggers.journal.change import AttemptRow, Change, Claimed, EventRow, Promoted, Result, RunRow, SettleRow
from triggers.journal.journal import Journal, transient
from triggers.journal.reading import WaitingRow, declare, event_row, memories, next_due, remember, waiting
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
    "Claimed",
    "EventRow",
    "Journal",
    "Promoted",
    "Result",
    "RunRow",
    "SettleRow",
    "WaitingRow",
    "declare",
    "event_row",
    "memories",
    "next_due",
    "remember",
    "transient",
    "waiting",
]
