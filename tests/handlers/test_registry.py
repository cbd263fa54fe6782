from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers.drift import Reference
from handlers.registry import Card, Registry, RegistryError, StaleChampion, address, short
from triggers import Place

AT = datetime(2024, 3, 4, tzinfo=UTC)


def add(registry: Registry, data: bytes, rows: int = 1) -> str:
    card = Card(address(data), AT, "test", "run-1", rows, rows, ["p"], "none", Reference([[0.5]], [[0.4, 0.6]], rows))
    registry.add(data, card)
    return card.model


def promote(registry: Registry, data: bytes, against: str | None, effect: str) -> str:
    model = add(registry, data)
    registry.promote(model, against=against, effect=effect, at=AT)
    return model


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Place(tmp_path))


def test_a_new_registry_has_no_champion(registry):
    assert registry.champion() is None
    assert registry.history() == []
    assert registry.cards() == []


def test_a_card_comes_back_as_it_was(registry):
    model = add(registry, b"one", rows=7)
    card = registry.card(model)
    assert (card.as_of, card.rows, card.reference.shares) == (AT, 7, [[0.4, 0.6]])
    assert registry.cards() == [card]
    assert registry.read(model) == b"one"


def test_a_promotion_switches_the_champion_and_keeps_history(registry):
    one = promote(registry, b"one", None, "run-1")
    two = promote(registry, b"two", one, "run-2")
    assert registry.champion() == two
    assert [(entry.action, entry.model, entry.previous) for entry in registry.history()] == [
        ("promoted", one, None),
        ("promoted", two, one),
    ]


def test_a_promotion_that_runs_twice_leaves_one_entry(registry):
    one = promote(registry, b"one", None, "run-1")
    promote(registry, b"one", None, "run-1")
    assert registry.champion() == one
    assert len(registry.history()) == 1


def test_a_retried_promotion_does_not_undo_a_rollback(registry):
    one = promote(registry, b"one", None, "run-1")
    promote(registry, b"two", one, "run-2")
    registry.rollback(at=AT)
    promote(registry, b"two", one, "run-2")
    assert registry.champion() == one


def test_a_challenger_that_was_compared_with_another_champion_is_not_promoted(registry):
    one = promote(registry, b"one", None, "run-1")
    with pytest.raises(StaleChampion, match=f"compared with none, but the champion is {short(one)}"):
        promote(registry, b"two", None, "run-2")
    assert registry.champion() == one


def test_of_many_that_promote_at_once_one_wins(registry):
    models = [add(registry, str(number).encode()) for number in range(8)]

    def race(model: str) -> bool:
        try:
            registry.promote(model, against=None, effect=model, at=AT)
        except StaleChampion:
            return False
        return True

    with ThreadPoolExecutor(len(models)) as pool:
        won = [model for model, first in zip(models, pool.map(race, models), strict=True) if first]
    assert won == [registry.champion()]
    assert len(registry.history()) == 1


def test_a_model_that_is_not_there_or_was_altered_is_never_promoted(registry, tmp_path):
    with pytest.raises(RegistryError, match="no model ffff"):
        registry.promote("f" * 64, against=None, effect="run-1", at=AT)
    model = add(registry, b"one")
    (tmp_path / "objects" / f"{model}.skops").write_bytes(b"evil")
    with pytest.raises(RegistryError, match="was altered"):
        registry.promote(model, against=None, effect="run-1", at=AT)
    assert registry.champion() is None


def test_rolling_back_goes_one_champion_back_each_time(registry):
    one = promote(registry, b"one", None, "run-1")
    two = promote(registry, b"two", one, "run-2")
    three = promote(registry, b"three", two, "run-3")
    assert registry.rollback(at=AT).previous == three
    assert registry.champion() == two
    registry.rollback(at=AT)
    assert registry.champion() == one
    assert registry.was_rolled_back(three)
    assert not registry.was_rolled_back(one)


def test_the_first_champion_cannot_be_rolled_back(registry):
    one = promote(registry, b"one", None, "run-1")
    with pytest.raises(RegistryError, match="no champion to return to"):
        registry.rollback(at=AT)
    assert registry.champion() == one


def test_a_card_must_belong_to_its_model(registry):
    model = add(registry, b"one")
    with pytest.raises(RegistryError, match="does not belong to this model file"):
        registry.add(b"two", registry.card(model))
