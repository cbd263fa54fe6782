"""`triggers run --aws`: an app on an AWS that is emulated here, by a dispatcher or by its functions."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
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
from triggers.aws.server import Server, environment
from triggers.commands.failures import FAILED, OK
from triggers.commands.output import count, note
from triggers.commands.packing import data_of
from triggers.commands.signals import Signals
from triggers.journal.views import RunView, runs
from triggers.sources.folder import Folder

log = logging.getLogger("triggers.run")

LOOK = 0.5
"""Seconds after which it is looked again whether the queues are empty."""
NAMED = 10
"""How many dead runs, and messages that were rejected, are told one by one where their records are forgotten."""
MOST = 1_000
"""As many of them are counted."""
STILL = 3
"""How many times in a row they must have been."""


@contextmanager
def dispatched(app: App, port: int, folder: str | None, *, upload: bool) -> Iterator[tuple[App, str, Server]]:
    """Emulate what a dispatcher needs, and yield the app with its places there, its state folder (the one that was
    named, else one to forget), and the server.
    """
    with emulation.emulated(port) as server, tempfile.TemporaryDirectory(prefix="triggers-aws-") as forgotten:
        state = folder or forgotten
        emulation.polled(app).create()
        _greet(app, server.endpoint, f"--state {quote(str(Path(state).absolute()))}")
        if upload:
            _upload(app)
        yield app.bound(emulation.places(app)), state, server


def by_functions(app: App, target: str, port: int, files: Sequence[Path], *, upload: bool, drain: bool) -> int:
    """Run the app's functions, unpacked from their zip, until a signal or, to `drain`, until nothing is left to do.

    `target` is `module:app`, by which they import it; `files` hold their requirements.
    """
    started = time.monotonic()
    with emulation.emulated(port) as server, tempfile.TemporaryDirectory(prefix="triggers-aws-") as home:
        folder = Path(home)
        made = bundle(target, Platform.here(), requirements(files), libraries=installed, leave_out=data_of(app))
        made.write(folder / "functions.zip")
        unpack(folder / "functions.zip", folder / "functions")
        log.info("packed %s of %s in %.1f s", count(len(made.entries), "file"), app.name, time.monotonic() - started)
        rendered = template.render(app, target, emulation.places(app), now=time.time())
        for line in template.notes(rendered):
            log.info("note: %s", line)
        stack = Stack(app, rendered)
        stack.create()
        _greet(app, server.endpoint, f"--aws {quote(app.name)}")
        return asyncio.run(_work(stack, server, folder / "functions", upload, drain))


async def _work(stack: Stack, server: Server, folder: Path, upload: bool, drain: bool) -> int:
    told = asyncio.Event()
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        told.set()

    with Signals(stop, lambda: None, 0.0):
        async with stack.functions(folder, _told):
            if upload:
                await asyncio.to_thread(_upload, stack.app)
            waits: list[asyncio.Task[object]] = [asyncio.create_task(told.wait()), asyncio.create_task(server.ended())]
            if drain:
                waits.append(asyncio.create_task(_drained(stack)))
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            for wait in done:
                wait.result()
    if signals:
        return 128 + signals[0]
    return await asyncio.to_thread(verdict, Deployed(stack.app.name))


def verdict(deployed: Deployed) -> int:
    """Say what went wrong in an app in AWS, if anything did, and return the exit code."""
    with closing(deployed.newest(MOST, {"dead"})) as connection:
        dead = runs(connection, state="dead")
    rejected = deployed.rejections(MOST)
    tell_dead(dead)
    for one in rejected[:NAMED]:
        log.error("rejected: %s from %s: %s", one.id, one.source, one.reason)
    if dead or rejected:
        log.warning("drained: %s dead, %s rejected; their records have gone with it", _many(dead), _many(rejected))
        return FAILED
    return OK


def tell_dead(dead: Sequence[RunView]) -> None:
    """Say which runs died, and of what: where they ran is forgotten, so nobody can look there."""
    for run in dead[:NAMED]:
        log.error("dead: %s r%d after %s: %s", run.route, run.number, count(run.attempt, "attempt"), run.error)
    if dead[NAMED:]:
        log.error("dead: and %s more", count(len(dead) - NAMED, "run"))


def _many(found: Sequence[object]) -> str:
    return f"{len(found)} or more" if len(found) == MOST else f"{len(found)}"


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
