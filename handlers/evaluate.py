"""Step 3: compare the challenger with the champion on samples that neither was trained on; the gate decides."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from handlers.app import TIMEOUT, app
from handlers.events import Approved, Declined, Trained
from handlers.features import FeatureStore, held_out
from handlers.registry import Registry, short
from triggers import Context

if TYPE_CHECKING:
    from handlers.model import Scores

MIN_AUC = 0.90
"""What a model must reach to serve at all, champion or not."""
MARGIN = 0.005
"""How much better in AUC a challenger must be: a switch has a cost, and a tie is no reason for one."""
MIN_HELD_OUT = 20
"""Fewer held-out samples than this decide nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says, with the numbers that it looked at."""

    approved: bool
    reason: str
    challenger: "Scores | None" = None
    champion: "Scores | None" = None


@app.on(Trained, reads={"features", "models"}, writes={"reports"}, timeout=TIMEOUT)
def evaluate(event: Trained, ctx: Context) -> Approved | Declined:
    """Judge the challenger against today's champion and write the report."""
    registry = Registry(ctx.place("models"))
    champion = registry.champion()
    verdict = judge(FeatureStore(ctx.place("features")), registry, event.model, champion)
    report = {"model": event.model, "champion_model": champion, "trained_because": event.reason, **asdict(verdict)}
    with ctx.place("reports").output(f"evaluations/{event.as_of:%Y-%m-%dT%H%M}-{short(event.model)}.json") as file:
        file.write(json.dumps(report, indent=1).encode())
    ctx.log.info("%s %s: %s", short(event.model), "approved" if verdict.approved else "declined", verdict.reason)
    return announce(event.model, champion, verdict)


def judge(store: FeatureStore, registry: Registry, challenger: str, champion: str | None) -> Verdict:
    """Score both on the same held-out samples, as the challenger's time knew them, and ask the gate."""
    from handlers import model  # scikit-learn is loaded where it is needed, see there

    if registry.was_rolled_back(challenger):
        return Verdict(False, "this very model was rolled back; train on other data to replace it")
    card = registry.card(challenger)
    rows = store.read(card.as_of, card.partitions)
    rows = rows.take(held_out(rows))
    if len(rows) < MIN_HELD_OUT or len(set(rows.labels.tolist())) < 2:
        return Verdict(False, f"{len(rows)} held-out samples are no test: it takes {MIN_HELD_OUT}, of both diagnoses")
    new, *old = (
        model.score(model.loads(registry.read(name)), rows.values, rows.labels)
        for name in (challenger, champion)
        if name is not None
    )
    return gate(new, old[0] if old else None)


def gate(challenger: "Scores", champion: "Scores | None") -> Verdict:
    """Approve a challenger that is good enough in itself and better than the champion by the margin."""
    if challenger.auc < MIN_AUC:
        return Verdict(False, f"AUC {challenger.auc:.4f} is below the least of {MIN_AUC}", challenger, champion)
    if champion is None:
        return Verdict(True, f"AUC {challenger.auc:.4f}, the first champion", challenger)
    gain = challenger.auc - champion.auc
    said = f"AUC {challenger.auc:.4f} against {champion.auc:.4f}"
    if gain < MARGIN:
        return Verdict(False, f"{said}: {gain:+.4f} is less than the margin of {MARGIN}", challenger, champion)
    return Verdict(True, f"{said}: {gain:+.4f}", challenger, champion)


def announce(model: str, against: str | None, verdict: Verdict) -> Approved | Declined:
    """Return the verdict as the event that follows from it."""
    auc = verdict.challenger.auc if verdict.challenger else None
    champion_auc = verdict.champion.auc if verdict.champion else None
    if verdict.approved and auc is not None:
        return Approved(model=model, against=against, auc=auc, champion_auc=champion_auc, reason=verdict.reason)
    return Declined(model=model, auc=auc, champion_auc=champion_auc, reason=verdict.reason)
