"""Event-driven triggers for ML pipelines: drop a file, and a durable chain of typed steps runs.

Declare event types and handlers on an `App`; `triggers run MODULE` carries them out. Types are the wiring: a handler
takes an event and returns the next one.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from triggers.app import App
    from triggers.context import Context
    from triggers.downstream import Adaptive, Breaker, Downstream
    from triggers.errors import BatchFailure, Conflict, Later, Reject, TriggersError
    from triggers.events import Event, MessageReceived, Missing, ObjectCreated, ObjectDeleted, RunFailed, Tick
    from triggers.gather import All, Batch, Debounce, Join
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
    from triggers.places import Place
    from triggers.prices import Prices
    from triggers.rate import Rate
    from triggers.retry import Retry
    from triggers.schedule import Window, at, cron, every
    from triggers.scheduling.pressure import Pressure
    from triggers.sources.bucket import Bucket
    from triggers.sources.folder import Folder
    from triggers.sources.queue import Queue

_HOMES = {
    "triggers.app": ["App"],
    "triggers.context": ["Context"],
    "triggers.downstream": ["Adaptive", "Breaker", "Downstream"],
    "triggers.errors": ["BatchFailure", "Conflict", "Later", "Reject", "TriggersError"],
    "triggers.events": ["Event", "MessageReceived", "Missing", "ObjectCreated", "ObjectDeleted", "RunFailed", "Tick"],
    "triggers.gather": ["All", "Batch", "Debounce", "Join"],
    "triggers.patterns": [
        "above", "any_of", "anything_but", "below", "between", "cidr", "equals_ignore_case", "exists", "prefix",
        "suffix", "wildcard",
    ],
    "triggers.places": ["Place"],
    "triggers.scheduling.pressure": ["Pressure"],
    "triggers.prices": ["Prices"],
    "triggers.rate": ["Rate"],
    "triggers.retry": ["Retry"],
    "triggers.schedule": ["Window", "at", "cron", "every"],
    "triggers.sources.bucket": ["Bucket"],
    "triggers.sources.folder": ["Folder"],
    "triggers.sources.queue": ["Queue"],
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: the command line and pytest import us long before pydantic."""
    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'triggers' has no attribute {name!r}")


__all__ = [
    "Adaptive",
    "All",
    "App",
    "Batch",
    "BatchFailure",
    "Breaker",
    "Bucket",
    "Conflict",
    "Context",
    "Debounce",
    "Downstream",
    "Event",
    "Folder",
    "Join",
    "Later",
    "MessageReceived",
    "Missing",
    "ObjectCreated",
    "ObjectDeleted",
    "Place",
    "Pressure",
    "Prices",
    "Queue",
    "Rate",
    "Reject",
    "Retry",
    "RunFailed",
    "Tick",
    "TriggersError",
    "Window",
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
