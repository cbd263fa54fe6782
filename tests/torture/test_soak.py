"""Hours in minutes: an app at work that is fed all the time grows neither in memory nor in files nor in threads."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from tests.crash.chains import Home
from tests.kit import PATIENCE
from tests.torture import TIMES

MINUTES = float(os.environ.get("TRIGGERS_SOAK", "0.05" if TIMES == 1 else "5"))
"""How long it is fed; in so few seconds as `make unit` has, little more is seen than that this test itself works."""
STEPS = 3
"""Effects for each file."""
LOOKS = 12
CACHE = 17
"""MB that the journal's page cache may still take; it is all that grows (`cache_size`)."""


def test_an_app_that_is_fed_for_long_does_not_grow(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process = home.command()
    looks, begin = [], time.monotonic()
    for look in range(1, LOOKS + 1):
        while time.monotonic() < begin + 60 * MINUTES * look / LOOKS:
            home.drop(10)
            home.wait(STEPS * home.dropped)
        seen = psutil.Process(process.pid)
        looks.append((seen.memory_info().rss / 1e6, seen.num_fds(), seen.num_threads()))
    process.terminate()
    process.join(PATIENCE)
    print("MB, files, threads:", *looks, "after", home.dropped, "files")
    home.check()
    assert len(home.log()) == STEPS * home.dropped
    warm, end = looks[: LOOKS // 3 + 1], looks[-LOOKS // 3 :]
    assert end[-1][0] <= warm[-1][0] + CACHE
    for kind in (1, 2):  # a file that is just being read raises one look, a leak raises all that follow
        assert min(look[kind] for look in end) <= max(look[kind] for look in warm)
