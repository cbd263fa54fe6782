"""The pytest plugin: pipelines under test, without waiting, and without luck.

::

    def test_a_dropped_file_is_trained_on(harness):
        pipeline = harness(app)
        pipeline.drop("incoming", "a.csv", "x,y\\n1,2\\n")
        assert pipeline.events(Trained) == [Trained(model="a")]
        assert pipeline.dead == []

Every action returns when the app is quiet again: the sources have told all they know, and nothing runs or could start.
Time stands still but for `advance`.

With `@simulate(seeds=200)` above it the same test is carried out 200 times, each time with other faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triggers.faults import boundary, simulate
from triggers.harness import START, FakeClock, Harness

if TYPE_CHECKING:
    from triggers.app import App


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    """Return a function that starts an app in a folder of its own; the test's end stops it.

    `start=` is when its clock begins, 2026-01-01T00:00Z if not given.
    """
    made: list[Harness] = []

    def begin(app: App, start: datetime = START) -> Harness:
        made.append(Harness(app, tmp_path / f"{getattr(app, 'name', 'none')}-{len(made)}", start))
        return made[-1]

    yield begin
    for one in made:
        one.close()


__all__ = ["START", "FakeClock", "Harness", "boundary", "harness", "simulate"]
