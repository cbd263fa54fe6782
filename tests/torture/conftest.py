"""What the torturers share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Keep the engine's complaints about what is done to it to itself."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
