"""What `triggers run` logs to stderr: the start and the end of every run, and what handlers and sources log."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from triggers.commands.output import in_json, paint, plain, span
from triggers.executor import GIVEN_BACK, REPLACED, Again, Dead, Done, Outcome, Run

log = logging.getLogger("triggers.run")

_COLOURS: Final = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}
_KNOWN: Final = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class PlainFormat(logging.Formatter):
    """`08:00:00 train r7  what was said`; the level where it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, and its traceback."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        name = record.name
        if run := getattr(record, "run", None):
            who = f"{getattr(record, 'route', name)} {run}  "
        else:
            who = "" if name.startswith("triggers") else f"{name}  "
        line = paint(f"{level}{who}{plain(record.getMessage())}", _COLOURS.get(record.levelno), err=True)
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n".join([f"{paint(when, 'bright_black', err=True)} {line}", *map(plain, trace)])


class JsonFormat(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and whatever the record carries in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update((key, value) for key, value in vars(record).items() if key not in _KNOWN)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return in_json(fields, default=str)


def set_up(level: int, *, as_json: bool) -> logging.Handler:
    """Have everything that is logged written to stderr, and return the handler that does it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormat() if as_json else PlainFormat())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.INFO))
    logging.getLogger("triggers").setLevel(level)
    for talkative in ("botocore", "aiobotocore", "boto3"):  # they tell with every client where they found what
        logging.getLogger(talkative).setLevel(logging.WARNING)
    return handler


def log_run(run: Run, outcome: Outcome | None) -> None:
    """Log that a run starts (`outcome` is None) or what came of its attempt. A listener of the dispatcher."""
    if isinstance(outcome, Done | None) and not log.isEnabledFor(logging.INFO):
        return  # what goes well is not worth the words where nobody reads them
    name, attempts = f"r{run.number}", run.route.policy.retry.attempts
    fields: dict[str, object] = {
        "run": name, "route": run.route.name, "event": f"e{run.event.number}", "attempt": run.attempt
    }  # fmt: skip
    if outcome is None:
        again = f", attempt {run.attempt} of {attempts}" if run.attempt > 1 else ""
        fields["outcome"] = "started"
        log.info("started  %s%s", subject_of(run), again, extra=fields)
        return
    took = max(0.0, datetime.now(UTC).timestamp() - run.started)
    fields["seconds"] = round(took, 4)
    match outcome:
        case Done(emitted):
            fields["outcome"] = "done"
            said = f" -> {', '.join(event.type for event in emitted)}" if emitted else ""
            log.info("done in %s%s", span(took), said, extra=fields)
        case Again() if outcome == GIVEN_BACK:
            fields["outcome"] = outcome.word
            log.info("%s; the next start runs it", outcome.word, extra=fields)
        case Again() if outcome == REPLACED:
            fields["outcome"] = outcome.word
            log.info("replaced by the next run of its route, and dropped (overlap='replace')", extra=fields)
        case Again(delay, word, counted, failure):
            fields |= {"outcome": word, "again_in": round(delay, 3)}
            tries = f" (attempt {run.attempt} of {attempts})" if counted else ""
            why = f": {failure}" if failure else ""
            log.warning("%s%s, again in %s%s", word, tries, span(delay), why, extra=fields)
        case Dead(failure):
            fields["outcome"] = "dead"
            log.error("dead after attempt %d of %d: %s", run.attempt, attempts, failure, extra=fields)


def subject_of(run: Run) -> str:
    """Return what a run is about: the event, its type, and its subject or first value."""
    event = run.event
    about = f" {plain(event.subject, 60)}" if event.subject else ""
    return f"e{event.number} {event.type}{about}"
