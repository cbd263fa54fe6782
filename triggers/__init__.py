"""Event-driven triggers for ML pipelines: drop a file, and a durable chain of typed steps runs.

Declare event types and handlers on an `App`; `triggers run MODULE` carries them out. Types are the wiring: a handler
takes an event and returns the next one.
"""

from triggers.app import App
from triggers.context import Context
from triggers.errors import Later, Reject, TriggersError
from triggers.events import Event, MessageReceived, ObjectCreated, RunFailed, Tick
from triggers.patterns import (
    above,
    any_of,
    anything_but,
    below,
    between,
    cidr,
    equals_ignore_case,
    exists,
    prefix,
    suffix,
    wildcard,
)
from triggers.retry import Retry
from triggers.schedule import at, cron, every
from triggers.sources.folder import Folder

__all__ = [
    "App",
    "Context",
    "Event",
    "Folder",
    "Later",
    "MessageReceived",
    "ObjectCreated",
    "Reject",
    "Retry",
    "RunFailed",
    "Tick",
    "TriggersError",
    "above",
    "any_of",
    "anything_but",
    "at",
    "below",
    "between",
    "cidr",
    "cron",
    "equals_ignore_case",
    "every",
    "exists",
    "prefix",
    "suffix",
    "wildcard",
]
