"""What an app's things are called in AWS: one rule, for the template that makes them and for whoever looks for them.

Every name holds the app's. Letters, digits, `-` and `_` are what all services take; a name that holds anything
else, or is too long for the service, is cut and ends in a digest of the whole, so that two names never become one.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who only needs a name need not load what a route is
    from triggers.routing import Route

LONGEST = 64
"""Characters that a name may have: functions, roles and rules have 64, queues 80."""

DEAD = "-dead"
FIFO = ".fifo"
GROUP = "all"
"""The one message group of an ordered queue: what is in two groups runs side by side."""
JOB_QUEUE = "triggers:job-queue"
"""The tag by which the queue of a route that is a Batch job says what its jobs are submitted to, by its ARN."""

APP = "TRIGGERS_APP"
"""The environment variable that says to a function which app it runs, as `module:app`."""
ROUTES = "TRIGGERS_ROUTES"
"""The one that says which routes of the app a function has, comma-separated; all if it is not set."""
SCHEDULE_ROLE = "TRIGGERS_SCHEDULE_ROLE"
"""The one with the ARN of the role by which one-time schedules send to the routes' queues."""


def queue(app: str, route: str, *, fifo: bool = False) -> str:
    """Return the name of the queue that feeds a route."""
    return _name(f"{app}-{route}", LONGEST - len(DEAD + FIFO)) + (FIFO if fifo else "")


def queue_of(app: str, route: Route) -> str:
    """Return the name of a route's queue: that of an ordered one where its runs follow one another."""
    return queue(app, route.name, fifo=route.serial)


def group_of(route: Route) -> str | None:
    """Return the message group of what is sent to a route's queue, None where that is not ordered."""
    return GROUP if route.serial else None


def dead_letters(queue: str) -> str:
    """Return the name of a queue's own dead-letter queue, the net below the run records."""
    bare = queue.removesuffix(FIFO)
    return bare + DEAD + queue[len(bare) :]


def source_queue(app: str, source: str) -> str:
    """Return the name of the queue by which a dispatcher hears of a bucket's objects."""
    return queue(app, f"source-{source}")


def undelivered(app: str) -> str:
    """Return the name of the queue of what could not be put into a route's own."""
    return dead_letters(queue(app, "undelivered"))


def function(app: str, group: str) -> str:
    """Return the name of the function that runs a group of routes."""
    return _name(f"{app}-{group}", LONGEST)


def rule(app: str, route: str) -> str:
    """Return the name of the rule, or of the schedule, that sends a route its events."""
    return _name(f"{app}-{route}", LONGEST)


def schedules(app: str) -> str:
    """Return the name of the group of the app's schedules."""
    return _name(app, LONGEST)


def bus(app: str) -> str:
    """Return the name of the event bus that carries what the app's handlers emit."""
    return _name(app, LONGEST)


def table(app: str) -> str:
    """Return the name of the table of run records."""
    return _name(f"{app}-runs", LONGEST)


def stack(app: str) -> str:
    """Return the name of the CloudFormation stack, which must begin with a letter and takes no `_`."""
    return _name(f"triggers-{app}", LONGEST, unfit=r"[^A-Za-z0-9-]+")


def event_source(app: str) -> str:
    """Return the `source` of the app's entries on its bus. EventBridge keeps `aws.` to itself."""
    return f"triggers.{app}"


def _name(wanted: str, longest: int, unfit: str = r"[^A-Za-z0-9_-]+") -> str:
    """Return the name itself where the service takes it, else what is left of it with a digest."""
    plain = re.sub(unfit, "-", wanted)
    if plain == wanted and len(plain) <= longest:
        return plain
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return f"{plain[: longest - len(digest) - 1]}-{digest}"
