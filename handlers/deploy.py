"""Step 4: make an approved challenger the champion, in one atomic switch."""

from handlers.app import app
from handlers.evaluate import announce, judge
from handlers.events import Approved, Declined, Deployed
from handlers.features import FeatureStore
from handlers.registry import Registry, StaleChampion, short
from triggers import Context, Retry


# A rollback by hand may come between the look at the champion and the switch; then look again.
@app.on(
    Approved,
    reads={"features"},
    writes={"models"},
    concurrency=1,
    retry=Retry(on=(OSError, StaleChampion), attempts=3),
)
def deploy(event: Approved, ctx: Context) -> Deployed | Declined:
    """Switch to the model. If another champion came meanwhile, or the model was rolled back, the gate decides anew.

    Running twice leaves one entry in the history, because the run's key names the switch.
    """
    registry = Registry(ctx.place("models"))
    done = any(entry.effect == ctx.effect_key for entry in registry.history())
    against, approved = event.against, event
    live = registry.champion()
    if not done and (live != event.against or registry.was_rolled_back(event.model)):
        verdict = announce(event.model, live, judge(FeatureStore(ctx.place("features")), registry, event.model, live))
        if isinstance(verdict, Declined):
            ctx.log.info("%s not deployed: %s", short(event.model), verdict.reason)
            return verdict
        against, approved = live, verdict
    entry = registry.promote(
        event.model, against=against, effect=ctx.effect_key, at=ctx.envelope.time, reason=approved.reason
    )
    ctx.log.info("champion is %s now, before: %s", short(entry.model), short(entry.previous))
    return Deployed(model=event.model, previous=entry.previous, auc=approved.auc)
