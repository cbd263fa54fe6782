"""Neither timing nor crashes change what comes together. `python -m benchmarks scheduling` lives many more stories."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gatherings import difference


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_together_depends_on_what_was_recorded_alone(seed: int, tmp_path: Path) -> None:
    found = [difference(one, tmp_path) for one in range(6 * seed, 6 * seed + 6)]
    assert [said for said, _ in found if said] == []
    assert sum(crashes for _, crashes in found) > 5
