"""What a function logs: one JSON object a line, each with the run that it is about.

The fields are those of `triggers run --log-format json`, with the lineage of the event: its `root`, its `depth` below
that and its `cause`, the run that emitted it; and `request`, the id of the invocation. What a handler logs by any
logger while it runs has them, too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from triggers.attempt import Run

log = logging.getLogger("triggers.run")

LEVEL: Final = "AWS_LAMBDA_LOG_LEVEL"
"""The environment variable by which Lambda says from which level on is logged; INFO where it says nothing."""

_KNOWN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "aws_request_id", "tenant_id"}
"""What every record has; the last two are put there by Lambda's runtime client."""

_ALIKE: Final = {**vars(logging.makeLogRecord({"name": log.name, "levelno": logging.INFO, "levelname": "INFO"}))}
"""What all records of ends have alike: each has it itself, as formatters look for it there."""


class Ending(logging.LogRecord):
    """What became of an attempt, as a record. It is logged for every run, so it is made without asking where in the
    code it was said, and by which thread, which would take most of the time.
    """

    def __init__(self, message: str, fields: dict[str, Any]) -> None:
        self.__dict__.update(_ALIKE, msg=message, created=time.time())
        self.fields = fields


class JsonLines(logging.Formatter):
    """Makes lines of JSON. `about` are the fields that every line has for the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[str, Any] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, with its end: Lambda's own handler adds none."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.about,
            **_own(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        try:
            return to_json(fields, fallback=str, inf_nan_mode="constants").decode("utf-8", "replace") + "\n"
        except ValueError:  # half of a character, which is none
            return json.dumps(fields, default=str) + "\n"


def _own(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that a record has beside those of every record."""
    if isinstance(record, Ending):
        return record.fields
    return {key: value for key, value in vars(record).items() if key not in _KNOWN}


def set_up() -> JsonLines:
    """Have all that is logged written as lines of JSON, where Lambda's runtime client writes it or else to stdout."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # what no line says costs nothing
    root, lines = logging.getLogger(), JsonLines()
    if not root.handlers:
        stream = logging.StreamHandler(sys.stdout)
        stream.terminator = ""
        root.addHandler(stream)
    for handler in root.handlers:
        handler.setFormatter(lines)
    root.setLevel(os.environ.get(LEVEL) or logging.INFO)
    logging.getLogger("botocore").setLevel(max(root.level, logging.WARNING))  # it tells where it found credentials
    return lines


def ended(message: str, **fields: Any) -> None:
    """Log what became of an attempt."""
    if log.isEnabledFor(logging.INFO):
        log.handle(Ending(message, fields))


def about(run: Run, request: str) -> dict[str, Any]:
    """Return the fields of what is logged while a run is at work."""
    event = run.event
    fields = {
        "run": f"r{run.number}",
        "route": run.route.name,
        "event": f"e{event.number}",
        "root": f"e{event.root}",
        "depth": event.depth,
        "attempt": run.attempt,
        "request": request,
    }
    if event.cause is not None:
        fields["cause"] = f"r{event.cause}"
    return fields


__all__ = ["JsonLines", "about", "set_up"]
