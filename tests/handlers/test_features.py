from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.features import CorruptPartition, FeatureStore, held_out
from handlers.schema import moment, stamp
from tests.handlers.conftest import reading
from triggers import Place


def march(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


def values(store: FeatureStore, as_of: datetime | None = None) -> dict[str, float]:
    rows = store.read(as_of)
    return dict(zip(rows.ids.tolist(), rows.values[:, 0].tolist(), strict=True))


def test_a_read_returns_the_newest_reading_at_or_before_the_time(tmp_path):
    store = FeatureStore(Place(tmp_path))
    for row in (reading("A", 1, 1.0), reading("A", 3, 3.0), reading("B", 2, 2.0)):
        store.append(row)
    assert values(store, march(1)) == {"A": 1.0}
    assert values(store, march(2)) == {"A": 1.0, "B": 2.0}
    assert values(store, march(3)) == {"A": 3.0, "B": 2.0}
    assert values(store) == {"A": 3.0, "B": 2.0}


def test_a_late_file_fills_in_the_past_and_changes_no_newer_value(tmp_path):
    store = FeatureStore(Place(tmp_path))
    store.append(reading("A", 3, 3.0))
    late, _ = store.append(reading("A", 1, 1.0))
    assert values(store, march(2)) == {"A": 1.0}
    assert values(store, march(4)) == {"A": 3.0}
    assert late in store.partitions()


def test_a_read_of_named_partitions_does_not_see_what_came_since(tmp_path):
    store = FeatureStore(Place(tmp_path))
    first, _ = store.append(reading("A", 1, 1.0))
    store.append(reading("B", 1, 2.0))
    assert store.read(march(5), [first]).ids.tolist() == ["A"]


def test_the_same_rows_in_another_order_are_the_same_partition(tmp_path, rows):
    store = FeatureStore(Place(tmp_path))
    name, new = store.append(rows)
    again, newer = store.append(rows.take(np.arange(len(rows))[::-1]))
    assert (new, newer) == (True, False)
    assert again == name
    assert store.partitions() == [name]


def test_a_partition_comes_back_as_it_was_stored(tmp_path, rows):
    store = FeatureStore(Place(tmp_path))
    name, _ = store.append(rows)
    np.testing.assert_array_equal(store.partition(name).values, rows.values)
    assert store.latest() == moment(rows.times.max())


def test_an_empty_store_reads_as_no_rows_and_has_no_latest_time(tmp_path):
    store = FeatureStore(Place(tmp_path))
    assert len(store.read(march(1))) == 0
    with pytest.raises(LookupError, match="no features in"):
        store.latest()


def test_an_altered_partition_is_noticed(tmp_path, rows):
    store = FeatureStore(Place(tmp_path))
    name, _ = store.append(rows)
    other, _ = FeatureStore(Place(tmp_path / "other")).append(reading("A", 1, 1.0))
    (tmp_path / "other" / "partitions" / f"{other}.npz").replace(tmp_path / "partitions" / f"{name}.npz")
    with pytest.raises(CorruptPartition, match="does not hold what its name says"):
        store.partition(name)


def test_other_values_for_a_stored_reading_are_a_conflict_and_the_same_values_are_none(tmp_path):
    store = FeatureStore(Place(tmp_path))
    store.append(reading("A", 1, float("nan")))
    assert store.conflict(reading("A", 1, float("nan"))) is None
    assert store.conflict(reading("A", 2, 5.0)) is None
    assert store.conflict(reading("A", 1, 5.0)) == "A at 2024-03-01 00:00"
    assert store.conflict(reading("A", 1, float("nan"), label=1)) == "A at 2024-03-01 00:00"


def test_a_sample_is_held_out_whatever_its_values_are_and_about_a_quarter_is(rows):
    assert held_out(reading("S0001", 1, 1.0)).tolist() == held_out(reading("S0001", 9, 2.0, label=1)).tolist()
    many = np.concatenate([held_out(reading(f"S{number}", 1, 0.0)) for number in range(2000)])
    assert 0.22 < many.mean() < 0.28


@settings(max_examples=40)
@given(
    facts=st.dictionaries(st.tuples(st.sampled_from("ABC"), st.integers(1, 9)), st.floats(0, 9), min_size=1),
    day=st.integers(1, 9),
)
def test_no_read_ever_sees_the_future_or_misses_the_newest_past(tmp_path_factory, facts, day):
    store = FeatureStore(Place(tmp_path_factory.mktemp("store")))
    for (sample, taken), value in facts.items():
        store.append(reading(sample, taken, value))
    expected = {}
    for (sample, taken), value in sorted(facts.items()):
        if taken <= day:
            expected[sample] = value
    seen = store.read(march(day) + timedelta(hours=1))
    assert dict(zip(seen.ids.tolist(), seen.values[:, 0].tolist(), strict=True)) == expected
    assert (seen.times <= stamp(march(day))).all()
