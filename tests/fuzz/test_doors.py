"""No text from outside brings a reader down: it is taken, or refused with the place, in little time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.doors import DOORS, knock
from tests.fuzz.seeds import FOUND, PIECES, SEEDS


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed in which some stretches are replaced by a piece, by bytes, or by another stretch of it."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(data)))
        last = draw(st.integers(first, min(len(data), first + 40)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=6) | st.just(data[last : last + 40]))
        data = data[:first] + piece + data[last:]
    return data


def test_every_door_has_a_seed_that_it_takes() -> None:
    assert SEEDS.keys() == DOORS.keys()
    refused = {name: words for name, seeds in SEEDS.items() for seed in seeds if (words := knock(DOORS[name], seed))}
    assert refused == {}


@pytest.mark.parametrize("name", FOUND)
def test_what_has_brought_a_door_down_does_so_no_more(name: str) -> None:
    for data in FOUND[name]:
        knock(DOORS[name], data)


@pytest.mark.parametrize("name", DOORS)
def test_whatever_comes_to_a_door_is_taken_or_refused(name: str) -> None:
    @settings(max_examples=25)
    @given(mutated(SEEDS[name]))
    def come(data: bytes) -> None:
        knock(DOORS[name], data)

    come()
