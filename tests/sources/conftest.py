from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sources.running import Intake


@pytest.fixture
def intake(tmp_path: Path, root: Path) -> Iterator[Callable[..., Intake]]:
    running = []

    def start(*prefix: str, **options: Any) -> Intake:
        running.append(Intake(prefix, tmp_path, root, options))
        return running[-1]

    yield start
    for one in running:
        one.end()
