"""What the tests of the pipeline share: folders, sample data, and a run's context without an engine."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from handlers import sample
from handlers.app import place
from handlers.events import Deployed, FeaturesStored, Trained
from handlers.features import FeatureStore
from handlers.process import process
from handlers.registry import Registry
from handlers.schema import FEATURES, Rows, parse, stamp
from triggers import ObjectCreated, Place
from triggers.content import content_version
from triggers.context import Context
from triggers.events import Envelope

PLACES = ("features", "models", "reports")
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


@dataclass
class Lab:
    """The pipeline's folders, and its steps called by hand. `context()` is one run; the same effect is a retry."""

    home: Path | str
    numbers: "count[int]"

    @property
    def store(self) -> FeatureStore:
        return FeatureStore(self.places["features"])

    @property
    def registry(self) -> Registry:
        return Registry(self.places["models"])

    def context(self, effect: str | None = None) -> Context:
        number = next(self.numbers)
        envelope = Envelope(number, f"e{number}", "test", "Test", 1, None, NOW, None, "e1", 0, 100)
        return Context(
            envelope, "step", f"r{number}", 1, effect or f"run-{number}", writes=frozenset(PLACES), places=self.places
        )

    @property
    def places(self) -> dict[str, Place]:
        return {name: place(name, self.home) for name in (*PLACES, "incoming")}

    def arrive(self, name: str, text: str) -> FeaturesStored:
        sample.drop({name: text}, self.places["incoming"])
        return process(self.told(name), self.context())

    def told(self, name: str) -> ObjectCreated:
        """The event of a file in `incoming`."""
        path = self.places["incoming"].path / name
        status = path.stat()
        return ObjectCreated(key=name, uri=path.as_uri(), size=status.st_size, version=content_version(status))

    def arrive_all(self, files: dict[str, str]) -> list[FeaturesStored]:
        return [self.arrive(name, text) for name, text in files.items()]

    def deploy_first(self) -> Deployed:
        """Bring the first three files through the whole chain."""
        from handlers.deploy import deploy
        from handlers.evaluate import evaluate
        from handlers.events import Approved
        from handlers.train import train

        stored = self.arrive_all(dict(list(sample.regular().items())[:3]))[-1]
        trained = train(stored, self.context())
        assert isinstance(trained, Trained)
        approved = evaluate(trained, self.context())
        assert isinstance(approved, Approved)
        deployed = deploy(approved, self.context())
        assert isinstance(deployed, Deployed)
        return deployed


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, count(1))


@pytest.fixture(scope="session")
def text() -> str:
    """The first sample file."""
    return next(iter(sample.regular().values()))


@pytest.fixture
def rows(text: str) -> Rows:
    return parse(text.encode(), "first.csv")


@pytest.fixture
def edit(text: str) -> Callable[[int, str, str], bytes]:
    """Return the first file with one value replaced: row (from 1), column, new text."""

    def replace(row: int, column: str, value: str) -> bytes:
        lines = [line.split(",") for line in text.splitlines()]
        lines[row][lines[0].index(column)] = value
        return "\n".join(",".join(line) for line in lines).encode()

    return replace


def reading(sample: str, day: int, value: float, label: int = 0) -> Rows:
    """Return one row: a sample read on that day of March 2024, all features the same."""
    taken = stamp(datetime(2024, 3, day, tzinfo=UTC))
    return Rows(
        np.array([sample]),
        np.array([taken]),
        np.full((1, len(FEATURES)), value),
        np.array([label], dtype=np.int8),
    )
