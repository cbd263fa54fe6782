"""Files compiled beforehand: in Lambda nothing can be written beside them, so that each cold start would compile anew.

Measured, that is half a second for pydantic alone. The bytecode is never compared with its source, and the same files
make the same bytecode.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from triggers.aws.entries import Entry


def compiled(entries: Mapping[str, Entry], python: str) -> dict[str, Entry]:
    """Return the bytecode of files, by its places, for a version of Python; none where that is not on this machine."""
    interpreter = _interpreter(python)
    if interpreter is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="triggers-bytecode-") as name:
        folder = Path(name)
        for place, entry in entries.items():
            if place.endswith(".py"):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / place).write_bytes(entry.read())
        _compile(interpreter, folder)
        made = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.pyc"))}
    return {place: Entry(len(data), partial(bytes, data)) for place, data in made.items()}


def _interpreter(python: str) -> str | None:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return shutil.which(f"python{python}")


def _compile(interpreter: str, folder: Path) -> None:
    """Compile in a process of its own: what another has in memory would leave traces. What is no code is skipped."""
    command = [interpreter, "-s", "-S", "-P", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [*command, "-s", str(folder), str(folder)],
        env={"PYTHONHASHSEED": "0"},
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


__all__ = ["compiled"]
