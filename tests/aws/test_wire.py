from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.aws import wire
from triggers.errors import EventError
from triggers.lineage import BUDGET, EventRow

EVENT = EventRow(
    wire.number_of("shell", "7"), "7", "shell", "Trained", 2, "eu", 5.5, 9.0, '{"model":"m"}', 17, 3, 4, 99
)


def test_an_event_comes_back_with_its_lineage() -> None:
    assert wire.read(wire.write(EVENT).encode(), now=9.0) == EVENT


def test_an_event_without_a_lineage_is_the_root_of_a_chain() -> None:
    text = b'{"specversion":"1.0","id":"7","source":"shell","type":"Trained","data":{}}'
    event = wire.read(text, now=9.0)
    assert (event.root, event.cause, event.depth, event.budget) == (event.number, None, 0, BUDGET)


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_number_tells_apart_where_one_part_ends(one: str, two: str, three: str) -> None:
    assert wire.number_of(one + two, three) != wire.number_of(one, two + three) or "\0" in one + two + three


def test_a_number_fits_where_whole_numbers_have_63_bits() -> None:
    assert all(0 <= wire.number_of(str(n)) < 2**60 for n in range(1000))


@pytest.mark.parametrize(
    ("part", "wrong", "said"),
    [
        ('"root":"e3"', '"root":"3"', "root must be a number like e12, not '3'"),
        ('"cause":"r17"', '"cause":17', "cause must be a number like r12, not 17"),
        ('"depth":4', '"depth":-1', "depth must be a whole number from 0 to 999,999,999, not -1"),
        ('"budget":99', '"budget":null', "budget must be a whole number from 0 to 1,000,000, not None"),
    ],
)
def test_a_lineage_that_is_none_is_refused(part: str, wrong: str, said: str) -> None:
    text = wire.write(EVENT)
    assert part in text
    with pytest.raises(EventError, match=said):
        wire.read(text.replace(part, wrong).encode(), now=9.0)
