"""What the tests of the command line share: a project in a folder of its own, and the commands called in it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from triggers.commands import cli

PATIENCE = 60.0
"""Seconds after which a process that a test has forgotten, or waits for in vain, is killed."""

APP = """
from triggers import App, Context, Event, Folder, Later, ObjectCreated, Retry, suffix

class Processed(Event):
    table: str

class Trained(Event):
    model: str

app = App("churn", sources=[Folder("incoming", name="incoming")])

@app.on(ObjectCreated, where={"key": suffix(".csv")})
def process(event: ObjectCreated) -> Processed:
    return Processed(table=event.key)

@app.on(Processed, retry=Retry(on=OSError, attempts=3, initial=0))
def train(event: Processed, ctx: Context) -> Trained:
    if event.table == "bad.csv":
        raise ValueError("this table is bad")
    if event.table == "flaky.csv" and ctx.attempt == 1:
        raise OSError("the disk had a moment")
    return Trained(model=event.table)
"""


@dataclass
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Project:
    """A project that is the current directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / ".triggers" / "churn"
        self.incoming = home / "incoming"

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def drop(self, *keys: str) -> None:
        for key in keys:
            self.write(f"incoming/{key}", f"content of {key}\n")

    def __call__(self, *args: str, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Answer:
        """Call a command in this process."""
        result = CliRunner().invoke(cli, list(args), input=input, env=env, prog_name="triggers")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def drain(self, *keys: str) -> Answer:
        """Drop files and have the app work them off."""
        self.drop(*keys)
        return self("run", "app.py", "--drain")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("TRIGGERS_STATE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    project = Project(tmp_path)
    project.write("app.py", APP)
    project.incoming.mkdir()
    modules, root, package = set(sys.modules), logging.getLogger(), logging.getLogger("triggers")
    before = root.handlers[:], root.level, package.level
    yield project
    root.handlers[:], level, package_level = before
    root.setLevel(level)
    package.setLevel(package_level)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def wheels(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find small wheels in place of the real ones, and nothing else."""
    folder = tmp_path_factory.mktemp("index")
    for name in ("pydantic", "tenacity", "big"):
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr("pydantic_core/__init__.py", "")
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture
def pinned(project: Project, wheels: None) -> str:
    """Return a requirements file that takes those wheels."""
    project.write("requirements.txt", "pydantic==1.0\ntenacity==1.0\n")
    return "requirements.txt"


@dataclass
class Process:
    """The command line in a process of its own."""

    popen: subprocess.Popen[str]
    heard: str = ""

    def until(self, words: str) -> None:
        """Read its stderr until the words come."""
        assert self.popen.stderr
        while words not in self.heard:
            line = self.popen.stderr.readline()
            assert line, f"it ended without saying {words!r}:\n{self.heard}"
            self.heard += line

    def tell(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def end(self) -> int:
        assert self.popen.stderr
        self.heard += self.popen.stderr.read()
        return self.popen.wait(timeout=20)


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., Process]]:
    """Return a function that starts `triggers ARGS` in the project's folder; what still runs is killed at the end."""
    started: list[tuple[subprocess.Popen[str], threading.Timer]] = []

    def start(*args: str) -> Process:
        popen = subprocess.Popen(
            [sys.executable, "-m", "triggers", *args],
            cwd=project.home,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        limit = threading.Timer(PATIENCE, popen.kill)
        limit.start()
        started.append((popen, limit))
        return Process(popen)

    yield start
    for popen, limit in started:
        limit.cancel()
        popen.kill()
        popen.wait()
        assert popen.stderr
        popen.stderr.close()
