"""DBOS as a process of its own: `python -m benchmarks.dbos_app FOLDER WORKERS POLL`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.dbos_peer import launched, workflow


def work(payload: dict[str, Any]) -> None:
    """Do what `benchmarks.apps.work` does."""
    from benchmarks.apps import HANDLER_SECONDS, note

    note(payload["number"])
    time.sleep(HANDLER_SECONDS)


def main(folder: str, workers: str, poll: str) -> None:
    """Work until killed, or until who started it is gone."""
    parent = os.getppid()
    workflow(work)
    with launched(Path(folder), int(workers), float(poll)):
        while os.getppid() == parent:
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
