from __future__ import annotations

from dataclasses import replace

from tests.sources.site import FakeSite
from triggers.sources import Delivery


def test_what_is_unique_is_new_only_with_an_identity_and_a_memory_that_are_new() -> None:
    site = FakeSite()
    first = Delivery("timer", "one@1", "Tick", "{}", 1.0, memory=(b"one", b"1"), unique=True)
    later = replace(first, id="one@2", memory=(b"one", b"2"))
    assert site.commit([first, first, later]) == [first, later]
    assert site.commit([replace(first, memory=(b"one", b"3")), replace(later, id="one@3", memory=(b"one", b"3"))]) == []
    assert site.ledger["timer", b"one"] == b"3"
    changed = replace(first, memory=(b"one", b"4"), unique=False)
    assert site.commit([changed, changed]) == [changed]
