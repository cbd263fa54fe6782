"""What a route needs, as a size of a Lambda function, or of a Batch job where no function is large enough.

Lambda's limits are those of its developer guide, "Lambda quotas" and "Configure Lambda function memory": a function has
one virtual CPU for each 1,769 MB of memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from triggers.aws.template.problems import Problems
from triggers.downstream import of_downstream
from triggers.gather import ALL, BATCH, DEBOUNCE, JOIN
from triggers.options import NEWEST, REPLACE, SKIP, shown
from triggers.routing import Route

LONGEST: Final = 900
"""Seconds that an invocation may take."""
SMALLEST: Final = 128
LARGEST: Final = 10_240
"""MB of memory that a function may have, and MB of storage."""
PER_CPU: Final = 1_769
USUAL: Final = 512
"""MB of memory for a route that does not say what it needs, and MB of storage, which is Lambda's own least."""
MARGIN: Final = 5
"""Seconds that a function has beyond the `timeout=` of its handler, to start and to settle."""
MOST_AT_ONCE: Final = 1_000
"""The largest `MaximumConcurrency` of an event source mapping; the smallest is 2."""
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Size:
    """A Lambda function's: MB of memory, seconds, MB of ephemeral storage, and how many messages it takes at once."""

    memory: int
    timeout: int
    storage: int
    batch: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A Batch job's: virtual CPUs, MB of memory and GPUs. `why` no function will do.

    It has no time: the job itself ends its handler at the `timeout=`.
    """

    cpus: int
    memory: int
    gpus: int
    why: str


def fit(route: Route, chosen: bool, problems: Problems) -> Size | Machine:
    """Return what a route needs. `chosen` says that it is to be a job. What AWS cannot honour is a problem."""
    needs = dict(route.policy.needs)
    needs.pop(of_downstream(route.policy.downstream or ""), None)
    cpu, memory, storage, gpus = (needs.pop(name, 0.0) for name in ("cpu", "memory", "storage", "gpu"))
    for name in sorted(needs):
        problems.add(
            f"route {route.name!r} needs {name!r}, which is shared among the runs of one machine and which AWS does not"
            " know; bound the route with concurrency= instead, or run it with a dispatcher"
        )
    _check_overlap(route, problems)
    _check_keys(route, problems)
    _check_rates(route, problems)
    _check_downstream(route, problems)
    _check_times(route, problems)
    _check_together(route, problems)
    _tell_priority(route, problems)
    megabytes = max(math.ceil(memory / MIB), math.ceil(cpu * PER_CPU))
    disk = math.ceil(storage / MIB)
    why = _too_large(route, cpu, megabytes, disk, gpus) or ("it was chosen to be one" if chosen else "")
    if why:
        machine = _machine(route, why, cpu, memory, gpus, problems)
        _tell_storage(route, disk, problems)
        return machine
    _check_concurrency(route, problems)
    plain = route.policy.timeout is not None and not route.coroutine
    return Size(
        memory=max(megabytes, SMALLEST) if megabytes else USUAL,
        timeout=min(math.ceil(route.policy.timeout or 0) + MARGIN, LONGEST) if plain else LONGEST,
        storage=max(disk, USUAL),
        batch=1 if plain else 10,
    )


def _too_large(route: Route, cpu: float, memory: int, storage: int, gpus: float) -> str:
    """Return why a route does not fit into a function; nothing where it does.

    `memory` is at least what a function needs to have so many `cpu`.
    """
    if gpus:
        return "Lambda has no GPU"
    if memory > LARGEST:
        needed = f"{cpu:g} cpu, which come with {memory:,}" if memory == math.ceil(cpu * PER_CPU) else f"{memory:,}"
        return f"it needs {needed} MB of memory, Lambda has {LARGEST:,} at most"
    if storage > LARGEST:
        return f"it needs {storage:,} MB of storage, Lambda has {LARGEST:,} at most"
    if (route.policy.timeout or 0) > LONGEST:
        return f"it may take {route.policy.timeout:g} s, Lambda has {LONGEST} at most"
    return ""


def _machine(route: Route, why: str, cpu: float, memory: float, gpus: float, problems: Problems) -> Machine:
    if (route.policy.concurrency or 1) > 1:
        problems.add(
            f"route {route.name!r} is a Batch job ({why}), and Batch cannot bound its"
            f" concurrency={route.policy.concurrency}; leave it out and let the job queue's machines be the bound, or"
            " say concurrency=1"
        )
    if gpus != int(gpus):
        problems.add(f"route {route.name!r} needs {gpus:g} gpu; a Batch job takes whole ones")
    problems.note(f"route {route.name!r} is a Batch job: {why}")
    return Machine(
        cpus=max(1, math.ceil(cpu)),
        memory=math.ceil(memory / MIB) or 4 * USUAL,
        gpus=math.ceil(gpus),
        why=why,
    )


def _tell_storage(route: Route, storage: int, problems: Problems) -> None:
    """Say who must have a job's storage. `EphemeralStorage` of a definition is for Fargate, and these are for EC2."""
    if storage:
        problems.note(
            f"route {route.name!r} needs {storage:,} MB of storage, which Batch gives no job on machines of EC2: give"
            " those of the job queue's compute environment a disk with so much for each job at once, by a launch"
            " template"
        )


_OVERLAPS: Mapping[str, str] = {
    SKIP: "drop a run because another one is open",
    REPLACE: "end a run because another one has come",
    NEWEST: "drop what waits because another one has come",
}


def _check_overlap(route: Route, problems: Problems) -> None:
    if cannot := _OVERLAPS.get(route.policy.overlap):
        problems.add(
            f"route {route.name!r}: overlap={route.policy.overlap!r} cannot be honoured: a queue cannot {cannot};"
            " say overlap='queue', or run the route with a dispatcher"
        )


def _check_keys(route: Route, problems: Problems) -> None:
    if route.policy.per_key is not None:
        problems.add(
            f"route {route.name!r}: per_key={route.policy.per_key} cannot be honoured: a rule cannot tell a queue the"
            " key of an event; bound the whole route with concurrency=, or run it with a dispatcher"
        )
    if route.policy.in_order is not None:
        problems.add(
            f"route {route.name!r}: in_order={shown(route.policy.in_order)!r} cannot be honoured: a queue hands out"
            " what came first, and does not wait for what is before it; say overlap='queue' where events come in order,"
            " or run the route with a dispatcher"
        )
    if route.policy.share:
        problems.add(
            f"route {route.name!r}: share={route.policy.share!r} cannot be honoured: queues know nothing of each other;"
            " give the routes of a tenant a queue and a concurrency= of their own, or run them with a dispatcher"
        )


def _check_downstream(route: Route, problems: Problems) -> None:
    if route.policy.downstream is not None:
        problems.add(
            f"route {route.name!r}: downstream={route.policy.downstream!r} cannot be honoured: queues know nothing of"
            " each other, and none stops while what its function calls is down; bound each route with concurrency=, and"
            " spread its attempts with retry=, or run it with a dispatcher"
        )


def _check_rates(route: Route, problems: Problems) -> None:
    """Refuse what counts runs over time, which a queue does not."""
    rates = {"throttle": route.policy.throttle, "rate_limit": route.policy.rate_limit}
    for name, rate in rates.items():
        if rate is not None:
            problems.add(
                f"route {route.name!r}: {name}={rate} cannot be honoured: a queue does not count how often it is read;"
                " bound how many run at once with concurrency=, or run the route with a dispatcher"
            )


_TIMES: Mapping[str, str] = {
    "window": "hold a message back until a time of the day",
    "price": "hold a message back until it is cheap",
    "not_before": "delay one message by more than 15 minutes",
    "expires": "say which messages it has dropped",
}


def _check_times(route: Route, problems: Problems) -> None:
    for name, cannot in _TIMES.items():
        if (value := getattr(route.policy, name)) is not None:
            problems.add(
                f"route {route.name!r}: {name}={str(value)!r} cannot be honoured: a queue cannot {cannot}; let a"
                " schedule start the work, as in @app.on(cron(...)), or run the route with a dispatcher"
            )
    if route.policy.deadline is not None:
        problems.note(
            f"route {route.name!r}: deadline={str(route.policy.deadline)!r}: routes have queues of their own and do not"
            " wait for one another, so nothing goes before another, and nobody says what is late"
        )


def _check_together(route: Route, problems: Problems) -> None:
    """Refuse what makes one run of several events: it is decided in one place, and a queue's readers are many."""
    if route.rule is not None:
        word = {BATCH: "batch=", ALL: "batch=All", DEBOUNCE: "debounce=", JOIN: "Join"}[route.rule.kind]
        problems.add(
            f"route {route.name!r}: {word} cannot be honoured: which events come together is decided from the times at"
            " which one journal recorded them, and queues deliver in any order, to many readers, and again; run the"
            " route with a dispatcher"
        )


def _tell_priority(route: Route, problems: Problems) -> None:
    if priority := shown(route.policy.priority):
        problems.note(
            f"route {route.name!r}: priority={priority}: routes have queues of their own and do not wait for one"
            " another, so none goes before another"
        )


def _check_concurrency(route: Route, problems: Problems) -> None:
    if adaptive := route.policy.adaptive:
        problems.note(
            f"route {route.name!r}: concurrency={adaptive}: nobody finds out how many go well;"
            f" {adaptive.most} run at once"
        )
    wanted = route.policy.concurrency or 1
    if wanted > MOST_AT_ONCE:
        problems.add(
            f"route {route.name!r}: concurrency={wanted} is more than a queue's {MOST_AT_ONCE:,}; say so many or less,"
            " or leave it out for the account's own bound"
        )
