"""Every morning: one small file that says how the pipeline is, for a dashboard or a person."""

import json
from datetime import datetime
from typing import Any

from handlers.app import app
from handlers.features import FeatureStore
from handlers.registry import Registry
from handlers.schema import moment
from triggers import Context, Tick, cron


@app.on(cron("0 6 * * *", timezone="Europe/Berlin"), reads={"features", "models"}, writes={"reports"})
def report(event: Tick, ctx: Context) -> None:
    """Write `reports/health.json`."""
    health = summary(FeatureStore(ctx.place("features")), Registry(ctx.place("models")), event.due)
    with ctx.place("reports").output("health.json") as file:
        file.write(json.dumps(health, indent=1).encode())


def summary(store: FeatureStore, registry: Registry, due: datetime) -> dict[str, Any]:
    """Return who is champion and how old the data is, in days."""
    champion, rows = registry.champion(), store.read(due)
    newest = moment(rows.times.max()) if len(rows) else None
    return {
        "due": due.isoformat(),
        "champion": champion,
        "champion_as_of": registry.card(champion).as_of.isoformat() if champion else None,
        "switches": len(registry.history()),
        "samples": len(rows),
        "newest_reading": newest.isoformat() if newest else None,
        "data_age_days": (due - newest).days if newest else None,
    }
