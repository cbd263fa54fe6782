"""Step 1: check a file that arrived and store its rows as features."""

from handlers.app import app
from handlers.events import FeaturesStored
from handlers.features import FeatureStore
from handlers.quality import check
from handlers.schema import parse
from triggers import Context, ObjectCreated, Reject, Retry, suffix


# One at a time: a file is compared with all that is stored, so two that contradict each other must not pass together.
@app.on(
    ObjectCreated,
    source="incoming",
    where={"key": suffix(".csv")},
    writes={"features"},
    concurrency=1,
    retry=Retry(on=OSError, attempts=3),
)
def process(event: ObjectCreated, ctx: Context) -> FeaturesStored:
    """Reject a file that breaks the schema or is not believable; store the others.

    A file that came before is stored under the same name, and what follows finds nothing new in it.
    """
    with event.open() as file:
        rows = parse(file.read(), event.key)
    check(rows, event.key, ctx.envelope.time)
    store = FeatureStore(ctx.place("features"))
    if contradicted := store.conflict(rows):
        raise Reject(
            f"{event.key}: sample {contradicted} is stored with other values; a correction needs a later measured_at"
        )
    partition, new = store.append(rows)
    ctx.log.info("%s: %d rows %s", event.key, len(rows), "stored" if new else "were stored before; nothing changes")
    return FeaturesStored(file=event.key, partition=partition, rows=len(rows), as_of=store.latest())
