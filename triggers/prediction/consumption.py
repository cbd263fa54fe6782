"""What runs used against what their route declares, and a declaration that fits what they used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from triggers.journal.usages import Used
from triggers.limits import ROOMY
from triggers.quantities import in_bytes, rounded_up

ROOM = 1.2
"""What is proposed is so many times what 95 of 100 runs stayed below."""

SHORT = 1.5
"""A run that died of memory is taken to need so many times what it had."""

FEW = 5
"""Below so many runs nothing is proposed."""

SOME = 20
"""Below so many the most that was seen is what 95 of 100 stay below, for all that is known."""

AMPLE = 2.0
"""A declaration is kept that is enough, and no more than so many times what would be proposed."""


class Spread(NamedTuple):
    """How something was spread over runs."""

    p50: float
    p95: float
    most: float


class Usage(NamedTuple):
    """What the runs of a route with inputs of one size used. The sizes are in bytes, `below` is exclusive."""

    from_size: int
    below: int
    runs: int
    memory: Spread
    cpu: Spread
    seconds: Spread
    cores: Spread
    """Processors in use on average: seconds of CPU for each second."""


class Proposal(NamedTuple):
    """What a route should declare, and why; an empty one where what it declares will do, or too little is known."""

    needs: Mapping[str, str | float]
    why: str


def spread(values: Iterable[float]) -> Spread:
    """Return how values are spread; there must be some. Each figure is one of the values."""
    ordered = sorted(values)
    p50, p95 = (ordered[math.ceil(part * len(ordered)) - 1] for part in (0.5, 0.95))
    return Spread(p50, p95, ordered[-1])


def usages(runs: Sequence[Used]) -> Iterator[Usage]:
    """Yield what runs used by the size of their inputs, each ten times that of the one before."""
    sizes: dict[int, list[Used]] = {}
    for run in runs:
        sizes.setdefault(_decade(run.size), []).append(run)
    for size, some in sorted(sizes.items()):
        yield usage(some, size, 10 * size if size else 1000)


def usage(runs: Sequence[Used], from_size: int = 0, below: int = 0) -> Usage:
    """Return what some runs used."""
    return Usage(
        from_size,
        below,
        len(runs),
        memory=spread(run.memory for run in runs),
        cpu=spread(run.cpu for run in runs),
        seconds=spread(run.seconds for run in runs),
        cores=spread(_cores(run) for run in runs),
    )


def propose(runs: Sequence[Used], declared: Mapping[str, float]) -> Proposal:
    """Return what a route should declare whose runs used so much."""
    if len(runs) < FEW:
        return Proposal({}, f"measured in {len(runs)} of its runs only, too few to propose anything")
    needs: dict[str, str | float] = {}
    memory = rounded_up(ROOM * spread(run.memory * (SHORT if run.short else 1) for run in runs).p95)
    memory = max(memory, ROOMY)
    if not _fits(declared.get("memory"), memory):
        needs["memory"] = in_bytes(memory)
    cores = max(0.1, math.ceil(10 * spread(map(_cores, runs)).p95 - 1e-9) / 10)
    if ("cpu" in declared or cores > 1.1) and not _fits(declared.get("cpu"), cores):
        needs["cpu"] = cores
    why = f"{ROOM:g} times what 95 of 100 used" if len(runs) >= SOME else f"by {len(runs)} runs only"
    if short := sum(run.short for run in runs):
        why += f"; {short} died of memory, and would have used more"
    return Proposal(needs, why if needs else f"what it declares fits what {len(runs)} runs used")


def _fits(declared: float | None, wanted: float) -> bool:
    return declared is not None and wanted / ROOM <= declared <= AMPLE * wanted


def _cores(run: Used) -> float:
    return run.cpu / run.seconds if run.seconds > 0 else 0.0


def _decade(size: int) -> int:
    """Return the power of ten below a size, 0 for what is less than 1,000 bytes."""
    return 0 if size < 1000 else int(10 ** (len(str(size)) - 1))
