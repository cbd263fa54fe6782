"""A rate: so many in so many seconds, as `throttle=` and `rate_limit=` take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

from triggers.errors import WiringError
from triggers.quantities import is_whole
from triggers.spans import Span, seconds


@dataclass(frozen=True, slots=True, init=False)
class Rate:
    """At most `count` in any `per` seconds: `Rate(10, per=60)`. Raises `WiringError` where either is not above 0."""

    count: int
    per: float

    @overload
    def __init__(self, count: int, per: float) -> None: ...
    @overload
    def __init__(self, count: int, per: str) -> None: ...
    def __init__(self, count: int, per: Span | None = None) -> None:
        if not (is_whole(count) and count > 0):
            raise WiringError(f"Rate({count!r}) will not do: it takes a whole number above 0, as in Rate(10, per=60)")
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "per", seconds(f"Rate({count})", "per", per))

    def __str__(self) -> str:
        return f"Rate({self.count}, per={self.per:g})"
