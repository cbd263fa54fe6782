"""`python -m benchmarks`: take all figures, or those named, print the table and write the raw data."""

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
from benchmarks.figures import BENCHMARKS
from benchmarks.measure import Row, Setup, Trials, as_json, file_system, machine

HERE = Path(__file__).parent
LATEST = HERE / "results" / "latest.json"
CHART = HERE.parent / "docs" / "benchmarks.svg"


def main() -> int:
    """Run the command line."""
    options = _options()
    if options.names == ["chart"]:
        source = options.out or LATEST
        if not source.exists():
            print(f"no raw data in {source}; `python -m benchmarks` takes it first", file=sys.stderr)
            return 2
        CHART.parent.mkdir(exist_ok=True)
        CHART.write_text(draw(json.loads(source.read_text())))
        print(CHART)
        return 0
    if unknown := set(options.names) - set(BENCHMARKS):
        print(f"no benchmark {min(unknown)!r}; there are {', '.join(BENCHMARKS)} and chart", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="work-", dir=options.dir, ignore_cleanup_errors=True) as folder:
        if file_system(Path(folder)) in ("tmpfs", "ramfs"):
            print(f"{folder} is in memory, where nothing is durable; name a folder on a disk, --dir", file=sys.stderr)
            return 2
        document = _measure(Setup(Path(folder), options.quick, options.runs), options.names or list(BENCHMARKS))
    target = options.out or (None if options.quick else LATEST)
    if target:
        _write(document, target, merge=bool(options.names))
        print(f"\nraw data: {target}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; or chart")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it works; not written down")
    parser.add_argument("--runs", type=int, default=3, help="trials of each side, taken in turn [3]")
    parser.add_argument("--dir", type=Path, default=HERE, help="where the work folders are made; must be on a disk")
    parser.add_argument("--out", type=Path, help="where the raw data is written, or read by chart")
    return parser.parse_args()


def _measure(setup: Setup, names: Sequence[str]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "machine": machine(setup.folder),
        "quick": setup.quick,
        "runs": setup.runs,
        "benchmarks": {},
    }
    print(f"{'figure':46} {'target':>9} {'triggers':>11} {'huey':>11} {'ratio':>8}")
    for name in names:
        trials = Trials(setup)
        rows = BENCHMARKS[name](trials)
        for row in rows:
            print(_line(row), flush=True)
        document["benchmarks"][name] = {"machine": machine(setup.folder), "rows": as_json(rows), "trials": trials.done}
    return document


def _line(row: Row) -> str:
    ours, theirs = row.values()
    ratio = row.ratio()
    cells = [
        f"{row.figure + (f' [{row.unit}]' if row.unit else ''):46}",
        f"{_number(row.target):>9}",
        f"{_number(ours):>11}",
        f"{_number(theirs):>11}",
        f"{'' if ratio is None else f'{ratio:.1f}x':>8}",
        {True: "", False: "  MISSED", None: ""}[row.met()],
        f"  ({row.note})" if row.note else "",
    ]
    return " ".join(cells).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _write(document: dict[str, Any], target: Path, *, merge: bool) -> None:
    """Write the raw data; figures that were not taken this time are kept, each with its own machine and date."""
    if merge and target.exists():
        known = json.loads(target.read_text())
        document["benchmarks"] = {**known["benchmarks"], **document["benchmarks"]}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
