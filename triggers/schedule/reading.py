"""From the canonical text of a schedule back to the schedule, for those who have the journal and not the code."""

from __future__ import annotations

import re

from triggers.errors import ScheduleError
from triggers.schedule.calendars import WEEKDAYS
from triggers.schedule.crontab import Cron
from triggers.schedule.instants import At, Every, Schedule
from triggers.schedule.timetable import TimetableOptions, instant, timetable
from triggers.spans import seconds

_DAY = rf"(?:{'|'.join(WEEKDAYS)}|\d+-\d+-\d+)"
_TEXT = re.compile(
    r"(?P<kind>cron|every|at)\((?P<inside>[^()]*)\)"
    r"(?: from (?P<start>\S+))?(?: until (?P<end>\S+))?"
    rf"(?: except (?P<exclude>{_DAY}(?:,{_DAY})*)(?: in (?P<timezone>\S+))?)?"
)


def read(text: str) -> Schedule:
    """Return the schedule that `str()` gave this text, without its jitter and what it does about missed instants.

    Raises `ScheduleError` where the text does not say all: a schedule of one's own, or a calendar that is a function.
    """
    found = _TEXT.fullmatch(text)
    if not found:
        raise ScheduleError(f"of {text!r} only the app itself has the calendar, or the schedule")
    schedule, timezone = _core(found["kind"], found["inside"])
    options: TimetableOptions = {}
    if found["start"]:
        options["start"] = found["start"]
    if found["end"]:
        options["end"] = found["end"]
    if found["exclude"]:
        options["exclude"] = found["exclude"].split(",")
    return timetable(schedule, timezone=found["timezone"] or timezone, **options)


def _core(kind: str, inside: str) -> tuple[Schedule, str]:
    """Return the schedule that a text begins with, and its time zone."""
    if kind == "cron":
        text, _, timezone = inside.rpartition(", ")
        return Cron(text, timezone), timezone
    if kind == "at":
        return At(instant("at", inside, "UTC")), "UTC"
    return Every(int(seconds("every", "interval", inside))), "UTC"
