"""What routes call and share: a warehouse, a model server, an API. Declared once in the app, named by `downstream=`."""

from __future__ import annotations

from dataclasses import dataclass, field

from triggers.errors import WiringError
from triggers.quantities import is_number, is_whole
from triggers.spans import Span, seconds

UNBOUNDED = 1_000_000
"""So many runs may call a downstream at once that has no `concurrency=`: more than ever run."""


@dataclass(frozen=True, slots=True, init=False)
class Breaker:
    """When a downstream counts as down, and is left alone. `WiringError` if a value makes no sense.

    It opens after `failures` failed attempts in `within`, if they are the `share` of all that ended in that
    time. Then nothing that calls it starts for a `pause`, after which one run is let through: if that fails, for
    twice as long, at most `longest`; if it does not, all is as before.
    """

    failures: int
    share: float
    within: float
    pause: float
    longest: float

    def __init__(
        self, failures: int = 5, share: float = 0.5, within: Span = 60.0, pause: Span = 30.0, longest: Span = 600.0
    ) -> None:
        if not is_whole(failures) or failures < 1:
            raise WiringError(f"Breaker(failures={failures!r}): write a whole number above 0")
        if not (is_number(share) and 0 < share <= 1):
            raise WiringError(f"Breaker(share={share!r}): write a part of all attempts, above 0 and at most 1")
        spans = {"within": within, "pause": pause, "longest": longest}
        times = {name: seconds("Breaker", name, value) for name, value in spans.items()}
        if times["pause"] > times["longest"]:
            raise WiringError(f"Breaker(pause={pause!r}): write a span of at most longest={longest!r}")
        for name, value in {"failures": failures, "share": share, **times}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """How many at once, found out: at least `least`, at most `most`. `WiringError` if a value makes no sense."""

    most: int = 32
    least: int = 1

    def __post_init__(self) -> None:
        if not (is_whole(self.most) and is_whole(self.least) and 0 < self.least <= self.most):
            raise WiringError(
                f"Adaptive(most={self.most!r}, least={self.least!r}): write whole numbers above 0, least not above most"
            )


@dataclass(frozen=True, slots=True)
class Downstream:
    """A thing that routes call. `WiringError` if a value makes no sense.

    - `concurrency`: how many runs of all its routes together may be at work: a number, or `Adaptive(most=32)`, which
      finds it out; None is no bound.
    - `breaker`: when it is left alone; None is never.
    """

    concurrency: int | Adaptive | None = None
    breaker: Breaker | None = field(default_factory=Breaker)

    def __post_init__(self) -> None:
        known = self.concurrency is None or isinstance(self.concurrency, Adaptive)
        if not (known or (is_whole(self.concurrency) and self.concurrency > 0)):
            raise WiringError(
                f"Downstream(concurrency={self.concurrency!r}): write a whole number above 0; leave it out for no bound"
            )
        if not (self.breaker is None or isinstance(self.breaker, Breaker)):
            raise WiringError(f"Downstream(breaker={self.breaker!r}): write Breaker(failures=5, within=60), or None")

    @property
    def most(self) -> int:
        """Return how many runs may be at work with it at most."""
        if isinstance(self.concurrency, Adaptive):
            return self.concurrency.most
        return self.concurrency or UNBOUNDED


def of_downstream(name: str) -> str:
    """Return the resource that a run takes one of while it may be calling a downstream."""
    return f"downstream {name}"
