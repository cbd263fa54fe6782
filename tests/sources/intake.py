"""An app over one folder in a process of its own: `python -m tests.sources.intake STATE ROOT [JSON]`.

It prints a line for each event that a handler was given, `created KEY` or `deleted KEY`, and `idle` when it has told
all that it found at the start. With the option `test_read` it reads what was created, and prints `whole KEY`,
`partial KEY` or `refused KEY`. The JSON holds options of the folder, and for those that begin with `test_`: how many
seconds the source takes for what it does unasked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from benchmarks.producers import is_whole
from triggers import App, Folder, ObjectCreated, ObjectDeleted, Reject
from triggers.engine import Engine
from triggers.sources import waitlist, watch
from triggers.state import StateFolder


def look(event: ObjectCreated) -> str:
    try:
        with event.open() as file:
            return "whole" if is_whole(file.read()) else "partial"
    except Reject:
        return "refused"


async def main(state: str, root: str, text: str = "{}") -> None:
    options = json.loads(text)
    waitlist.AGAIN = options.pop("test_again", waitlist.AGAIN)
    watch._REVIEW = options.pop("test_review", watch._REVIEW)
    read = options.pop("test_read", False)
    app = App("intake", sources=[Folder(root, name="in", **options)])

    @app.on(ObjectCreated)
    async def created(event: ObjectCreated) -> None:
        print(await asyncio.to_thread(look, event) if read else "created", event.key, flush=True)

    @app.on(ObjectDeleted)
    async def deleted(event: ObjectDeleted) -> None:
        print("deleted", event.key, flush=True)

    async with Engine(app, StateFolder(state)) as engine:
        await engine.quiet()
        print("idle", flush=True)
        await engine.forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    asyncio.run(main(*sys.argv[1:]))
