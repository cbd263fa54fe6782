"""`triggers run`: an app at work, until it is stopped or there is nothing left to do."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NoReturn

import apsw
import click
from click.core import ParameterSource

from triggers.app import App, default_state
from triggers.check.graph import check
from triggers.commands import logs
from triggers.commands.failures import FAILED, OK, complain
from triggers.commands.loading import bind, load_app, target_of
from triggers.commands.output import clock, coloured, count, note, span
from triggers.commands.parameters import Finite, bind_option
from triggers.commands.signals import Signals
from triggers.engine import Engine
from triggers.errors import StateError, TriggersError
from triggers.journal.dues import Held
from triggers.journal.views import open_reader, runs
from triggers.sources.folder import Folder
from triggers.sources.queue import Queue
from triggers.state import StateFolder
from triggers.waits import Wait

if TYPE_CHECKING:  # who runs where AWS itself is, or none, has no use for it
    from triggers.aws.server import Server

log = logging.getLogger("triggers.run")

LAST_WORDS = 1.0
"""Seconds that a task has to end once it is cancelled."""
NAMED = 5
"""How many runs are named where a stop waits for more, and how many routes where a drain does."""
SHORT = 2.0
"""Seconds; what a drain waits for no longer than that is not worth a line."""


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option(
    "--state", "folder", type=click.Path(), metavar="DIR",
    help="Where the app keeps its journal. [default: TRIGGERS_STATE, else .triggers/NAME]",
)  # fmt: skip
@click.option("--drain", is_flag=True, help="Stop when there is nothing left to do, retries included.")
@bind_option
@click.option("--aws", is_flag=True, help="On an AWS emulated here: places are buckets, forgotten at the end.")
@click.option(
    "--lambda", "functions", is_flag=True, help="With --aws: as its Lambda functions, packed and fed as in AWS."
)
@click.option("--upload", is_flag=True, help="With --aws: put what the folders of its sources hold into the buckets.")
@click.option(
    "--requirement", "requirements", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    metavar="FILE", help="With --lambda: the libraries that the functions need, as for `triggers package`.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="With --aws: where it listens. [default: a free one]"
)
@click.option(
    "--grace", type=Finite(min=0), default=30.0, show_default=True, metavar="SECONDS",
    help="How long running handlers may go on when it is told to stop; then their runs are given back.",
)  # fmt: skip
@click.option("--adopt", is_flag=True, help="Take a state folder over that is another app's: this one was renamed.")
@click.option("-q", "--quiet", is_flag=True, help="Print warnings and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print what the engine does.")
@click.option(
    "--log-format", type=click.Choice(["live", "plain", "json"]),
    help="A live view (the default on a terminal), lines, or JSON objects.",
)  # fmt: skip
def run(
    target: str,
    folder: str | None,
    drain: bool,
    binds: tuple[tuple[str, str], ...],
    aws: bool,
    functions: bool,
    upload: bool,
    requirements: tuple[Path, ...],
    port: int,
    grace: float,
    adopt: bool,
    quiet: bool,
    verbose: bool,
    log_format: str | None,
) -> int:
    """Run an app: listen to its sources, carry out its routes.

    MODULE is a module's name or a path (pipeline, app.py, ./jobs/app.py); APP is needed only where it has several.

    SIGINT (Ctrl-C) and SIGTERM stop it: it reads nothing more, lets handlers finish for --grace seconds, and exits
    with 130 or 143. A second signal ends it at once. Nothing is lost either way. With --drain it exits with 0, or with
    1 if a run went to the dead letters, a batch that was handed in was rejected, a dead run holds others up, events
    wait for a route that has lost its batch=, debounce= or Join, or runs for a route that is gone. Messages of a queue
    that are hidden, as others have them, are told and not waited for.
    """
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
    handler = logs.set_up(level, as_json=log_format == "json")
    _check_that_all_is_of_use(aws, functions)
    loaded = load_app(target)
    app = bind(loaded, dict(binds))
    if aws:
        _check_binds(app, [name for name, _ in binds], upload)
    if functions:
        from triggers.commands.emulating import by_functions  # loads boto3

        return by_functions(app, target_of(target, loaded), port, requirements, upload=upload, drain=drain)
    live = log_format == "live" or (log_format is None and not quiet and coloured(sys.stderr) and sys.stderr.isatty())
    with _placed(app, folder, port if aws else None, upload) as (app, state, server):
        engine = Engine(app, StateFolder(state), grace=grace, adopt=adopt, target=target_of(target, loaded))
        session = Session(app, engine, drain=drain, server=server, forgotten=aws and not folder)
        if live:
            from triggers.commands.live import Display  # loads rich, for a terminal only

            session.display = Display(session.engine, handler)
        return asyncio.run(_to_the_end(session))


_FOR_AWS = ("functions", "upload", "port")
_FOR_FUNCTIONS = ("requirements",)
_FOR_DISPATCHERS = ("folder", "grace", "adopt", "quiet", "log_format")


def _check_that_all_is_of_use(aws: bool, functions: bool) -> None:
    """Raise `UsageError` for options that would change nothing, by the way in which the app is to be run."""
    if not aws and (given := _given(_FOR_AWS)):
        raise click.UsageError(f"{given}: only for an emulated AWS; add --aws")
    if not functions and (given := _given(_FOR_FUNCTIONS)):
        raise click.UsageError(f"{given}: only for packed functions; add --aws --lambda")
    if functions and (given := _given(_FOR_DISPATCHERS)):
        raise click.UsageError(f"{given}: only for a dispatcher, and with --lambda there is none; leave it out")


def _check_binds(app: App, names: Sequence[str], upload: bool) -> None:
    """Raise `UsageError` for places that are bound to where an emulated AWS does not look."""
    of_use = {
        name for name, one in app.sources.items() if isinstance(one, Queue) or (upload and isinstance(one, Folder))
    }
    if ignored := ", ".join(name for name in names if name not in of_use):
        raise click.UsageError(
            f"--bind {ignored}: with --aws a place is a bucket that is emulated; leave it out, or bind a source to the"
            " folder to --upload"
        )


def _given(names: Sequence[str]) -> str:
    """Return which of some options stand in the command line, as they are written there."""
    context = click.get_current_context()
    options = {one.name: one.opts[-1] for one in context.command.params}
    source = context.get_parameter_source
    return ", ".join(options[name] for name in names if source(name) is ParameterSource.COMMANDLINE)


@contextmanager
def _placed(
    app: App, folder: str | None, port: int | None, upload: bool
) -> Iterator[tuple[App, Path | str, Server | None]]:
    """Yield the app and its state folder: here, or, given a port, with its places in an emulated AWS there, whose
    server is the third."""
    if port is None:
        yield app, folder or default_state(app.name), None
        return
    from triggers.commands.emulating import dispatched  # loads boto3

    with dispatched(app, port, folder, upload=upload) as placed:
        yield placed


async def _to_the_end(session: Session) -> int:
    """Work, and return the exit code, or exit with it at once where a task does not end although it is cancelled."""
    with Signals(session.stop, session.last_words, session.engine.grace):
        try:
            code = await session.work()
        except Exception as error:
            if stuck := await _stuck():
                _exit(complain(error), stuck)
            raise
        if stuck := await _stuck():
            _exit(code, stuck)
        return code


async def _stuck() -> set[asyncio.Task[Any]]:
    """Cancel every task that is left, and return those that go on all the same."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    return (await asyncio.wait(left, timeout=LAST_WORDS))[1] if left else set()


def _exit(code: int, stuck: set[asyncio.Task[Any]]) -> NoReturn:
    """End the process without waiting for anything."""
    note(f"warning: ended although this goes on after it was cancelled: {', '.join(sorted(map(_place, stuck)))}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _place(task: asyncio.Task[Any]) -> str:
    """Return where a task is: the function, file and line of the user's own code, or the task's name."""
    coroutine: Any = task.get_coro()
    while frame := getattr(coroutine, "cr_frame", None):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("asyncio", "triggers"):
            return f"{coroutine.__qualname__} at {frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return task.get_name()


class Session:
    """One stay of an app at work, from its start to its end."""

    def __init__(
        self, app: App, engine: Engine, *, drain: bool, server: Server | None = None, forgotten: bool = False
    ) -> None:
        self.app = app
        self.engine = engine
        self.drain = drain
        self.server = server
        self.forgotten = forgotten
        """Whether the state folder is gone at the end, with all that could be looked up there."""
        self.display: Any = None
        """The live view, where there is one; typed loosely because its module loads rich."""
        self.signal: int | None = None
        self.held: Sequence[Held] = ()
        """What is left that would wait for ever."""
        self.hidden: Sequence[str] = ()
        """What is said of messages that its queues hand to nobody at present."""
        self._told = asyncio.Event()
        self._said = ""
        self._view: asyncio.Task[None] | None = None

    async def work(self) -> int:
        """Work, and return the exit code."""
        started = time.monotonic()
        try:
            async with self.engine as engine:
                self._begin()
                await self._until_told(self._drained() if self.drain else engine.forever())
                self._announce_the_stop()
        finally:
            await self._end_the_view()  # which shows the stop, too
        return self._sum_up(time.monotonic() - started)

    def _begin(self) -> None:
        self.engine.dispatcher.listeners.append(self.display.listen if self.display else logs.log_run)
        self._greet()
        if self.display:
            self._view = asyncio.create_task(self.display.show())

    async def _end_the_view(self) -> None:
        if self._view:
            self._view.cancel()
            with suppress(asyncio.CancelledError):
                await self._view

    def stop(self, number: int) -> None:
        """Stop the work because of a signal. Called on the loop."""
        self.signal = number
        self._told.set()

    def last_words(self) -> None:
        """Leave the terminal usable and the output complete; the process is about to end."""
        if self.display:
            self.display.abandon()
        sys.stdout.flush()

    async def _until_told(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work until it ends or a signal comes; raise what makes it impossible to go on."""
        ways: list[Coroutine[Any, Any, object]] = [self.server.ended()] if self.server else []
        tasks = [asyncio.create_task(way) for way in (*ways, work, self._told.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drained(self) -> None:
        """Wait until nothing is left to do, and say what for."""
        self.held = await self.engine.drained(self._say_what_for)
        self.hidden = await asyncio.to_thread(_hidden, self.app)

    def _say_what_for(self, found: Sequence[Wait]) -> None:
        """Say what a drain waits for, unless that is over in a moment, or has been said."""
        if not found or found[0].until - self.engine.dispatcher.clock.now() < SHORT:
            return
        parts = [f"until {clock(one.until)} for {one.route} ({one.what}): {one.reason}" for one in found[:NAMED]]
        more = f"; and for {count(len(found) - NAMED, 'other route')}" if len(found) > NAMED else ""
        said = f"nothing runs; waiting {'; '.join(parts)}{more}"
        if said != self._said:
            self._said = said
            log.info("%s", said)

    def _greet(self) -> None:
        sources = ", ".join(_listened_to(self.app))
        routes = count(len(self.app.routes), "route")
        if not self.display:
            listening = f"; listening to {sources}" if sources else ""
            log.info("%s runs with %s%s; state in %s", self.app.name, routes, listening, self.engine.state.path)
        for problem in check(self.app):
            log.warning("%s", problem.message)  # errors have been refused

    def _announce_the_stop(self) -> None:
        """Say what the stop waits for."""
        runs = sorted(self.engine.dispatcher.running.values(), key=lambda run: run.started)
        if not (self.signal and runs):
            return
        names = [f"{run.route.name} r{run.number}" for run in runs[:NAMED]]
        more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
        many, grace = count(len(runs), "run"), span(self.engine.grace)
        log.info("stopping: %s may take up to %s: %s%s; once more to end at once", many, grace, ", ".join(names), more)

    def _sum_up(self, seconds: float) -> int:
        counts = self.engine.dispatcher.counts
        events = counts["events"] + counts["emitted"]
        dead = _deaths(self.app.name, counts["dead"], self.engine.state, time.time() - seconds, self.forgotten)
        rejected = self.engine.rejected
        refused = f", {count(rejected, 'batch', 'batches')} rejected (see `triggers doctor`)" if rejected else ""
        for held in self.held:
            log.error("%s", _held_up(held))
        for left in self.engine.left:
            log.error("left over: %s", left)
        for said in self.hidden:
            log.warning("%s", said)
        failed = counts["dead"] or rejected or self.held or self.engine.left
        word = "stopped" if self.signal else "drained"
        done = f"{count(counts['done'], 'run')} done{dead}{refused}"
        said = f"{word}: {count(events, 'event')}, {done} in {span(seconds)}"
        log.log(logging.WARNING if failed else logging.INFO, said)
        if self.signal:
            return 128 + self.signal
        return FAILED if failed else OK


def _listened_to(app: App) -> Iterator[str]:
    """Yield where each source of an app is: its folder or bucket, or its queue."""
    places = app.places()
    for name, source in app.sources.items():
        if isinstance(source, Queue):
            yield f"{name} (queue {source.queue})"
        elif name in places:
            yield f"{name} ({os.fsencode(str(places[name])).decode('utf-8', 'backslashreplace')})"


def _hidden(app: App) -> list[str]:
    """Return what to say of queues that hide messages: they look empty, and are not. Nobody knows for how long others
    keep what they were given, so it is told and not waited for."""
    queues = [source for source in app.sources.values() if isinstance(source, Queue)]
    if not queues:
        return []
    from triggers.aws.attributes import hidden_in  # who polls no queue need not have boto3
    from triggers.aws.clients import client

    said, sqs = [], client("sqs")
    for queue in queues:
        try:
            many = hidden_in(sqs, queue.queue, queue.url)
        except TriggersError as error:
            said.append(f"whether messages are hidden is not known: {error}")
            continue
        if many is None:
            log.info("queue %r: may not be asked for hidden messages (sqs:GetQueueAttributes)", queue.queue)
        elif many:
            some = count(many, "message")
            said.append(f"left over: about {some} of queue {queue.queue!r}, hidden: given to others, or delayed")
    return said


def _held_up(held: Held) -> str:
    """Return which runs wait for ever, and what lets them go on."""
    more = held.many - len(held.runs)
    runs = ", ".join(f"r{run}" for run in held.runs) + (f" and {more:,} more" if more else "")
    ways = f"`triggers dead redrive r{held.dead}` or `triggers dead drop r{held.dead}` lets them go on"
    return f"left over of {held.route}: {runs}, for r{held.dead} before them is dead (in_order=); {ways}"


def _deaths(app: str, died: int, state: StateFolder, since: float, forgotten: bool) -> str:
    """Return what to say of runs that died since a moment; some may have been redriven or dropped meanwhile.

    Where their journal is to be forgotten, each is told here.
    """
    if not died:
        return ""
    usual = state.path.absolute() == default_state(app).absolute()
    place = "" if usual else f" --state {quote(str(state.path))}"
    hint = "--state DIR would keep their journal" if forgotten else f"see `triggers dead{place}`"
    try:
        with closing(open_reader(state)) as connection:
            dead = [run for run in runs(connection, state="dead") if run.ended is not None and run.ended >= since]
    except (StateError, apsw.Error):  # the disk has failed: what is known is that they died
        return f", {died:,} dead ({hint})"
    if forgotten:
        from triggers.commands.emulating import tell_dead  # it is loaded already

        tell_dead(dead)
    left = min(len(dead), died)
    said = f", {left:,} dead ({hint})" if left else ""
    return f"{said}, {died - left:,} redriven or dropped" if left < died else said
