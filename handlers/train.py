"""Step 2: train a challenger, when enough new rows have come or when the data has drifted."""

from collections.abc import Iterable

from handlers.app import TIMEOUT, app
from handlers.drift import reference
from handlers.events import DriftDetected, FeaturesStored, Trained
from handlers.features import FeatureStore, held_out
from handlers.registry import Card, Registry, address, short
from handlers.schema import Rows, stamp
from triggers import Context

MIN_ROWS = 150
"""The fewest samples for a first model: with 30 features, fewer give a lottery."""
RETRAIN_ROWS = 100
"""How many new samples make a new challenger worth its training."""


# One at a time, so that a burst of files does not train the same rows twice.
@app.on(FeaturesStored, reads={"features"}, writes={"models"}, needs={"cpu": 1}, concurrency=1, timeout=TIMEOUT)
def train(event: FeaturesStored, ctx: Context) -> Trained | None:
    """Train on all that was known at the event's time, if enough of it is new."""
    store, registry = FeatureStore(ctx.place("features")), Registry(ctx.place("models"))
    if done := finished(registry, ctx.effect_key):
        return done
    rows = store.read(event.as_of)
    reason, wait = due(len(rows), max((card.rows for card in registry.cards()), default=0))
    if wait:
        ctx.log.info("not training: %s", wait)
        return None
    return challenger(rows, event, reason, ctx)


# Drift cannot wait behind the routine, so it has its own route; its priority puts it first.
@app.on(
    DriftDetected, reads={"features"}, writes={"models"}, needs={"cpu": 1}, concurrency=1, timeout=TIMEOUT, priority=1
)
def retrain(event: DriftDetected, ctx: Context) -> Trained | None:
    """Train because the data has moved, unless a model has seen the new rows already."""
    store, registry = FeatureStore(ctx.place("features")), Registry(ctx.place("models"))
    if done := finished(registry, ctx.effect_key):
        return done
    if any(event.partition in card.partitions for card in registry.cards()):
        ctx.log.info("not retraining: a model was trained with these rows already")
        return None
    return challenger(store.read(event.as_of), event, f"drift in {', '.join(event.psi)}", ctx)


def due(rows: int, trained: int) -> tuple[str, str]:
    """Return why to train now, or why to wait; one of the two is empty. `trained` is what the newest model knew."""
    if 0 < rows <= trained:  # a duplicate, or files that did not come in the order of their times
        return "", "the newest model knows all these samples"
    if rows < MIN_ROWS:
        return "", f"{rows} samples so far, the first model needs {MIN_ROWS}"
    if not trained:
        return f"the first {rows} samples", ""
    if rows - trained < RETRAIN_ROWS:
        return "", f"{rows - trained} new samples since the newest model, the next needs {RETRAIN_ROWS}"
    return f"{rows - trained} new samples", ""


def finished(registry: Registry, effect: str) -> Trained | None:
    """Return what an earlier attempt of this run has trained: it may have ended after its work and before its word."""
    for card in registry.cards():
        if card.effect == effect:
            return Trained(model=card.model, as_of=card.as_of, rows=card.trained_on, reason=card.reason)
    return None


def challenger(rows: Rows, event: FeaturesStored | DriftDetected, reason: str, ctx: Context) -> Trained | None:
    """Fit a model on the rows that are not held out, and store it with its card."""
    from handlers import model  # scikit-learn is loaded where it is needed, see there

    fitting = rows.take(~held_out(rows))
    if len(set(fitting.labels.tolist())) < 2:
        ctx.log.info("not training: all %d samples have the same diagnosis", len(fitting))
        return None
    data = model.dumps(model.fit(fitting.values, fitting.labels))
    store = FeatureStore(ctx.place("features"))
    card = Card(
        model=address(data),
        as_of=event.as_of,
        reason=reason,
        effect=ctx.effect_key,
        rows=len(rows),
        trained_on=len(fitting),
        partitions=known(store, store.partitions(), event),
        library=f"scikit-learn {model.VERSION}",
        reference=reference(fitting.values),
    )
    Registry(ctx.place("models")).add(data, card)
    ctx.log.info("trained %s on %d samples: %s", short(card.model), len(fitting), reason)
    return Trained(model=card.model, as_of=event.as_of, rows=len(fitting), reason=reason)


def known(store: FeatureStore, names: Iterable[str], event: FeaturesStored | DriftDetected) -> list[str]:
    """Return the partitions that have rows at or before the event's time."""
    return [name for name in names if (store.partition(name).times <= stamp(event.as_of)).any()]
