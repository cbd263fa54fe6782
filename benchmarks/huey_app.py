"""huey's consumer as a process of its own: `python -m benchmarks.huey_app FOLDER WORKERS DELAY MAX_DELAY`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import peer


def work_task(huey: Any) -> Any:
    """Register the task of the crash figure: what `benchmarks.apps.work` is to triggers."""

    @huey.task()  # type: ignore[untyped-decorator]
    def work(payload: dict[str, Any]) -> None:
        from benchmarks.apps import HANDLER_SECONDS, note

        note(payload["number"])
        time.sleep(HANDLER_SECONDS)

    return work


def main(folder: str, workers: str, delay: str, max_delay: str) -> None:
    """Consume until killed, or until who started it is gone: a poller that is left behind spoils all figures after."""
    parent = os.getppid()
    huey = peer.opened(Path(folder))
    work_task(huey)
    with peer.consuming(huey, int(workers), float(delay), float(max_delay)):
        while os.getppid() == parent:
            time.sleep(1)


if __name__ == "__main__":
    from benchmarks import huey_app  # a task's name holds its module's, which must not be __main__

    huey_app.main(*sys.argv[1:])
