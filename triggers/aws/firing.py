"""EventBridge Scheduler's firings: moto keeps schedules and never fires them, so the emulation does.

A schedule that was made counts from then on; what came due before is not made up for, as it is not in AWS. Firings go
to queues, which is where the schedules of an app go. One that fails is logged and tried again; the others go on.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from triggers.aws.clients import asking
from triggers.aws.template.schedules import DUE
from triggers.clock import Clock
from triggers.errors import ScheduleError, TriggersError
from triggers.schedule import Every, Schedule, at, cron

LOOK: Final = 0.5
"""Seconds after which it is looked again whether a schedule was made or deleted."""

log = logging.getLogger("triggers.firing")

_UNITS: Final = {"minute": 60, "hour": 3600, "day": 86_400}


@dataclass(slots=True)
class _Timer:
    """A schedule: when it fires, and when next."""

    said: Mapping[str, Any]
    schedule: Schedule
    began: float
    """The moment that a rate is counted from."""
    ends: float
    next: float | None = None

    def advance(self, after: float) -> None:
        """Go on to the firing that follows. Those of a rate are counted from the moment that it was made."""
        if isinstance(self.schedule, Every):
            passed = max(0, (after - self.began) // self.schedule.seconds)
            following: float | None = self.began + (passed + 1) * self.schedule.seconds
        else:
            following = self.schedule.next(after)
        self.next = None if following is None or following > self.ends else following


class Firing:
    """Fires the schedules of a group while `run` is awaited. `scheduler` and `sqs` are aiobotocore clients."""

    def __init__(self, scheduler: Any, sqs: Any, group: str, clock: Clock) -> None:
        self._scheduler = scheduler
        self._sqs = sqs
        self._group = group
        self._clock = clock
        self._timers: dict[str, _Timer] = {}
        self._failing: dict[str, str] = {}
        """What was said last of what goes wrong, by what it is about."""

    async def run(self) -> None:
        """Fire what comes due, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Take in which schedules there are now, and fire those that are due."""
        now = self._clock.now()
        listed = {}
        async with self._going_on(f"schedules of {self._group!r}"):
            async for page in self._scheduler.get_paginator("list_schedules").paginate(GroupName=self._group):
                listed.update({one["Name"]: one["LastModificationDate"] for one in page["Schedules"]})
            self._timers = {name: timer for name, timer in self._timers.items() if name in listed}
            known = set(map(_named, listed))
            self._failing = {thing: said for thing, said in self._failing.items() if thing in known}
        for name, modified in listed.items():
            async with self._going_on(_named(name)):
                await self._see_to(name, modified, now)

    @asynccontextmanager
    async def _going_on(self, thing: str) -> AsyncIterator[None]:
        """Carry out what is about a thing. What goes wrong is said, once until it goes well: the next look is soon."""
        try:
            async with asking(thing):
                yield
        except Exception as error:
            words = str(error) if isinstance(error, TriggersError) else repr(error)
            said = words if thing in words else f"{thing}: {words}"
            if self._failing.get(thing) != said:
                log.error("%s; it is tried again", said)
            self._failing[thing] = said
        else:
            self._failing.pop(thing, None)

    async def _see_to(self, name: str, modified: datetime, now: float) -> None:
        """Take in a schedule that is new or was changed, and fire it if it is due."""
        if name not in self._timers or self._timers[name].said["LastModificationDate"] != modified:
            said = await self._scheduler.get_schedule(GroupName=self._group, Name=name)
            self._timers[name] = _timer(said, now)
        timer = self._timers[name]
        while timer.next is not None and timer.next <= now:
            await self._fire(timer)
            timer.advance(timer.next)
        if timer.next is None and timer.said.get("ActionAfterCompletion") == "DELETE":
            await self._scheduler.delete_schedule(GroupName=self._group, Name=name)
            del self._timers[name]

    async def _fire(self, timer: _Timer) -> None:
        assert timer.next is not None
        due = datetime.fromtimestamp(timer.next, UTC)
        target = timer.said["Target"]
        account, name = target["Arn"].split(":")[-2:]
        if ":sqs:" not in target["Arn"]:
            raise TriggersError(f"schedule {timer.said['Name']!r} goes to {target['Arn']}; only queues are emulated")
        group = target.get("SqsParameters", {}).get("MessageGroupId")
        once = {"MessageGroupId": group, "MessageDeduplicationId": f"{timer.said['Name']}@{due:%s}"} if group else {}
        async with asking(f"queue {name!r}"):
            await self._sqs.send_message(
                QueueUrl=f"{self._sqs.meta.endpoint_url}/{account}/{name}",
                MessageBody=target.get("Input", "{}").replace(DUE, f"{due:%Y-%m-%dT%H:%M:%SZ}"),
                **once,
            )


def _named(name: str) -> str:
    return f"schedule {name!r}"


def _timer(said: Mapping[str, Any], now: float) -> _Timer:
    """Return a schedule that was made a moment ago. One that is disabled never fires."""
    text, zone = said["ScheduleExpression"], said.get("ScheduleExpressionTimezone") or "UTC"
    began = max(said[key].timestamp() for key in ("CreationDate", "StartDate") if said.get(key))
    ends = said["EndDate"].timestamp() if said.get("EndDate") else math.inf
    timer = _Timer(said, expression(text, zone), began, ends)
    if said.get("State") != "DISABLED":
        timer.advance(max(began, now) - LOOK)
    return timer


def expression(text: str, timezone: str) -> Schedule:
    """Return what a schedule expression of EventBridge's says: `cron(...)`, `rate(...)` or `at(...)`."""
    match = re.fullmatch(r"(cron|rate|at)\((.*)\)", text)
    if match is None:
        raise ScheduleError(f"{text!r} is no schedule expression; write cron(...), rate(...) or at(...)")
    kind, said = match.groups()
    if kind == "cron":
        return cron(said, timezone=timezone)
    if kind == "at":
        return at(said, timezone=timezone)
    rate = re.fullmatch(r"([1-9][0-9]*) (minute|hour|day)s?", said)
    if rate is None:
        raise ScheduleError(f"{text!r}: write a rate as rate(5 minutes); the units are minutes, hours and days")
    return Every(int(rate[1]) * _UNITS[rate[2]])


__all__ = ["Firing", "expression"]
