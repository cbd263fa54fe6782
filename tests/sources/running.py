"""An app over a folder as another process, in a test's hands."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triggers.journal.views import open_reader
from triggers.state import StateFolder

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds that an app may take for a test


class Intake:
    """A running app over a folder, as another process."""

    def __init__(self, prefix: Sequence[str], home: Path, root: Path, options: dict[str, Any]) -> None:
        self._home = home
        self._log = home / "stderr"
        command = [*prefix, sys.executable, "-m", "tests.sources.intake", str(home / "state"), str(root)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, json.dumps(options)], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )

        self._patience = threading.Timer(PATIENCE, self.process.kill)
        self._patience.start()

    def next(self, number: int = 1) -> list[str]:
        """Return the next lines that it prints, sorted."""
        assert self.process.stdout
        return sorted(self.process.stdout.readline().rstrip("\n") for _ in range(number))

    def warnings(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        self._patience.cancel()
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()

    def keys(self) -> list[str]:
        """Return the keys of all files that are in its journal as created."""
        connection = open_reader(StateFolder(self._home / "state"))
        rows = connection.execute("SELECT subject FROM event WHERE type = 'ObjectCreated' ORDER BY number")
        found = [subject for (subject,) in rows]
        connection.close()
        return found
