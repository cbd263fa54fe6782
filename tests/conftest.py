"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.kit import Life, Start
    from triggers import App
    from triggers.testing import FakeClock

settings.register_profile("noisy machines", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy machines")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts an app over the test's state folder; what still lives is stopped at the end."""
    from tests.kit import Life  # most of the tests in other folders start no engine

    lives: list[Life] = []

    def begin(app: App, clock: FakeClock | None = None, **options: Any) -> Life:
        lives.append(Life(app, tmp_path / "state", clock, **options))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()
