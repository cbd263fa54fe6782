"""What a fresh process pays: the import of an app's names over pydantic alone, and the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CASES = {
    "bare": [sys.executable, "-c", "pass"],
    "pydantic": [sys.executable, "-c", "from pydantic import BaseModel\nclass Made(BaseModel):\n    number: int"],
    "triggers": [
        sys.executable,
        "-c",
        "from triggers import App, Event, Folder, ObjectCreated, Retry\nclass Made(Event):\n    number: int",
    ],
    "huey": [sys.executable, "-c", "from huey import SqliteHuey"],
    "dbos": [sys.executable, "-c", "from dbos import DBOS"],
    "version": [str(Path(sys.executable).with_name("triggers")), "--version"],
    "huey_help": [str(Path(sys.executable).with_name("huey_consumer")), "--help"],
}


def wall(folder: Path, rounds: int) -> dict[str, Any]:
    """Start each case in turn, `rounds` times, and return the milliseconds of each."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for name, command in CASES.items():
        subprocess.run(command, check=True, capture_output=True, cwd=folder)  # once before: compiled files, page cache
        assert name
    for _ in range(rounds):
        for name, command in CASES.items():
            begin = time.monotonic()
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
            found[name].append(1000 * (time.monotonic() - begin))
    return found
