"""What `triggers doctor` finds, of this machine, a state folder, an app or AWS."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How it is with what was looked at. A warning is something to know, a problem something to mend."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """What was looked at, how it is, and what was seen."""

    what: str
    verdict: Verdict
    seen: str


__all__ = ["Finding", "Verdict"]
