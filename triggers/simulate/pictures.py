"""Schedules of one workload in pictures: how long its jobs waited, and how much of the machine was in use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from triggers.plots import Axis, Plot, draw
from triggers.simulate.whatif import Schedule

SOON = ((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"))
WAITS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (36_000, "10 h"), (360_000, "100 h"))
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
STEPS = 240
"""Points of a line over time."""


def picture(title: str, schedules: Sequence[Schedule]) -> str:
    """Return both plots as SVG."""
    return draw(title, [waits(schedules), use(schedules)])


def waits(schedules: Sequence[Schedule]) -> Plot:
    """Return which part of the runs had started after which wait."""
    lines = []
    for one in schedules:
        ordered = sorted(max(start - job.arrival, 0.0) for job, start in zip(one.jobs, one.starts, strict=True))
        places = sorted({round(n * (len(ordered) - 1) / STEPS) for n in range(STEPS + 1)}) if ordered else []
        lines.append((one.name, [(ordered[place], (place + 1) / len(ordered)) for place in places]))
    most = max([x for _, points in lines for x, _ in points], default=1.0)
    marks = [(value, word) for value, word in (WAITS if most > 60 else SOON + WAITS) if value <= max(most, 1)]
    across = Axis(marks[0][0], max(most, 10.0), marks, logarithmic=True)
    return Plot("How long runs waited", "wait (logarithmic) and the part of all runs that had started", across,
                _parts(), lines)  # fmt: skip


def use(schedules: Sequence[Schedule]) -> Plot:
    """Return over time how much of the machine was in use, by the resource that was used most."""
    first = min((job.arrival for one in schedules for job in one.jobs), default=0.0)
    last = max((s + job.seconds for one in schedules for job, s in zip(one.jobs, one.starts, strict=True)), default=1.0)
    step = max(last - first, 1e-9) / STEPS
    lines = [(one.name, _use(one, first, step)) for one in schedules]
    marks = _marks(last - first)
    return Plot("How much of the machine was in use", "time since the first arrival, and the part of what is scarcest",
                Axis(0.0, last - first, marks), _parts(), lines)  # fmt: skip


def _use(schedule: Schedule, first: float, step: float) -> list[tuple[float, float]]:
    """Return the mean use in each step of time."""
    best = [0.0] * STEPS
    for name, amount in schedule.machine.items():
        changes = [0.0] * (STEPS + 2)
        rest = [0.0] * (STEPS + 2)
        for job, start in zip(schedule.jobs, schedule.starts, strict=True):
            if part := job.needs.get(name, 0) / amount:
                for moment, sign in ((start, part), (start + job.seconds, -part)):
                    place = min(STEPS, int((moment - first) / step))
                    changes[place + 1] += sign
                    rest[place] += sign * (1 - ((moment - first) / step - place))
        used = [whole + part for whole, part in zip(accumulate(changes), rest, strict=True)]
        best = [max(one, other) for one, other in zip(best, used, strict=False)]
    return [((n + 0.5) * step, value) for n, value in enumerate(best)]


def _marks(span: float) -> list[tuple[float, str]]:
    """Return round marks, eight at most."""
    unit, word = next((unit, word) for unit, word in UNITS if span > 3 * unit or unit == 1)
    step = next((n * unit for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if span < 8 * n * unit), span)
    return [(n * step, f"{n * step / unit:g} {word}") for n in range(int(span / step) + 1)]


def _parts() -> Axis:
    return Axis(0.0, 1.0, [(n / 4, f"{n * 25} %") for n in range(5)])
