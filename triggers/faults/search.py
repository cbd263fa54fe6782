"""`@simulate`: a test carried out under many seeds, and what is told of the first that it fails with."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pytest

from triggers.errors import WiringError
from triggers.faults.seeds import KINDS, Fault, Faults, begin, end, read
from triggers.harness import START

if TYPE_CHECKING:
    from triggers.app import App
    from triggers.faults.trial import Trial

Test = Callable[..., None]

SEED = "TRIGGERS_SEED"
"""The environment variable that names the only seed to be tried."""

MOST_TRIES = 400
"""How many scenarios are tried to find a smaller one that fails."""

LONGEST_STORY = 60
"""Lines of what happened that a report shows, from the end."""

FAILURES: Final = (Exception, pytest.fail.Exception)
"""What a test fails with: what `pytest.fail` and `pytest.raises` raise is no `Exception`."""


def simulate(
    seeds: int | Iterable[int] = 100, *, faults: Iterable[str] = KINDS, schedule: str | None = None
) -> Callable[[Test], Test]:
    """Carry a test that takes `harness` out once for each seed, every time with other faults.

    The app's process dies between two commits, before and after a handler, at an `await`, and is started again; events
    arrive late, twice and in another order; handlers and commits are slow; attempts fail as the route's `retry=` allows
    for; the wall clock is set. The same seed always has the same happen. Time does not stand still: it passes while
    something slow or late is waited for.

    The first seed with which the test fails is made smaller: the fewest faults with which it still does are told with
    the error. `TRIGGERS_SEED=17` in the environment tries that seed only; `schedule=` has exactly the named faults
    happen, as a report names them; `faults=` leaves kinds of them out (`triggers.faults.seeds.KINDS` are all).

    The body is carried out many times, so it makes its own world each time, whatever its handlers act on.
    """
    kinds = _checked(faults)
    numbers = _numbers(seeds)

    def decorate(test: Test) -> Test:
        @wraps(test)
        def search(*arguments: Any, **named: Any) -> None:
            scenario = Scenario(test, arguments, named)
            if schedule is not None:
                return scenario.carry_out(Faults(given=read(schedule)))
            for seed in _only() or numbers:
                scenario.try_seed(seed, kinds)
            return None

        if inspect.iscoroutinefunction(test) or inspect.isgeneratorfunction(test) or inspect.isasyncgenfunction(test):
            raise WiringError(
                f"{test.__name__} is simulated but is no plain function: nothing of it would be carried out"
            )
        wanted = inspect.signature(test)
        if "harness" not in wanted.parameters:
            raise WiringError(f"{test.__name__} is simulated but does not take `harness`, which starts the app")
        left = [one for name, one in wanted.parameters.items() if name != "harness"]
        vars(search)["__signature__"] = wanted.replace(parameters=left)
        return search

    return decorate


def _numbers(seeds: int | Iterable[int]) -> Sequence[int]:
    if callable(seeds):
        raise WiringError("simulate: it is written with brackets: @simulate(seeds=200)")
    numbers = range(seeds) if isinstance(seeds, int) else tuple(seeds)
    if not numbers:
        raise WiringError(f"simulate: seeds={seeds!r} are none, so nothing would be tried")
    return numbers


def _only() -> list[int]:
    """Return the seed that the environment names, if it names one."""
    only = os.environ.get(SEED)
    if only is None:
        return []
    try:
        return [int(only)]
    except ValueError:
        raise WiringError(f"{SEED}={only} is no seed; name one as a report does: {SEED}=17") from None


def _checked(kinds: Iterable[str]) -> Sequence[str]:
    chosen = tuple(kinds)
    for kind in chosen:
        if kind not in KINDS:
            raise WiringError(f"simulate: no fault is called {kind!r}; there are {', '.join(KINDS)}")
    return chosen


class Scenario:
    """A test with what pytest has given it."""

    def __init__(self, test: Test, arguments: Sequence[Any], named: dict[str, Any]) -> None:
        self._test = test
        self._arguments = arguments
        self._named = named

    def try_seed(self, seed: int, kinds: Sequence[str]) -> None:
        """Carry the test out under a seed; what it raises tells how to have it happen again."""
        faults = Faults(seed, kinds)
        try:
            self.carry_out(faults)
        except FAILURES as error:
            smallest, last = self._smallest(faults, error)
            last.add_note(report(seed, faults, smallest))
            raise last from None

    def carry_out(self, faults: Faults) -> None:
        """Carry the test out once, with its own folder."""
        trials: list[Trial] = []
        with TemporaryDirectory(prefix="triggers-") as folder:

            def begin_with(app: App, start: datetime = START) -> Trial:
                from triggers.faults.trial import Trial

                trial = Trial(app, Path(folder, f"{getattr(app, 'name', 'none')}-{len(trials)}"), faults, start)
                trials.append(trial)
                return trial

            begin(faults)
            try:
                self._test(*self._arguments, **self._named, harness=begin_with)
                for trial in trials:
                    trial.check()
            finally:
                end(faults)
                for trial in trials:
                    trial.close()

    def _smallest(self, drawn: Faults, error: BaseException) -> tuple[Faults, BaseException]:
        """Return the fewest faults found with which the test fails in the same way, and how it does; those that were
        drawn where it does not fail with them again."""
        smallest, last = drawn, error
        tries = 0

        def fails(some: Sequence[Fault]) -> bool:
            nonlocal smallest, last, tries
            tries += 1
            faults = Faults(given=some)
            try:
                self.carry_out(faults)
            except FAILURES as found:
                if type(found) is type(error):
                    smallest, last = faults, found
                    return True
            return False

        if fails(drawn.taken):
            reduce(drawn.taken, fails, lambda: tries >= MOST_TRIES)
        return smallest, last


def reduce(faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], enough: Callable[[], bool]) -> None:
    """Leave out as many faults as `fails` goes on to be true without: halves first, then smaller and smaller parts.

    That is Zeller's delta debugging (ddmin, 2002), but for testing the parts by themselves.
    """
    left, size = list(faults), max(1, len(faults) // 2)
    while left and not enough():
        start, before = 0, len(left)
        while start < len(left) and not enough():
            fewer = left[:start] + left[start + size :]
            if fails(fewer):
                left = fewer
            else:
                start += size
        if size == 1 and len(left) == before:
            return
        size = max(1, size // 2)


def report(seed: int, faults: Faults, smallest: Faults) -> str:
    """Return what is told of a seed with which a test fails."""
    taken, first = smallest.taken, f"seed {seed} fails, with {len(faults.taken)} faults"
    words = [f"  - {fault.words}" for fault in taken]
    if smallest is faults:
        lines = [f"{first}, and did not fail with the same ones again: something depends on more than the seed", *words]
    else:
        lines = [f"{first}; {len(taken)} of them are enough:", *(words or ["  (it fails without any)"])]
    lines += ["what happened then:", *(f"  {line}" for line in smallest.story[-LONGEST_STORY:])]
    lines += [
        f"to see it again: {SEED}={seed}, or @simulate(schedule={' '.join(map(str, taken))!r})",
    ]
    return "\n".join(lines)
