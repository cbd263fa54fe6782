"""The types of a user's code are checked by the tools that users have."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from collections.abc import Iterable

from triggers import App, Context, Event, Folder, Later, ObjectCreated, Reject, Retry, Tick, above, every, suffix


class Processed(Event, version=2):
    table: str
    rows: int = 0


class Trained(Event):
    auc: float


app = App("churn", sources=[Folder("data", name="incoming")], outputs=[Folder("models")], retry=Retry(attempts=5))


@app.on(ObjectCreated, where={"key": suffix(".csv")}, source="incoming")
def process(event: ObjectCreated) -> Processed:
    return Processed(table=event.path().name)


@app.on(Processed, where={"rows": above(0)}, needs={"cpu": 2, "memory": "4GiB"}, writes={"models"}, timeout=60)
def train(event: Processed, ctx: Context) -> Trained | None:
    with ctx.output("models", "a.bin") as file:
        file.write(event.table.encode())
    if ctx.attempt > 2:
        raise Reject("no")
    return Trained(auc=0.5)


@app.on(Trained, emits={Processed}, max_depth=3)
async def again(event: Trained, ctx: Context) -> None:
    ctx.emit(Processed(table="t"))
    raise Later(minutes=1)


@app.on(every(minutes=5), name="ticks", priority=3)
async def ticks(event: Tick) -> list[Processed]:
    return [Processed(table=str(event.due))]


@app.on(Trained)
def of_any(event: Event) -> Iterable[Processed]:
    yield_nothing: list[Processed] = []
    return yield_nothing


def direct_call() -> Processed:
    return process(ObjectCreated(key="a", uri="file:///a", size=1, version="1"))
"""

WRONG = {
    "a handler for another event": "@app.on(Other)\ndef handler(event: Some) -> None: ...",
    "a coroutine handler for another event": "@app.on(Other)\nasync def handler(event: Some) -> None: ...",
    "a handler of a schedule that takes no tick": "@app.on(every(minutes=1))\ndef handler(event: Some) -> None: ...",
    "a handler that returns no event": "@app.on(Some)\ndef handler(event: Some) -> int:\n    return 1",
    "a second parameter that is no context": "@app.on(Some)\ndef handler(event: Some, ctx: int) -> None: ...",
    "an unknown policy keyword": "@app.on(Some, retries=3)\ndef handler(event: Some) -> None: ...",
    "a policy value of another type": "@app.on(Some, timeout='5')\ndef handler(event: Some) -> None: ...",
    "an event without its field": "Some()",
}
START = """
from triggers import App, Context, Event, Tick, every


class Some(Event):
    name: str


class Other(Event):
    name: str


app = App("a")


"""


def mypy(*paths: Path) -> subprocess.CompletedProcess[str]:
    cache = Path(__file__).parents[1] / ".mypy_cache"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "--no-pretty"]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)


def test_user_code_passes_mypy_strict(tmp_path: Path) -> None:
    good = tmp_path / "pipeline.py"
    good.write_text(GOOD)
    done = mypy(good)
    assert done.returncode == 0, done.stdout


def test_user_code_passes_pyright(tmp_path: Path) -> None:
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    (tmp_path / "pipeline.py").write_text(GOOD)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "error" not in done.stdout and done.returncode not in (0, 1):
        pytest.skip(f"pyright does not run here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stdout


def test_mypy_rejects_every_wrong_registration(tmp_path: Path) -> None:
    paths = []
    for number, text in enumerate(WRONG.values()):
        paths.append(tmp_path / f"wrong_{number}.py")
        paths[-1].write_text(START + text + "\n")
    found = mypy(*paths).stdout
    accepted = [words for words, path in zip(WRONG, paths, strict=True) if f"{path.name}:" not in found]
    assert not accepted, found
