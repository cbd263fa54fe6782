"""Quantities as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.errors import WiringError
from triggers.quantities import as_text, in_bytes, quantity, rounded_up


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1.25 * 2**30, "1.25GiB"), (2**30 - 1, "1GiB"),
        (1000 * 2**20, "1000MiB"), (2.5 * 2**40, "2.5TiB"),
    ],
)  # fmt: skip
def test_bytes_are_shown_in_three_digits(amount: float, text: str) -> None:
    assert in_bytes(amount) == text


def test_memory_is_shown_in_bytes_and_all_else_as_a_number() -> None:
    assert (as_text("memory", 2**31), as_text("cpu", 1.5)) == ("2GiB", "1.5")


@given(st.floats(2**10, 2**50))
def test_an_amount_that_is_rounded_up_is_little_more_and_what_is_shown_of_it_is_read_back(amount: float) -> None:
    more = rounded_up(amount)
    assert amount * (1 - 1e-9) <= more <= 1.11 * amount + 1
    assert quantity("a", "memory", in_bytes(more)) == pytest.approx(more, rel=1e-9)


@pytest.mark.parametrize(("name", "value"), [("cpu", None), ("cpu", [1]), (1, 1)])
def test_what_is_no_quantity_or_no_name_is_refused(name: Any, value: Any) -> None:
    with pytest.raises(WiringError, match=r"route 'job': .*write"):
        quantity("route 'job'", name, value)
