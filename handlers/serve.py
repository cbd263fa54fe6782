"""Answer with the champion. It reads features exactly as training does, so a score means what the evaluation said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from handlers.features import FeatureStore
from handlers.registry import Registry, RegistryError
from handlers.schema import moment


@dataclass(frozen=True, slots=True)
class Prediction:
    """The probability that a sample is malignant, by which model and from which reading."""

    sample: str
    malignant: float
    model: str
    measured_at: datetime


def predict(
    store: FeatureStore, registry: Registry, samples: Sequence[str], as_of: datetime | None = None
) -> list[Prediction]:
    """Return a prediction for each sample from its newest reading at `as_of`; `LookupError` names the unknown ones."""
    from handlers import model  # scikit-learn is loaded where it is needed, see there

    champion = registry.champion()
    if champion is None:
        raise RegistryError("there is no champion yet; drop more data")
    rows = store.read(as_of)
    unknown = sorted(set(samples) - set(rows.ids.tolist()))
    if unknown:
        raise LookupError(f"no reading of {', '.join(unknown)} at that time")
    rows = rows.take(np.searchsorted(rows.ids, np.array(samples, dtype=np.str_)))  # `read` sorts by sample
    chances = model.probabilities(model.loads(registry.read(champion)), rows.values)
    return [
        Prediction(sample, chance, champion, moment(time))
        for sample, chance, time in zip(rows.ids.tolist(), chances.tolist(), rows.times, strict=True)
    ]
