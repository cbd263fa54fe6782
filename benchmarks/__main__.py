"""`python -m benchmarks`: take the README's figures, or those named, print the table and write the raw data."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chart import draw
from benchmarks.compared import COMPARED
from benchmarks.figures import BENCHMARKS
from benchmarks.measure import SETTINGS, Row, Setup, Trials, as_json, file_system, machine
from benchmarks.readme import number, updated

HERE = Path(__file__).parent
LATEST = HERE / "results" / "latest.json"
CHART = HERE.parent / "docs" / "benchmarks.svg"
PEERS = ("huey", "dbos")
PAGE = HERE.parent / "README.md"


def main() -> int:
    """Run the command line."""
    options = _options()
    if options.names == ["publish"]:
        return _publish(options.out or LATEST)
    if options.names == ["all"]:
        options.names = list(BENCHMARKS)
    if unknown := set(options.names) - set(BENCHMARKS):
        print(f"no benchmark {min(unknown)!r}; there are {', '.join(BENCHMARKS)}, all and publish", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="work-", dir=options.dir, ignore_cleanup_errors=True) as folder:
        if file_system(Path(folder)) in ("tmpfs", "ramfs"):
            print(f"{folder} is in memory, where nothing is durable; name a folder on a disk, --dir", file=sys.stderr)
            return 2
        target = options.out or (None if options.quick else LATEST)
        _measure(Setup(Path(folder), options.quick, options.runs), options.names or list(COMPARED), target)
    if target:
        print(f"\nraw data: {target}")
    return 0


def _publish(source: Path) -> int:
    """Draw the chart and write the README's table, from raw data."""
    if not source.exists():
        print(f"no raw data in {source}; `python -m benchmarks` takes it first", file=sys.stderr)
        return 2
    document = json.loads(source.read_text())
    CHART.write_text(draw(document))
    PAGE.write_text(updated(PAGE.read_text(), document))
    print(f"{CHART}\n{PAGE}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all; or publish")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works; not written down")
    parser.add_argument("--runs", type=int, default=3, help="trials of each side, taken in turn [3]")
    parser.add_argument("--dir", type=Path, default=HERE, help="where the work folders are made; must be on a disk")
    parser.add_argument("--out", type=Path, help="where the raw data is written, or read by publish")
    return parser.parse_args()


def _measure(setup: Setup, names: Sequence[str], target: Path | None) -> None:
    """Take the figures, and write down each when it is there, so that an end in the midst loses none."""
    document: dict[str, Any] = {
        "machine": machine(setup.folder),
        "quick": setup.quick,
        "runs": setup.runs,
        "settings": SETTINGS,
        "benchmarks": _known(target),
    }
    print(f"{'figure':46} {'target':>9} {'triggers':>11} {'huey':>11} {'ratio':>8} {'DBOS':>11} {'ratio':>8}")
    for name in names:
        trials = Trials(setup)
        rows = BENCHMARKS[name](trials)
        for row in rows:
            print(_line(row), flush=True)
        document["benchmarks"][name] = {"machine": machine(setup.folder), "rows": as_json(rows), "trials": trials.done}
        if target:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(document, indent=1) + "\n")


def _known(target: Path | None) -> dict[str, Any]:
    """Return the figures of an earlier run: those not taken this time are kept, each with its own machine and date."""
    if not target or not target.exists():
        return {}
    known: dict[str, Any] = json.loads(target.read_text())["benchmarks"]
    return known


def _line(row: Row) -> str:
    medians, ratios = row.medians(), row.ratios()
    cells = [
        f"{row.figure + (f' [{row.unit}]' if row.unit else ''):46}",
        f"{_cell(row.target):>9}",
        f"{_cell(medians['triggers']):>11}",
        *(f"{_cell(medians.get(peer)):>11} {f'{ratios[peer]:.1f}x' if peer in ratios else '':>8}" for peer in PEERS),
        {True: "", False: "  MISSED", None: ""}[row.met()],
        f"  ({row.note})" if row.note else "",
    ]
    return " ".join(cells).rstrip()


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


if __name__ == "__main__":
    sys.exit(main())
