"""`SECURITY.md` keeps its word: each of its rules has a test that attacks it; what no other one attacks is here."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from tests.docs.pages import ROOT
from tests.jobs import Job, good
from tests.kit import Start
from triggers import App, Event, Folder, Tick, every
from triggers.aws import wire
from triggers.errors import EventError
from triggers.events import decode, parse
from triggers.lineage import BUDGET

UNPICKLES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml"}
EVALUATES = {"eval", "exec", "__import__"}
WORDS = re.compile(rf"\b({'|'.join(UNPICKLES)})\b|\b({'|'.join(EVALUATES)}|system|popen)\(|\b(shell|allow_pickle)=")
"""What a module has in its text where `dangers` finds anything: to parse all of them takes seconds."""
TEMPLATES = ("functions.json", "polled.json")


# --- the page ------------------------------------------------------------------------------------


def named_tests() -> list[tuple[str, str]]:
    """Return the tests that the page names: (file, name)."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text())


def test_every_rule_names_a_test_that_exists() -> None:
    named = named_tests()
    assert len(named) > 40
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_rule_of_the_tables_has_a_test() -> None:
    lines = (ROOT / "SECURITY.md").read_text().partition("## What is promised")[2].splitlines()
    rules = [line for line in lines if line.startswith("| ") and not line.startswith(("| rule |", "|---"))]
    assert [line for line in rules if "::test_" not in line] == []


# --- nobody is let in ----------------------------------------------------------------------------


def listeners() -> set[str]:
    """Return where this process and those that it has started let others in: (table of the kernel, line)."""
    processes = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    ours = set()
    for file in chain.from_iterable(Path(f"/proc/{process}/fd").iterdir() for process in processes):
        with suppress(FileNotFoundError):  # closed meanwhile
            ours.add(os.readlink(file))
    found = set()
    for table, column, state, inode in (
        *((table, 3, "0A", 9) for table in ("tcp", "tcp6")),
        *((table, 3, "07", 9) for table in ("udp", "udp6")),
        ("unix", 3, "00010000", 6),
    ):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[column] == state and f"socket:[{words[inode]}]" in ours:
                found.add(f"{table} {line}")
    return found


def tick(event: Tick) -> None: ...


def test_a_running_app_listens_nowhere(start: Start, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    app = App("a", sources=[Folder(tmp_path / "in", name="in")])
    app.on(Job, isolate=True)(good)
    app.on(every(minutes=5), name="now_and_then")(tick)
    before = listeners()
    life = start(app, threaded=True, watches=True)
    life.send(Job())
    assert life.states() == [("done", 1)]
    assert listeners() - before == set()
    with socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen()
        assert {line.partition(" ")[0] for line in listeners() - before} == {"tcp", "unix"}


# --- what comes is data --------------------------------------------------------------------------


def sources() -> Iterator[Path]:
    for folder in ("triggers", "handlers", "infra"):
        yield from (ROOT / folder).rglob("*.py")


def dangers(tree: ast.Module) -> Iterator[str]:
    """Yield what runs data as code, or hands text to a shell."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name.partition(".")[0] in UNPICKLES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in UNPICKLES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in EVALUATES:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="system" | "popen" as name)):
                yield f"os.{name}"
            case ast.keyword(arg="shell" | "allow_pickle" as name, value=ast.Constant(value=True)):
                yield f"{name}=True"


def test_no_module_evaluates_unpickles_or_starts_a_shell() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in sources()}
    suspects = {name: ast.parse(text) for name, text in texts.items() if WORDS.search(text)}
    assert {name: said for name, tree in suspects.items() if (said := [*dangers(tree)])} == {}
    planted = "import pickle\nfrom yaml import load\neval('1')\nos.system('x')\nrun('x', shell=True)"
    assert {*dangers(ast.parse(planted))} == {"pickle", "yaml", "eval", "os.system", "shell=True"}


class Evil:
    """What does something as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_between_processes_is_no_message_and_is_not_loaded(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "triggers.executor.worker", str(theirs.fileno()), str(os.getpid())]
    with ours, theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE) as process:
        theirs.close()
        hello = json.dumps({"path": sys.path, "level": 20}).encode()
        evil = pickle.dumps(Evil(tmp_path / "made"))
        for frame in (hello, evil):
            ours.sendall(len(frame).to_bytes(4, "big") + frame)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"JSONDecodeError" in said or b"UnicodeDecodeError" in said
    assert not (tmp_path / "made").exists()


# --- lineages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim", [{"budget": BUDGET + 1}, {"budget": 10**30}, {"depth": 10**9}, {"depth": 10**30}, {"depth": -1}]
)
def test_no_event_brings_a_budget_or_a_depth_of_its_own_choice(claim: dict[str, int]) -> None:
    fields = {"specversion": "1.0", "id": "1", "source": "me", "type": "A", "root": "e1", "depth": 1, "budget": 5}
    assert wire.of_fields(fields, 0.0).budget == 5
    [name] = claim
    with pytest.raises(EventError, match=rf"{name} must be a whole number from 0 to [\d,]+, not "):
        wire.of_fields({**fields, **claim}, 0.0)


# --- secrets -------------------------------------------------------------------------------------


class Login(Event):
    user: str
    password: SecretStr


def test_a_value_that_was_meant_for_a_secret_is_in_no_error() -> None:
    data = {"user": 7, "password": ["hunter2"]}
    for read in (lambda: decode(Login, json.dumps(data), 1), lambda: parse(Login, data)):
        with pytest.raises(EventError, match=r"user: .*; password: ") as caught:
            read()
        assert "hunter2" not in str(caught.value)


# --- AWS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_queue_takes_messages_of_its_own_account_and_rule_alone(name: str) -> None:
    resources = json.loads((ROOT / "infra" / name).read_text())["Resources"].values()
    policies = [one["Properties"]["PolicyDocument"] for one in resources if one["Type"] == "AWS::SQS::QueuePolicy"]
    allowed = [one for policy in policies for one in policy["Statement"] if one["Effect"] == "Allow"]
    assert allowed
    for statement in allowed:
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Principal"] != "*"
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert statement["Condition"]["ArnLike"]["aws:SourceArn"]
