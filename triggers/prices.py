"""`Prices`: what an hour costs, from a file that may grow or from a function, for routes whose runs can wait."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil, floor
from pathlib import Path

from triggers.errors import ScheduleError, WiringError
from triggers.schedule.series import Row, Series, read, series
from triggers.schedule.zones import zone
from triggers.spans import Span, seconds

log = logging.getLogger("triggers.dispatcher")

LOOK = 60.0
"""Seconds between two looks whether the file has changed."""
LONGEST = 8 * 86_400.0
"""Seconds that a function of a moment is asked for at most; with a deadline that is later runs do not wait longer."""


class Prices:
    """Prices, or anything else to save, over time: `price=Prices("prices.csv", timezone="Europe/Berlin")`.

    `source` is a CSV file with a moment and a price in each line (ISO 8601, read in `timezone` where it has no offset,
    or Unix seconds), which is read again when it has changed; or a function from a moment in Unix seconds to the price,
    which is asked for every `step` seconds. A price lasts until the next one, and there must be no gap.

    A run starts when it costs least, as long as it is predicted to take, and `within` so many seconds after its event
    arrived, or in time for its deadline where it has one that is earlier. It does not wait while nobody knows how long
    it takes, nor for what there is no price of.
    """

    def __init__(
        self,
        source: str | Path | Callable[[float], float],
        *,
        within: Span = 86_400.0,
        timezone: str = "UTC",
        step: Span = 900.0,
    ) -> None:
        if not callable(source) and not isinstance(source, str | Path):
            raise WiringError(f"Prices({source!r}) is neither a file nor a function; write e.g. Prices('prices.csv')")
        zone(timezone)  # names one that is not there
        self.within, self.step = seconds("Prices", "within", within), seconds("Prices", "step", step)
        self.timezone = timezone
        self.file = None if callable(source) else Path(source)
        self._function = source if callable(source) else None
        self.trouble = ""
        """Why nobody knows the prices of now; empty where they are known."""
        self._series: Series | None = None
        self._next_look = 0.0
        self._version: tuple[int, int] | None = None

    def afresh(self) -> Prices:
        """Return the same prices as nobody has asked for them yet: for a simulation, in which time begins anew."""
        source = self.file or self._function
        assert source is not None
        return Prices(source, within=self.within, timezone=self.timezone, step=self.step)

    def require(self) -> Series | None:
        """Return what stands in its file, if it has one; `ScheduleError` where that cannot be read, or has a gap.

        It is remembered: prices that were known when the app started are known, too, where nobody waited for them yet.
        """
        if self.file is None:
            return None
        self._series = self._look()
        return self._series

    def between(self, start: float, end: float, now: float) -> Series | None:
        """Return the prices as they are known now, which may begin later or end earlier; None where there are none.

        What goes wrong is said in the log, once, and in `trouble`; the prices that were known before go on.
        """
        known = self.file or self.trouble or self._covers(start, min(end, now + LONGEST - 2 * self.step))
        if now < self._next_look and known:
            return self._series
        try:
            self._series = self._look() if self.file else self._sampled(start, min(end, now + LONGEST))
        except Exception as error:  # of the user's function, too
            self._next_look = now + LOOK
            self._note(str(error) if isinstance(error, ScheduleError) else f"{self} failed: {error!r}")
        else:
            self._next_look = now + (LOOK if self.file else self.step)
            self.trouble = ""
        return self._series

    def _note(self, trouble: str) -> None:
        """Take note of what went wrong, and say it where it has not been."""
        if not self.trouble:
            then = "those known before go on" if self._series else "runs start as if there were none"
            log.error("prices: %s; %s until that is mended", trouble, then)
        self.trouble = trouble

    def _covers(self, start: float, end: float) -> bool:
        return self._series is not None and self._series.start <= start and end <= self._series.end

    def _look(self) -> Series | None:
        assert self.file is not None
        try:
            status = self.file.stat()
        except OSError as error:
            raise _unreadable(self.file, error) from error
        version = status.st_mtime_ns, status.st_size
        if version == self._version:
            return self._series
        found = self._read(self.file)
        self._version = version
        return found

    def _read(self, file: Path) -> Series:
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                return read(str(file), lines, self.timezone)
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(file, error) from error

    def _sampled(self, start: float, end: float) -> Series:
        assert self._function is not None
        end = max(end, self._series.end) if self._series else end  # of a run that was asked about before
        first, last = floor(start / self.step), ceil(end / self.step)
        moments = [self.step * number for number in range(first, max(last, first + 2))]
        return series(str(self), [Row(at, float(self._function(at)), f"moment {at:.0f}") for at in moments])

    def __str__(self) -> str:
        return str(self.file) if self.file else getattr(self._function, "__qualname__", repr(self._function))


def _unreadable(file: Path, error: OSError | UnicodeDecodeError) -> ScheduleError:
    why = error.strerror if isinstance(error, OSError) else error
    return ScheduleError(f"{file} cannot be read: {why}; make it a text file of moments and prices")
