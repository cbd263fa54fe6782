"""Beside the chain: compare new rows with what the champion was trained on, and raise the alarm once."""

import json
from datetime import datetime, timedelta

from handlers.app import app
from handlers.drift import MIN_ROWS, limit, stability
from handlers.events import DriftDetected, FeaturesStored
from handlers.features import FeatureStore
from handlers.files import write_once
from handlers.registry import Registry
from handlers.schema import moment
from triggers import Context, Place

COOL_DOWN = timedelta(days=7)
"""After an alarm the next must wait this long, in the data's own time: ten drifted files are one drift."""
TOP = 5
"""How many features an alarm names."""


# One at a time: an alarm must be on record before the next file is looked at.
@app.on(FeaturesStored, reads={"features", "models"}, writes={"reports"}, concurrency=1)
def monitor(event: FeaturesStored, ctx: Context) -> DriftDetected | None:
    """Raise `DriftDetected` when features of the new rows have moved and no alarm is fresh."""
    registry = Registry(ctx.place("models"))
    champion = registry.champion()
    if champion is None or event.rows < MIN_ROWS:
        ctx.log.info("no drift check: %s", "no champion yet" if champion is None else f"only {event.rows} rows")
        return None
    card = registry.card(champion)
    if event.partition in card.partitions:
        ctx.log.info("no drift check: the champion was trained with these rows")
        return None
    rows = FeatureStore(ctx.place("features")).partition(event.partition)
    moved = stability(card.reference, rows.values)
    bar = limit(card.reference.rows, len(rows))
    drifted = {name: round(value, 3) for name, value in list(moved.items())[:TOP] if value > bar}
    first, most = next(iter(moved.items()))
    ctx.log.info("PSI at most %.2f (%s), limit %.2f: %s", most, first, bar, "drift" if drifted else "no drift")
    if not drifted:
        return None
    seen, reports = moment(rows.times.max()), ctx.place("reports")
    if alarm := fresh_alarm(reports, seen, ctx.effect_key):
        ctx.log.info("no alarm: cooling down since the one of %s", alarm)
        return None
    record = {"at": seen.isoformat(), "effect": ctx.effect_key, "limit": round(bar, 3), "psi": drifted}
    write_once(reports, f"drift/{event.partition}.json", json.dumps(record, indent=1).encode())
    return DriftDetected(partition=event.partition, as_of=event.as_of, psi=drifted)


def fresh_alarm(reports: Place, seen: datetime, effect: str) -> str | None:
    """Return the time of an alarm within the cool-down of `seen`, unless this very run raised it before."""
    for key in reports.keys("drift/"):
        alarm = json.loads(reports.read(key))
        if alarm["effect"] != effect and abs(seen - datetime.fromisoformat(alarm["at"])) < COOL_DOWN:
            return str(alarm["at"])
    return None
