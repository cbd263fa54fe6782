"""What a function logs: one JSON object a line, each with the run that it is about.

The fields are those of `triggers run --log-json`, and `request`, the id of the invocation. What a handler logs by any
logger while it runs has them, too.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import to_json

from triggers.attempt import Run

LEVEL: Final = "AWS_LAMBDA_LOG_LEVEL"
"""The environment variable by which Lambda says from which level on is logged; INFO where it says nothing."""

_KNOWN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "aws_request_id", "tenant_id"}
"""What every record has; the last two are put there by Lambda's runtime client."""


class JsonLines(logging.Formatter):
    """Makes lines of JSON. `about` are the fields that every line has for the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.about: dict[str, Any] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, with its end: Lambda's own handler adds none."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.about,
        }
        fields.update((key, value) for key, value in vars(record).items() if key not in _KNOWN)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return to_json(fields, fallback=str, inf_nan_mode="constants").decode("utf-8", "replace") + "\n"


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
    return lines


def about(run: Run, request: str) -> dict[str, Any]:
    """Return the fields of what is logged while a run is at work."""
    return {
        "run": f"r{run.number}",
        "route": run.route.name,
        "event": f"e{run.event.number}",
        "root": f"e{run.event.root}",
        "attempt": run.attempt,
        "request": request,
    }


__all__ = ["JsonLines", "about", "set_up"]
