"""The feature store: immutable partitions, and one way to read them as of a time.

Training and serving read through `FeatureStore.read`, so they see the same values: per sample the newest reading that
was taken at or before `as_of`. A correction is a later reading, never a change. A partition is one file's rows in a
fixed order, named by the SHA-256 of its content: storing it twice changes nothing.
"""

import hashlib
import io
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from handlers.files import write_once
from handlers.schema import FEATURES, Rows, moment, stamp
from triggers import Place


class CorruptPartition(Exception):
    """A partition's content is not what its name says; restore it from a backup, or drop the source file again."""


class FeatureStore:
    """Partitions in a place. Safe for many readers and writers: objects only appear, whole."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def append(self, rows: Rows) -> tuple[str, bool]:
        """Store the rows; return the partition's name and whether it is new."""
        rows = rows.take(np.lexsort((rows.times, rows.ids)))
        name = _address(rows)
        buffer = io.BytesIO()
        np.savez(buffer, ids=rows.ids, times=rows.times, values=rows.values, labels=rows.labels)
        return name, write_once(self.place, _key(name), buffer.getvalue())

    def partitions(self) -> list[str]:
        """Return the names of all partitions, sorted."""
        return [PurePosixPath(key).stem for key in self.place.keys("partitions/")]

    def partition(self, name: str) -> Rows:
        """Return one partition's rows; raises `CorruptPartition` if they are not what was stored."""
        return _load(self.place, name)

    def read(self, as_of: datetime | None = None, partitions: Iterable[str] | None = None) -> Rows:
        """Return the newest reading of each sample at or before `as_of`, sorted by sample.

        With `partitions` only those are read: a model's card names its own, so its training rows can be had again
        even if older readings have arrived since.
        """
        names = self.partitions() if partitions is None else sorted(partitions)
        rows = _concat([self.partition(name) for name in names])
        if as_of is not None:
            rows = rows.take(rows.times <= stamp(as_of))
        rows = rows.take(np.lexsort((rows.times, rows.ids)))
        newest = np.ones(len(rows), dtype=np.bool_)
        newest[:-1] = rows.ids[1:] != rows.ids[:-1]
        return rows.take(newest)

    def latest(self) -> datetime:
        """Return the newest event time in the store; `LookupError` if it is empty."""
        parts = [self.partition(name) for name in self.partitions()]
        if not parts:
            raise LookupError(f"no features in {self.place}")
        return moment(max(part.times.max() for part in parts))

    def conflict(self, rows: Rows) -> str | None:
        """Return a sample that is stored with other values for the same time: history would change."""
        known: dict[tuple[str, datetime], bytes] = {}
        for part in map(self.partition, self.partitions()):
            known.update(_readings(part.take(np.isin(part.ids, rows.ids))))
        for (sample, time), reading in _readings(rows).items():
            if known.get((sample, time), reading) != reading:
                return f"{sample} at {time:%Y-%m-%d %H:%M}"
        return None


def held_out(rows: Rows) -> NDArray[np.bool_]:
    """Return the mask of the samples that no model is trained on: a quarter, by a hash of the sample's id.

    A sample stays on its side for ever, in whatever file it comes again, so every model can be compared on them.
    """
    return np.array([hashlib.sha256(sample.encode()).digest()[0] % 4 == 0 for sample in rows.ids.tolist()], np.bool_)


def _readings(rows: Rows) -> dict[tuple[str, datetime], bytes]:
    return {
        (sample, time): values.tobytes() + label.tobytes()  # as bytes, because NaN is not equal to itself
        for sample, time, values, label in zip(
            rows.ids.tolist(), rows.times.tolist(), rows.values, rows.labels, strict=True
        )
    }


def _key(name: str) -> str:
    return f"partitions/{name}.npz"


def _address(rows: Rows) -> str:
    digest = hashlib.sha256("\n".join((*FEATURES, *rows.ids.tolist())).encode())
    for column in (rows.times.astype("<i8"), rows.values.astype("<f8"), rows.labels.astype("<i1")):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=4096)  # what is named by its content can be kept for as long as there is room
def _load(place: Place, name: str) -> Rows:
    with place.open(_key(name)) as file, np.load(file, allow_pickle=False) as data:  # a pickle could run code
        rows = Rows(data["ids"], data["times"], data["values"], data["labels"])
    if _address(rows) != name:
        raise CorruptPartition(f"{_key(name)} in {place} does not hold what its name says")
    return rows


def _concat(parts: list[Rows]) -> Rows:
    empty = Rows(
        np.empty(0, np.str_), np.empty(0, "datetime64[us]"), np.empty((0, len(FEATURES))), np.empty(0, np.int8)
    )
    return Rows(
        *(
            np.concatenate([getattr(part, column) for part in (empty, *parts)])
            for column in ("ids", "times", "values", "labels")
        )
    )
