"""Schedules and timers: next firings, daylight saving against the oracle, and many timers at one instant.

croniter, cronsim and APScheduler are asked the same questions. They are extras of the benchmarks, nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.measure import percentile
from tests.oracle import COMMON, FIRST, LAST, Spec, at_a_change, changes, changing_zones, expected
from triggers import App, Tick, at, cron, every
from triggers.engine import Engine
from triggers.errors import ScheduleError
from triggers.sources.timer import Timer
from triggers.state import StateFolder

Result = dict[str, Any]
ZONE = "Europe/Berlin"
TEXTS = ("* * * * *", "*/5 * * * *", "0 3 * * *", "0 9 * * 1-5", "30 2 1,15 * *")
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

Firings = Callable[[str, str, float], Iterator[float]]
"""From a cron text, a time zone and a moment to the firings behind it."""


def _triggers(text: str, zone: str, after: float) -> Iterator[float]:
    schedule = cron(text, timezone=zone)
    due = schedule.next(after)
    while due is not None:
        yield due
        due = schedule.next(due)


def _croniter(text: str, zone: str, after: float) -> Iterator[float]:
    from croniter import croniter

    firings = croniter(text, datetime.fromtimestamp(after, ZoneInfo(zone)))
    while True:
        yield firings.get_next(datetime).timestamp()


def _cronsim(text: str, zone: str, after: float) -> Iterator[float]:
    from cronsim import CronSim

    for moment in CronSim(text, datetime.fromtimestamp(after, ZoneInfo(zone))):
        yield moment.timestamp()


def _apscheduler(text: str, zone: str, after: float) -> Iterator[float]:
    from apscheduler.triggers.cron import CronTrigger

    tz = ZoneInfo(zone)
    trigger = CronTrigger.from_crontab(text, timezone=tz)
    before, now = None, datetime.fromtimestamp(after + 1, tz)
    while (due := trigger.get_next_fire_time(before, now)) is not None:
        yield due.timestamp()
        before = now = due


TOOLS: dict[str, Firings] = {
    "triggers": _triggers,
    "croniter": _croniter,
    "cronsim": _cronsim,
    "apscheduler": _apscheduler,
}


def rate(folder: Path, tool: str, seconds: float) -> Result:
    """Ask for one firing after the other in a time zone, for so long for each text."""
    rates = {}
    for text in TEXTS:
        firings, done, begin = TOOLS[tool](text, ZONE, START), 0, time.perf_counter()
        while (took := time.perf_counter() - begin) < seconds:
            some = sum(1 for _ in islice(firings, 100))
            firings = firings if some == 100 else TOOLS[tool](text, ZONE, START)  # 2199 is over
            done += some
        rates[text] = done / took
    return {"rates": rates, "slowest": min(rates.values()), "fastest": max(rates.values())}


def daylight(folder: Path, tool: str, every: int) -> Result:
    """Compare what a tool fires around each change of the clocks in ten years with the oracle, in each n-th zone."""
    cases = different = refused = zones = 0
    examples: list[str] = []
    for zone in list(changing_zones())[::every]:
        zones += 1
        for start, end in changes(zone, FIRST, LAST):
            for spec in {*COMMON, *at_a_change(zone, start, end)}:
                cases += 1
                wanted = expected(spec, zone, start, end)
                try:
                    found = _fired(TOOLS[tool], spec, zone, start, end)
                except Exception:  # of a peer's: it does not know this text
                    refused += 1
                    continue
                if wanted != found:
                    different += 1
                    if len(examples) < 5:
                        odd = min(set(wanted) ^ set(found), default=start)
                        examples.append(f"{spec.text} in {zone} at {datetime.fromtimestamp(odd, UTC)}")
    return {"zones": zones, "cases": cases, "different": different, "refused": refused, "examples": examples}


def _fired(tool: Firings, spec: Spec, zone: str, start: int, end: int) -> list[float]:
    fired = []
    try:
        for due in tool(spec.text, zone, start - 1):
            if due >= end:
                break
            fired.append(due)
    except ScheduleError as error:
        if "never fires" not in str(error):
            raise
    return fired


class Timers(Timer):
    """The source of timers, with schedules that have no routes of their own."""

    name = "timers"


async def instant(folder: Path, count: int, lead: float) -> Result:
    """Let so many timers be due at one instant, and count how late each is released and its handler begins."""
    due = float(round(time.time() + lead))
    begun: list[float] = []
    names: list[str] = []
    schedule = at(datetime.fromtimestamp(due, UTC))
    timers = Timers({f"timer-{number}": schedule for number in range(count)})
    app = App("bench", sources=[timers], backlog=2 * count)

    @app.on(Tick)
    async def handle(event: Tick) -> None:
        begun.append(time.time() - due)
        names.append(event.schedule)

    async with Engine(app, StateFolder(folder)) as engine:
        await engine.quiet()
        ready = time.time()
        assert ready < due, f"{ready - due:.1f} s too late to begin with; more lead"
        while len(begun) < count:  # noqa: ASYNC110  # the handlers are measured, nothing may be added to them
            await asyncio.sleep(0.05)
        await engine.quiet()
        recorded = await engine.dispatcher.pipeline.asked(
            lambda connection: [moment for (moment,) in connection.execute("SELECT recorded FROM event")]
        )
    assert len(names) == len(set(names)) == count
    released = [moment - due for moment in recorded]
    assert len(released) == count
    return {
        "count": count,
        "fired_once": len(set(names)),
        "released": 1000 * percentile(released, 99),
        "started": 1000 * percentile(begun, 99),
        "all": max(begun),
        "ready_after": ready - (due - lead),
    }


async def routes(folder: Path, count: int) -> Result:
    """Declare an app with so many routes on a schedule each, and start it until every timer waits; in CPU seconds."""
    begin = time.process_time()
    app = App("bench")

    async def handle(event: Tick) -> None: ...

    for number in range(count):
        app.on(every(days=1 + number % 50), name=f"timer-{number}")(handle)
    declared = time.process_time()
    async with Engine(app, StateFolder(folder)) as engine:
        await engine.quiet()
        ready = time.process_time()
    return {"count": count, "declared": declared - begin, "ready": ready - begin}


def apscheduler_instant(folder: Path, count: int, lead: float) -> Result:
    """Do the same with APScheduler's asyncio scheduler as it ships."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    async def main() -> Result:
        due = datetime.fromtimestamp(round(time.time() + lead), UTC)
        begun: list[float] = []

        async def handle() -> None:
            begun.append(time.time() - due.timestamp())

        scheduler = AsyncIOScheduler(timezone="UTC")
        for _ in range(count):
            scheduler.add_job(handle, "date", run_date=due)
        scheduler.start()
        await asyncio.sleep(max(0.0, due.timestamp() - time.time()) + 8)
        scheduler.shutdown()
        return {"count": count, "fired_once": len(begun), "started": 1000 * percentile(begun or [0.0], 99)}

    return asyncio.run(main())
