"""Functions under AWS's own runtime client, with real processes."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit import PATIENCE
from triggers.aws.runtime import Function, Result, Settings
from triggers.errors import EventError, WiringError

HANDLERS = '''
import json, os, sys, time

called = 0
print("at the start")

def echo(event, context):
    return event

def count(event, context):
    global called
    called += 1
    return {"called": called, "process": os.getpid()}

def tell(event, context):
    return {
        "name": context.function_name, "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(), "request": context.aws_request_id,
        "trace": os.environ["_X_AMZN_TRACE_ID"], "variables": dict(os.environ), "path": sys.path,
    }

def colour(event, context):
    if "code" in event:
        os._exit(event["code"])
    return os.environ["COLOUR"]

def fail(event, context):
    raise ValueError("no such table")

def hang(event, context):
    print("hanging", flush=True)
    time.sleep(600)

def end(event, context):
    print("unfinished", end="", flush=True)
    os._exit(event["code"])

def die(event, context):
    os.kill(os.getpid(), 9)

def large(event, context):
    return "x" * event["bytes"]

def nan(event, context):
    return float("nan")

def say(event, context):
    for line in event["lines"]:
        print(line)
    print("and to stderr", file=sys.stderr)

def imports(event, context):
    found = []
    for name in event["names"]:
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    return found

def meet(event, context):
    """Return once another invocation is at work beside this one."""
    open(os.path.join(event["folder"], str(os.getpid())), "w").close()
    while len(os.listdir(event["folder"])) < 2:
        time.sleep(0.01)
    return os.getpid()

def start(event, context):
    import subprocess
    child = subprocess.Popen(["sleep", "inf"])
    print(child.pid, flush=True)
    time.sleep(600)

async def coroutine(event, context):
    return event
'''

Story = Callable[[Function], Awaitable[Any]]
Play = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "tiny.py").write_text(HANDLERS)
    (folder / "unimportable.py").write_text("import a_library_that_is_not_there\n")
    (folder / "broken.py").write_text("def handler(:\n")
    (folder / "raising.py").write_text("raise RuntimeError('no settings')\n")
    (folder / "exiting.py").write_text("import os; os._exit(7)\n")
    return folder


@pytest.fixture
def play(folder: Path) -> Play:
    """Return what lets a function of the folder live through a story."""

    def play(handler: str, story: Story, **settings: Any) -> Any:
        async def live() -> Any:
            async with Function(
                folder, Settings(handler, **{"environment": {}, "timeout": 60, **settings})
            ) as function:
                return await story(function)

        return asyncio.run(asyncio.wait_for(live(), 120))

    return play


@pytest.fixture
def invoke(play: Play) -> Callable[..., list[Result]]:
    """Return what invokes a handler with one payload after the other."""

    def invoke(handler: str, *payloads: object, **settings: Any) -> list[Result]:
        async def story(function: Function) -> list[Result]:
            return [await function.invoke(payload) for payload in payloads]

        found: list[Result] = play(handler, story, **settings)
        return found

    return invoke


Invoke = Callable[..., list[Result]]


def ends(pid: int) -> bool:
    """Wait for the end of a process."""
    try:
        file = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([file], [], [], PATIENCE)[0])
    finally:
        os.close(file)


def test_what_a_handler_returns_comes_back(invoke: Invoke) -> None:
    payload = {"text": "für", "list": [1, 2.5, None], "deep": {"a": True}}
    [result] = invoke("tiny.echo", payload)
    assert result.ok
    assert result.payload == payload


def test_payloads_of_megabytes_go_both_ways(invoke: Invoke) -> None:
    payload = "x" * 5_000_000
    assert invoke("tiny.echo", payload)[0].payload == payload


def test_an_environment_is_used_again_while_it_is_warm(invoke: Invoke) -> None:
    first, second = invoke("tiny.count", {}, {})
    assert (first.cold, second.cold) == (True, False)
    assert second.payload == {**first.payload, "called": 2}


def test_a_handler_is_told_what_lambda_tells_it(invoke: Invoke, folder: Path) -> None:
    [result] = invoke("tiny.tell", {}, environment={"COLOUR": "red"}, timeout=60, memory=512, name="churn")
    told = result.payload
    assert (told["name"], told["memory"], told["request"]) == ("churn", "512", result.request)
    assert told["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:churn"
    assert 30_000 < told["left"] <= 60_000
    assert told["trace"].startswith("Root=1-")
    variables = told["variables"]
    assert variables["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/churn"
    assert variables["LAMBDA_TASK_ROOT"] == told["path"][0] == str(folder)
    assert variables["COLOUR"] == "red"
    assert "HOME" not in variables


def test_a_handler_finds_nothing_of_the_shells_variables(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLOUR", "blue")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    [result] = invoke("tiny.tell", {}, environment={"SHAPE": "round"})
    ours = {name for name in result.payload["variables"] if not name.startswith(("AWS_", "_", "LAMBDA_", "PYTHON"))}
    assert ours - {"LC_CTYPE"} == {"LANG", "PATH", "SHAPE", "TZ"}  # that one is Python's own doing
    assert "AWS_PROFILE" not in result.payload["variables"]


def test_the_variables_of_a_function_are_those_that_it_was_made_with(play: Play) -> None:
    variables = {"COLOUR": "red"}

    async def story(function: Function) -> list[str]:
        variables["COLOUR"] = "blue"
        await function.invoke({"code": 1})  # which ends the environment: the next one is a new one
        return [(await function.invoke({})).payload]

    assert play("tiny.colour", story, environment=variables) == ["red"]


def test_a_handler_finds_what_lambda_has_installed_and_nothing_else_of_this_machines(invoke: Invoke) -> None:
    names = ["boto3", "botocore", "json", "pytest", "pydantic", "triggers", "click"]
    assert invoke("tiny.imports", {"names": names})[0].payload == ["boto3", "botocore", "json"]


def test_an_error_is_told_as_lambda_tells_it_and_the_environment_stays(invoke: Invoke) -> None:
    first, second = invoke("tiny.fail", {}, {})
    assert not first.ok
    assert first.error is not None
    assert (first.error["errorType"], first.error["errorMessage"]) == ("ValueError", "no such table")
    assert "in fail" in first.error["stackTrace"][0]
    assert not second.cold
    assert second.logs[0].startswith("[ERROR] ValueError: no such table\nTraceback")


def test_an_invocation_is_killed_when_its_time_is_over_and_the_next_one_starts_anew(play: Play) -> None:
    async def story(function: Function) -> list[Result]:
        return [await function.invoke({}), await function.invoke({})]

    first, second = play("tiny.hang", story, timeout=1.5)
    assert first.error["errorType"] == "Sandbox.Timedout"
    assert first.error["errorMessage"] == f"RequestId: {first.request} Error: Task timed out after 1.50 seconds"
    assert first.logs == ["at the start", "hanging"]
    assert second.cold


@pytest.mark.parametrize(("code", "how"), [(3, "with error: exit status 3"), (0, "without providing a reason")])
def test_a_process_that_ends_is_an_error_and_costs_the_environment(invoke: Invoke, code: int, how: str) -> None:
    first, second = invoke("tiny.end", {"code": code}, {"code": code})
    assert first.error == {"errorType": "Runtime.ExitError", "errorMessage": f"Error: Runtime exited {how}"}
    assert first.logs == ["at the start", "unfinished"]
    assert second.cold


def test_a_process_that_is_killed_is_an_error(invoke: Invoke) -> None:
    [result] = invoke("tiny.die", {})
    assert result.error is not None
    assert result.error["errorMessage"] == "Error: Runtime exited with error: signal: killed"


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("unimportable.handler", "Runtime.ImportModuleError"),
        ("broken.handler", "Runtime.UserCodeSyntaxError"),
        ("tiny.missing", "Runtime.HandlerNotFound"),
        ("missing.handler", "Runtime.ImportModuleError"),
        ("raising.handler", "RuntimeError"),
        ("exiting.handler", "Runtime.ExitError"),
    ],
)
def test_what_fails_before_the_first_invocation_is_told(invoke: Invoke, handler: str, kind: str) -> None:
    first, second = invoke(handler, {}, {})
    assert first.error is not None
    assert first.error["errorType"] == kind
    assert (first.duration, second.cold) == (0.0, True)


def test_a_coroutine_is_no_handler_for_lambda(invoke: Invoke) -> None:
    [result] = invoke("tiny.coroutine", {})
    assert result.error is not None
    assert result.error["errorType"] == "Runtime.MarshalError"


def test_a_response_over_six_mebibytes_is_refused_and_costs_the_environment(play: Play) -> None:
    async def story(function: Function) -> list[Result]:
        largest, over = [await function.invoke({"bytes": n}) for n in (6_291_554, 6_291_555)]  # and its two quotes
        return [largest, over, await function.invoke({"bytes": 1})]

    largest, over, after = play("tiny.large", story)
    assert largest.ok
    assert over.error["errorType"] == "Function.ResponseSizeTooLarge"
    assert after.ok
    assert after.cold


def test_a_response_that_is_no_json_is_an_error(invoke: Invoke) -> None:
    [result] = invoke("tiny.nan", {})
    assert result.error is not None
    assert "NaN" in result.error["errorMessage"]


def test_a_payload_that_lambda_would_not_take_is_refused(play: Play) -> None:
    async def story(function: Function) -> None:
        with pytest.raises(EventError, match="over Lambda's limit"):
            await function.invoke("x" * 6_291_556)
        with pytest.raises(EventError, match="must be written as JSON"):
            await function.invoke({"at": object()})

    play("tiny.echo", story)


def test_lines_are_kept_with_the_invocation_that_wrote_them(invoke: Invoke) -> None:
    long = "x" * 100_000
    first, second = invoke("tiny.say", {"lines": ["one", "zwei ü", long]}, {"lines": ["three"]})
    assert first.logs == ["at the start", "one", "zwei ü", long, "and to stderr"]
    assert second.logs == ["three", "and to stderr"]


def test_invocations_at_once_have_environments_of_their_own(play: Play, tmp_path: Path) -> None:
    (tmp_path / "met").mkdir()

    async def story(function: Function) -> set[int]:
        payload = {"folder": str(tmp_path / "met")}
        return {result.payload for result in await asyncio.gather(*(function.invoke(payload) for _ in range(2)))}

    assert len(play("tiny.meet", story)) == 2


def test_no_more_environments_are_at_work_than_the_function_may_have(play: Play) -> None:
    async def story(function: Function) -> list[Result]:
        return await asyncio.gather(*(function.invoke({}) for _ in range(4)))

    results = play("tiny.count", story, concurrency=1)
    assert [result.payload["called"] for result in results] == [1, 2, 3, 4]


def test_who_does_not_wait_for_an_invocation_ends_it(play: Play, tmp_path: Path) -> None:
    met = tmp_path / "met"
    met.mkdir()

    async def story(function: Function) -> bool:
        first = asyncio.ensure_future(function.invoke({"folder": str(met)}))
        while not any(met.iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        [ended] = met.iterdir()
        assert ends(int(ended.name))
        return (await function.invoke({"folder": str(met)})).cold

    assert play("tiny.meet", story)


OWNER = """
import asyncio, sys
from pathlib import Path
from triggers.aws.environment import Environment
from triggers.aws.runtime import Function, Settings

async def main():
    async with Function(Path(sys.argv[1]), Settings("tiny.start", {}, timeout=600)) as function:
        invocation = asyncio.ensure_future(function.invoke({}))
        while True:
            await asyncio.sleep(0.01)
            for environment in function._all:
                for line in environment.log():
                    print(line, flush=True)

asyncio.run(main())
"""


def test_what_a_function_has_started_dies_with_the_process_that_runs_the_function(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "at the start\n"
        child = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
        assert ends(child)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WiringError, match=r"no folder .*/nothing with a function's files"):
        Function(tmp_path / "nothing", Settings("a.handler", {}))
