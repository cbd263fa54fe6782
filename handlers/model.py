"""The model: fit, score, and the file format that is safe to load. The only module that needs scikit-learn.

Steps import it when they run, not at the top: whoever only looks at the pipeline, or checks a file, need not wait
for a second while scikit-learn is loaded.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

VERSION: str = sklearn.__version__
TRUSTED = frozenset({"numpy.dtype"})
"""What a model file may name besides the types that skops itself trusts: array types, which hold no code."""


class UntrustedModel(Exception):
    """A model file names types that we do not load; train the model again instead of trusting it."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How a model did on rows that it never saw."""

    auc: float
    accuracy: float
    log_loss: float
    rows: int


def fit(values: NDArray[np.float64], labels: NDArray[np.int8]) -> Any:
    """Return a fitted pipeline. The same rows give the same model: nothing in it is left to chance."""
    pipeline = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=1000, random_state=0)),
        ]
    )
    return pipeline.fit(values, labels)


def probabilities(model: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of the positive class (malignant) for each row."""
    return np.asarray(model.predict_proba(values)[:, 1], dtype=np.float64)


def score(model: Any, values: NDArray[np.float64], labels: NDArray[np.int8]) -> Scores:
    """Return the scores on these rows; they must hold both classes."""
    chance = probabilities(model, values)
    return Scores(
        auc=float(roc_auc_score(labels, chance)),
        accuracy=float(accuracy_score(labels, chance >= 0.5)),
        log_loss=float(log_loss(labels, chance, labels=[0, 1])),
        rows=len(labels),
    )


def dumps(model: Any) -> bytes:
    """Return the model as a skops file, the same bytes for the same model.

    skops writes the time and memory addresses into its archive. Numbering the addresses and fixing the time makes the
    content a name: a step that runs twice stores one model.
    """
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    ids: dict[int, int] = {}
    files: dict[str, str] = {}
    schema = json.dumps(_numbered(json.loads(source.read("schema.json")), ids, files))
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as target:
        for old, new in files.items():
            target.writestr(zipfile.ZipInfo(new), source.read(old))
        target.writestr(zipfile.ZipInfo("schema.json"), schema)
    return result.getvalue()


def loads(data: bytes) -> Any:
    """Return the model in a skops file, or raise `UntrustedModel`: unlike a pickle, it runs no code of its own."""
    strange = set(skops.io.get_untrusted_types(data=data)) - TRUSTED
    if strange:
        raise UntrustedModel(f"the model file names types that are not trusted: {', '.join(sorted(strange))}")
    return skops.io.loads(data, trusted=sorted(TRUSTED))


def _numbered(node: Any, ids: dict[int, int], files: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_numbered(item, ids, files) for item in node]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__":
            result[key] = ids.setdefault(value, len(ids) + 1)
        elif key == "file":
            suffix = value.rpartition(".")[2]
            result[key] = files.setdefault(value, f"{len(files) + 1}.{suffix}")
        else:
            result[key] = _numbered(value, ids, files)
    return result
