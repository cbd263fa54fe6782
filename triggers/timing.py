"""The keywords of time, checked: when the runs of a route may start, and by when they should have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triggers.errors import ScheduleError, WiringError
from triggers.options import ALLOW, QUEUE
from triggers.prices import Prices
from triggers.schedule.moments import After, Moment, moment
from triggers.schedule.window import window


def read_times(owner: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of time as values; raises `WiringError` where they make no sense, alone or together."""
    found: dict[str, Any] = {}
    try:
        if options.get("window") is not None:
            found["window"] = window(options["window"])
        for name in ("deadline", "not_before", "expires"):
            if options.get(name) is not None:
                found[name] = moment(name, options[name])
    except ScheduleError as error:
        raise ScheduleError(f"{owner}: {error}") from error
    if not isinstance(options.get("price"), Prices | None):
        raise WiringError(f"{owner}: price={options['price']!r} will not do; write e.g. price=Prices('prices.csv')")
    _check_order(owner, found)
    _check_decided(owner, {**options, **found})
    return found


def _check_order(owner: str, times: Mapping[str, Moment]) -> None:
    """Refuse what should have ended, or is dropped, before it may start, as far as that is known by now."""
    start = times.get("not_before")
    for name in ("deadline", "expires"):
        end = times.get(name)
        sooner = isinstance(end, After) and isinstance(start, After) and end.seconds < start.seconds
        if end is not None and (end == start or sooner):
            raise WiringError(
                f"{owner}: {name}={str(end)!r} is not after not_before={str(start)!r}, before which no run starts;"
                " move one of them"
            )


def _check_decided(owner: str, options: Mapping[str, Any]) -> None:
    """Refuse a later start of what is decided about when its event arrives."""
    deciding = [f"overlap={options['overlap']!r}"] if options.get("overlap", ALLOW) not in (ALLOW, QUEUE) else []
    deciding += [f"rate_limit={options['rate_limit']}"] if options.get("rate_limit") else []
    if deciding and options.get("not_before") is not None:
        raise WiringError(
            f"{owner}: {deciding[0]} decides when an event arrives what becomes of its run, and not_before= has it"
            " start later; leave one of them out"
        )
