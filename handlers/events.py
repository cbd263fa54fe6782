"""What happens in this pipeline: the facts that its steps hand to each other."""

from datetime import datetime

from triggers import Event


class FeaturesStored(Event):
    """A file passed its checks and its rows are in the feature store.

    `as_of` is the newest event time in the store just then: what comes after reads the store as of that time, so
    that it sees the same rows however late it runs.
    """

    file: str
    partition: str
    rows: int
    as_of: datetime


class DriftDetected(Event):
    """New rows no longer look like the champion's training rows. `psi` holds the features that moved most."""

    partition: str
    as_of: datetime
    psi: dict[str, float]


class Trained(Event):
    """A challenger was fitted and stored; `model` is the SHA-256 of its file."""

    model: str
    as_of: datetime
    rows: int
    reason: str


class Approved(Event):
    """The challenger passed the gate against the champion `against` (none for the first model)."""

    model: str
    against: str | None
    auc: float
    champion_auc: float | None
    reason: str


class Declined(Event):
    """The challenger did not pass the gate; the champion stays."""

    model: str
    auc: float | None
    champion_auc: float | None
    reason: str


class Deployed(Event):
    """The model is the champion now: what `serve` answers with."""

    model: str
    previous: str | None
    auc: float
