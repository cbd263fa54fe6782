"""What `triggers simulate` is to try, and by which price lists runs wait and cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from triggers.commands.failures import NotFound
from triggers.commands.loading import load_app, load_module
from triggers.commands.output import count, note
from triggers.errors import ScheduleError, TriggersError, did_you_mean
from triggers.journal.views import AppView, RouteView
from triggers.limits import check_policy
from triggers.policy import Policy, order
from triggers.prices import Prices
from triggers.schedule.series import Series
from triggers.schedule.window import Window
from triggers.scheduling.preference import name_of
from triggers.simulate.whatif import Schedule, priced

DEFAULT = name_of(order)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tried: None, or nothing, is as it is."""

    policies: Mapping[str, Policy]
    """By the names that they were given by."""
    capacity: Mapping[str, float]
    aging: float | None
    windows: Mapping[str, Window]
    prices: Mapping[str, Path]
    """By route, the price list that it is to wait by."""
    cost: Path | None
    """What work costs, in all schedules; if None, the lists that routes wait by."""

    def differs(self) -> bool:
        """Say whether anything is to be other than it is."""
        changed = self.policies or self.capacity or self.windows or self.prices
        return bool(changed) or self.aging is not None

    def check(self, capacity: Mapping[str, object], routes: Collection[str]) -> None:
        """Raise `NotFound` for a resource or a route that the workload has not."""
        named = (("resource", self.capacity, capacity), ("route", {**self.windows, **self.prices}, routes))
        for what, names, known in named:
            for name in names:
                if name not in known:
                    raise NotFound(f"the workload has no {what} {name!r}{did_you_mean(name, known)}")

    def waited_by(self, own: Mapping[str, Prices]) -> dict[str, Prices]:
        """Return by which prices routes are to wait. A list to try is read, and waited for, as the route's own is.

        Raises `ScheduleError` for one that cannot be read, or has a gap.
        """
        return {**own, **{route: _listed(file, own.get(route)) for route, file in self.prices.items()}}

    def said(self, policy: str) -> str:
        """Return what is tried in a few words."""
        parts = [policy.rpartition(":")[2]] if policy != DEFAULT or self.policies else []
        parts += [f"{name}={amount:g}" for name, amount in self.capacity.items()]
        parts += [] if self.aging is None else [f"aging={self.aging:g}"]
        parts += [f"{route} in {window}" for route, window in self.windows.items()]
        parts += [f"{route} by {file}" for route, file in self.prices.items()]
        return ", ".join(parts)

    def charged(self, schedules: Sequence[Schedule], waited_by: Iterable[Prices]) -> list[Schedule]:
        """Return the schedules with what they cost: by `cost`, or by all that routes wait by."""
        lists = waited_by if self.cost is None else [_listed(self.cost, None)]
        spans = [_span(one) for one in schedules if one.jobs]
        if not spans:
            return list(schedules)
        span = _Span(min(span.start for span in spans), max(span.end for span in spans))
        found = {str(one): _known(one, span, schedules[0]) for one in lists}
        known = {name: series for name, series in found.items() if series is not None}
        return [priced(one, known) for one in schedules]


class _Span(NamedTuple):
    """From when until when anything was at work."""

    start: float
    end: float


def load_policy(name: str) -> Policy:
    """Return the policy of `MODULE:FUNCTION`.

    Raises `NotFound` where there is none, and `WiringError` where it cannot decide.
    """
    place, _, function = name.rpartition(":")
    if name == DEFAULT:
        return order
    if not (place and function):
        raise NotFound(f"{name!r} is no policy; write MODULE:FUNCTION, as in triggers.policy:by_rank")
    found: object = load_module(place)
    for part in function.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise NotFound(f"{place} has no function {function!r} to order runs by")
    check_policy(f"--policy {name}", found)
    assert callable(found)
    return found


def own_prices(app: AppView, routes: Mapping[str, RouteView]) -> dict[str, Prices]:
    """Return by which prices the routes of an app wait, as its module has them; tell of those that it has not."""
    found: dict[str, Prices] = {}
    wanted = {name: text for name, route in routes.items() if (text := route.policy.get("price"))}
    declared, why = _declared(app) if wanted else ({}, "")
    for name, text in wanted.items():
        prices = declared.get(name)
        if prices is not None and str(prices) == text:
            why = _unreadable(prices)
        elif not why:
            why = f"{app.target} has another price= for it now" if prices else f"{app.target} has no price= for it now"
        if prices is not None and not why:
            found[name] = prices
        else:
            note(
                f"warning: {name} waits for a price, by {text}, and here for none: {why};"
                f" --price {name}=FILE tries a list"
            )
    return found


def _declared(app: AppView) -> tuple[dict[str, Prices], str]:
    """Return the prices of an app's routes, or why nobody knows them."""
    if app.target is None:
        return {}, "the journal does not say where the app is"
    try:
        loaded = load_app(app.target)
    except TriggersError as error:
        return {}, str(error).rstrip(".")
    return {name: route.policy.price for name, route in loaded.routes.items() if route.policy.price}, ""


def _unreadable(prices: Prices) -> str:
    try:
        prices.require()
    except ScheduleError as error:
        return str(error)
    return ""


def _listed(file: Path, own: Prices | None) -> Prices:
    found = Prices(file, within=own.within, timezone=own.timezone) if own else Prices(file)
    found.require()
    return found


def _span(schedule: Schedule) -> _Span:
    return _Span(
        min(schedule.starts),
        max(start + job.seconds for job, start in zip(schedule.jobs, schedule.starts, strict=True)),
    )


def _known(prices: Prices, span: _Span, first: Schedule) -> Series | None:
    """Return the prices of a span, None where there are none; tell of what they do not cover."""
    series = prices.afresh().between(span.start, span.end, span.end)
    if series is None:
        return None
    told = f"{prices} has prices from {_utc(series.start)} to {_utc(series.end)}"
    if series.end <= span.start or span.end <= series.start:
        note(f"warning: {told}, and the runs are of {_utc(span.start)} to {_utc(span.end)}: none waits, none costs")
        return None
    beyond = sum(
        start < series.start or series.end < start + job.seconds
        for job, start in zip(first.jobs, first.starts, strict=True)
    )
    if beyond:
        note(f"warning: {told}; of {count(beyond, 'run')} before or after that its first or last price counts")
    return series


def _utc(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
