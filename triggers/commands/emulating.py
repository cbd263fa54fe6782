"""`triggers run --aws`: an app on an AWS that is emulated here, by a dispatcher or by its functions."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from triggers.app import App
from triggers.aws import emulation, template
from triggers.aws.attributes import messages_in
from triggers.aws.bundle import bundle, unpack
from triggers.aws.clients import client
from triggers.aws.deployed import Deployed
from triggers.aws.emulation import Stack
from triggers.aws.libraries import Platform, installed, requirements
from triggers.aws.refusals import explained
from triggers.aws.runtime import Result
from triggers.aws.server import environment
from triggers.commands.failures import FAILED, OK
from triggers.commands.output import count, note
from triggers.commands.packing import data_of
from triggers.commands.signals import Signals
from triggers.journal.views import runs
from triggers.sources.folder import Folder

log = logging.getLogger("triggers.run")

LOOK = 0.5
"""Seconds after which it is looked again whether the queues are empty."""
STILL = 3
"""How many times in a row they must have been."""


@contextmanager
def dispatched(app: App, port: int, folder: str | None, *, upload: bool) -> Iterator[tuple[App, str]]:
    """Emulate what a dispatcher needs, and yield the app with its places there, and its state folder: the one that was
    named, else one to forget.
    """
    with emulation.emulated(port) as endpoint, tempfile.TemporaryDirectory(prefix="triggers-aws-") as forgotten:
        state = folder or forgotten
        emulation.polled(app).create()
        _greet(app, endpoint, f"--state {quote(str(Path(state).absolute()))}")
        if upload:
            _upload(app)
        yield app.bound(emulation.places(app)), state


def by_functions(app: App, target: str, port: int, files: Sequence[Path], *, upload: bool, drain: bool) -> int:
    """Run the app's functions, unpacked from their zip, until a signal or, to `drain`, until nothing is left to do.

    `target` is `module:app`, by which they import it; `files` hold their requirements.
    """
    started = time.monotonic()
    with emulation.emulated(port) as endpoint, tempfile.TemporaryDirectory(prefix="triggers-aws-") as home:
        folder = Path(home)
        made = bundle(target, Platform.here(), requirements(files), libraries=installed, leave_out=data_of(app))
        made.write(folder / "functions.zip")
        unpack(folder / "functions.zip", folder / "functions")
        log.info("packed %s of %s in %.1f s", count(len(made.entries), "file"), app.name, time.monotonic() - started)
        stack = Stack(app, template.render(app, target, emulation.places(app), now=time.time()))
        stack.create()
        _greet(app, endpoint, f"--aws {quote(app.name)}")
        return asyncio.run(_work(stack, folder / "functions", upload, drain))


async def _work(stack: Stack, folder: Path, upload: bool, drain: bool) -> int:
    told = asyncio.Event()
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        told.set()

    with Signals(stop, lambda: None, 0.0):
        async with stack.functions(folder, _told):
            if upload:
                await asyncio.to_thread(_upload, stack.app)
            waits: list[asyncio.Task[object]] = [asyncio.create_task(told.wait())]
            if drain:
                waits.append(asyncio.create_task(_drained(stack)))
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
    if signals:
        return 128 + signals[0]
    return await asyncio.to_thread(verdict, Deployed(stack.app.name))


def verdict(deployed: Deployed) -> int:
    """Say what went wrong in an app in AWS, if anything did, and return the exit code."""
    with deployed.newest(1, {"dead"}) as connection:
        wrong = ["runs are dead"] if runs(connection, state="dead") else []
    if deployed.rejections(1):
        wrong.append("messages were rejected")
    if wrong:
        log.warning("drained: %s", " and ".join(wrong))
    return FAILED if wrong else OK


async def _drained(stack: Stack) -> None:
    """Wait until the queues have been empty for a while, the messages counted that are hidden or at work."""
    sqs, still = client("sqs"), 0
    while still < STILL:
        await asyncio.sleep(LOOK)
        left = sum([await asyncio.to_thread(messages_in, sqs, url) for url in stack.queues()])
        still = 0 if left else still + 1


def _upload(app: App) -> None:
    """Put what the folders of the app's sources hold into the buckets that stand for them."""
    s3, uris = client("s3"), emulation.places(app)
    for name, source in app.sources.items():
        if not isinstance(source, Folder):
            continue
        files = sorted(path for path in source.path.rglob("*") if path.is_file())
        bucket, _, prefix = uris[name].removeprefix("s3://").partition("/")
        for path in files:
            key = emulation.checked(f"{prefix}/{path.relative_to(source.path).as_posix()}")
            with explained(f"file {str(path)!r}"):
                s3.upload_file(str(path), bucket, key)
        note(f"uploaded {count(len(files), 'file')} of {source.path} to {uris[name]}")


def _told(function: str, result: Result) -> None:
    """Show what a function has logged, as CloudWatch would."""
    for line in result.logs:
        note(f"{function}  {_readable(line)}")


def _readable(line: str) -> str:
    """Return a line that a function has logged for people: of a JSON object what matters, anything else as it is."""
    try:
        said = json.loads(line)
        where = f"{said['route']} {said['run']}  " if "run" in said else ""
        return f"{said['time'][11:19]}  {where}{said['message']}"
    except (ValueError, TypeError, LookupError):
        return line


def _greet(app: App, endpoint: str, history: str) -> None:
    where = "".join(f"; {name} is {uri}" for name, uri in emulation.places(app).items())
    note(f"AWS is emulated at {endpoint}{where}")
    note("In another shell, to put objects into it and to look at what runs:")
    note("  export " + " ".join(f"{name}={value}" for name, value in environment(endpoint).items() if value))
    note(f"  triggers runs {history}")
