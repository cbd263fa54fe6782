"""How far a run has come, as people read it."""

from __future__ import annotations

import pytest

from triggers.progress import Progress


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(3400, 10_000, 0), "3,400 of 10,000 (34 %)"),
        (Progress(0.5, 2, 0), "0.5 of 2 (25 %)"),
        (Progress(1_234_567, None, 0), "1,234,567 done"),
        (Progress(7, 0, 0), "7 done"),
        (Progress(None, 10, 0), ""),
    ],
)
def test_how_much_is_done_is_said_in_words(progress: Progress, text: str) -> None:
    assert progress.text() == text


def test_the_pace_is_that_of_the_attempt_and_what_is_left_shrinks_with_time() -> None:
    told = Progress(600, 1000, at=120.0, origin=400)
    assert told.rate(started=100.0) == 10
    assert told.left(started=100.0, now=120.0) == 40
    assert told.left(started=100.0, now=150.0) == 10
    assert told.left(started=100.0, now=999.0) == 0


def test_nothing_is_said_of_a_pace_that_nothing_tells() -> None:
    assert Progress(5, 10, at=1.0).rate(None) is None
    assert Progress(5, 10, at=1.0).rate(1.0) is None
    assert Progress(5, None, at=2.0).left(1.0, 2.0) is None
    assert Progress(5, 10, at=2.0, origin=5).left(1.0, 2.0) is None
    assert Progress(5, 10, at=2.0, origin=9).rate(1.0) == 0
