"""The pipeline on an AWS that is emulated here: objects are put into S3, and the model that comes of them is promoted.

python -m handlers aws              by a dispatcher that polls the emulated queues
python -m handlers aws --lambda     by the functions that would be deployed, under Lambda's own runtime client
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from handlers import sample
from handlers.app import app, place
from handlers.registry import Registry, short
from handlers.runner import EngineFailed

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PATIENCE = 600.0
"""Seconds until a story that has no end is given up: functions read their libraries from the disk each time."""

_AT = re.compile(r"AWS is emulated at (\S+);.* incoming is (s3://\S+)/incoming")
_EXPORTED = re.compile(r"([A-Z_]+)=(\S+)")


class Emulation:
    """`triggers run --aws` as a process, what it says shown as it comes; within a `with`."""

    def __init__(self, *, functions: bool) -> None:
        how = ["--lambda", "--requirement", str(REQUIREMENTS)] if functions else []
        self._command = [sys.executable, "-m", "triggers", "run", "handlers", "--aws", *how]
        self._ready = threading.Event()
        self.home = ""

    def __enter__(self) -> str:
        """Return the URI of the bucket, once it is there."""
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()
        self._ready.wait(PATIENCE)
        if not self.home:
            raise EngineFailed("the emulation did not start; what it said stands above")
        return self.home

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def _listen(self) -> None:
        assert self._process.stderr
        home = ""
        for line in self._process.stderr:
            print(line, end="", file=sys.stderr)
            if found := _AT.search(line):
                home = found[2]
            elif home and line.startswith("  export"):
                os.environ.update(_EXPORTED.findall(line))
                self.home = home
                self._ready.set()
        self._ready.set()


def tell(*, functions: bool) -> bool:
    """Drop the regular files into S3, and say whether a model was promoted."""
    emulation = Emulation(functions=functions)
    with emulation as home:
        registry, end = Registry(place("models", home)), time.monotonic() + PATIENCE
        for dropped in sample.drop(sample.regular(), place("incoming", home)):
            print(f"put {dropped}")
        while (model := registry.champion()) is None and emulation.alive() and time.monotonic() < end:
            time.sleep(1)
    if model is None:
        return False
    print(
        f"\n{app.name}: model {short(model)} was trained, evaluated and promoted, and nothing of it lies on this disk"
    )
    return True
