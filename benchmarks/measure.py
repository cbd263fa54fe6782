"""Trials, medians and rows: how a figure is taken, whatever it is about."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Result = dict[str, Any]
Variant = tuple[str, dict[str, Any]]
"""A trial, `MODULE.FUNCTION`, and its arguments."""


TRACES = Path(os.environ.get("TRACES", Path(__file__).parents[2] / "shared" / "data" / "traces"))
"""The folder with the logs and series that are not part of the project."""


SETTINGS = {side: {"synchronous": "full", "journal_mode": "wal"} for side in ("triggers", "huey", "dbos")}
"""What trials assert of each side's own connection; an argument `journal` of a trial is a mode that it had instead."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where and how thoroughly it is measured."""

    folder: Path
    quick: bool = False
    runs: int = 3

    def few(self, most: int, least: int) -> int:
        """Return a count: `most`, or `least` in a quick run."""
        return least if self.quick else most


@dataclass(slots=True)
class Row:
    """One line of the table. `better` is `more` or `less`; a ratio above 1 always speaks for triggers."""

    figure: str
    unit: str
    better: str
    target: float | None
    triggers: list[float]
    peers: dict[str, list[float]] = field(default_factory=dict)
    target_ratio: float | None = None
    """How many times better than huey triggers has to be."""
    note: str = ""

    def medians(self) -> dict[str, float]:
        """Return the median of each side that was measured."""
        sides = {"triggers": self.triggers, **self.peers}
        return {side: statistics.median(found) for side, found in sides.items()}

    def ratios(self) -> dict[str, float]:
        """Return how many times better triggers does than each peer, where neither did nothing."""
        found = self.medians()
        ours = found.pop("triggers")
        more = self.better == "more"
        return {side: ours / theirs if more else theirs / ours for side, theirs in found.items() if ours and theirs}

    def met(self) -> bool | None:
        """Say whether the target is met, None where there is none."""
        if self.target is None:
            return None
        ours = self.medians()["triggers"]
        reached = ours >= self.target if self.better == "more" else ours <= self.target
        return reached and (self.target_ratio is None or self.ratios().get("huey", 0.0) >= self.target_ratio)


@dataclass(slots=True)
class Report:
    """What one benchmark found: its rows, and every trial with its arguments and result."""

    rows: list[Row]
    trials: list[dict[str, Any]]


class Trials:
    """Runs trials, each in a process and a folder of its own, and keeps what they found."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.done: list[dict[str, Any]] = []

    def run(self, name: str, **arguments: Any) -> Result:
        """Carry out one trial."""
        folder = Path(tempfile.mkdtemp(dir=self.setup.folder))
        try:
            text = json.dumps({"folder": str(folder / "work"), **arguments})
            (folder / "work").mkdir()
            command = [sys.executable, "-m", "benchmarks.trial", name, text]
            result = _carried_out(command)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.done.append({"trial": name, "arguments": arguments, "load": os.getloadavg()[0], "result": result})
        return result

    def best(self, variants: Sequence[Variant], key: str, **fewer: Any) -> Variant:
        """Return the variant with the highest `key` in a short trial of each, so that both sides get their best."""
        if len(variants) == 1:
            return variants[0]
        tried = [(self.run(name, **{**arguments, **fewer})[key], name, arguments) for name, arguments in variants]
        _, name, arguments = max(tried, key=lambda one: float(one[0]))
        return name, arguments

    def beside(self, *variants: Variant) -> list[list[Result]]:
        """Run the variants in turn, A B A B, and return the results of each."""
        results: list[list[Result]] = [[] for _ in variants]
        for _ in range(self.setup.runs):
            for found, (name, arguments) in zip(results, variants, strict=True):
                found.append(self.run(name, **arguments))
        return results


Benchmark = Callable[[Trials], list[Row]]


def _carried_out(command: Sequence[str]) -> Result:
    """Run a trial and return what it printed. Whatever it started ends with it, or it would disturb the next one."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=600)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors}")
    result: Result = json.loads(output.splitlines()[-1])
    return result


def take(results: Sequence[Result], key: str) -> list[float]:
    """Return one value of each result."""
    return [float(result[key]) for result in results]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def machine(folder: Path) -> dict[str, Any]:
    """Return what a reader must know of the machine and the versions to judge the figures."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return {
        "commit": _commit(),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model or platform.machine(),
        "kernel": platform.release(),
        "file_system": file_system(folder),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("triggers-ml", "huey", "dbos", "apsw", "pydantic")},
        "sqlite": _sqlite(),
        "load_at_start": os.getloadavg()[0],
    }


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(place, kind) for place, kind in mounts if folder.resolve().is_relative_to(place)]
    return max(holding, key=lambda one: len(one[0]), default=("", "unknown"))[1]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


@cache
def _commit() -> str:
    """Return the commit that is measured, with a + where files differ from it; nothing outside of a checkout.

    It is asked once: the raw data, which changes while it is taken, is a file of the checkout itself.
    """
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--abbrev=12",
        "--dirty=+",
        "--exclude=*",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _sqlite() -> dict[str, str]:
    import sqlite3

    import apsw

    from benchmarks.dbos_peer import sqlite

    used = {"triggers": apsw.sqlite_lib_version(), "huey": sqlite3.sqlite_version}
    with suppress(ImportError):
        used["dbos"] = sqlite().sqlite_version
    return used


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as plain data, with what follows from them."""
    return [{**asdict(row), "medians": row.medians(), "ratios": row.ratios(), "met": row.met()} for row in rows]
