"""A rate: so many in so many seconds, as `throttle=` and `rate_limit=` take it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from triggers.errors import WiringError
from triggers.quantities import is_number, is_whole


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `per` seconds: `Rate(10, per=60)`. Raises `WiringError` where either is not above 0."""

    count: int
    per: float

    def __post_init__(self) -> None:
        if not (is_whole(self.count) and self.count > 0 and is_number(self.per) and 0 < self.per < inf):
            raise WiringError(
                f"{self} will not do: it takes a whole number above 0, and seconds above 0, as in Rate(10, per=60)"
            )

    def __str__(self) -> str:
        per = f"{self.per:g}" if is_number(self.per) else repr(self.per)
        return f"Rate({self.count!r}, per={per})"
