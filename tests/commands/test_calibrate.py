"""`triggers calibrate`: which share of runs took as long as was predicted."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from tests.commands.conftest import Project
from tests.kit import Life
from tests.test_keys import Order
from triggers import App


@pytest.fixture
def worked(project: Project) -> Callable[[Callable[[random.Random, int], float], int], None]:
    """Return a function that leaves a journal of so many runs, which took as long as it says of each."""

    def work(seconds: Callable[[random.Random, int], float], count: int) -> None:
        app = App("churn")

        @app.on(Order)
        async def train(event: Order) -> None: ...

        life = Life(app, Path(".triggers/churn"))
        life.send(*[Order(n=n) for n in range(count)])
        life.stop()
        drawn = random.Random(1)
        with apsw.Connection(".triggers/churn/journal.db") as connection:
            for n in range(count):
                row = (1e9 + 1000 * n, 1e9 + 1000 * n + seconds(drawn, n), n + 1)
                connection.execute("UPDATE run SET started = ?, ended = ? WHERE number = ?", row)

    return work


def test_the_share_of_each_route_and_of_all_is_shown(project: Project, worked: Callable[..., None]) -> None:
    worked(lambda drawn, n: drawn.lognormvariate(2, 0.4), 200)
    answer = project("calibrate")
    assert answer.code == 0
    assert [line.split()[:2] for line in answer.out.splitlines()[1:3]] == [["train", "169"], ["all", "169"]]
    assert "of 169 runs took between p10 and p90; that may stand for anything between" in answer.out
    since = datetime.fromtimestamp(1e9 + 1000 * 150, UTC).isoformat()
    counts = [project(*f"calibrate --json {more}".split()).data[-1]["predicted"]
              for more in ("--limit 50", "--least 100", f"--since {since}", "--route train")]  # fmt: skip
    assert counts == [50, 98, 50, 169]


def test_ranges_that_do_not_hold_are_a_problem(project: Project, worked: Callable[..., None]) -> None:
    worked(lambda drawn, n: 1.05**n, 400)
    answer = project("calibrate")
    assert answer.code == 1
    assert "where 75 to 85 % should: the ranges are too narrow" in answer.out


def test_a_young_journal_has_nothing_to_show_yet(project: Project, worked: Callable[..., None]) -> None:
    worked(lambda drawn, n: 1.0, 20)
    answer = project("calibrate")
    assert (answer.code, answer.out) == (0, "")
    assert "no run began with 30 or more of its route behind it" in answer.err
