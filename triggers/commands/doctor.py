"""`triggers doctor`: is this machine fit, and is this state folder well?"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import click

from triggers import __version__, kernel
from triggers.cgroup import delegation
from triggers.commands.failures import FAILED, OK, NotFound
from triggers.commands.output import can_write, clock, count, note, plain, say, say_json, state
from triggers.commands.parameters import deployed_option, find_state, json_option, rewritten, state_option
from triggers.commands.reading import INTERRUPTED, living_epoch, understood
from triggers.errors import StateError, TriggersError
from triggers.findings import Finding, Verdict
from triggers.journal import views
from triggers.journal.groups import left_over
from triggers.journal.journal import SAFE_SQLITE
from triggers.journal.reading import stranded
from triggers.journal.schema import MIGRATIONS
from triggers.journal.soundness import RULES, unsound
from triggers.sources.bucket import Bucket
from triggers.sources.queue import Queue
from triggers.state import StateFolder

LITTLE_DISK: Final = 500 * 1024**2
FEW_WATCHES: Final = 65_536
FEW_INSTANCES: Final = 128
MARKS: Final = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.PROBLEM: "✗"}
BLIND: Final = {"nfs", "nfs4", "cifs", "smb3", "9p", "vboxsf", "virtiofs", "ceph", "glusterfs", "lustre"}
"""File systems whose kernel does not tell of what other machines write, and whose locks may not hold."""


@click.command()
@click.argument("target", metavar="[MODULE[:APP]]", required=False)
@state_option
@deployed_option
@click.option("--deep", is_flag=True, help="Look at every row and file of the state folder: does all fit together?")
@json_option
def doctor(target: str | None, folder: str | None, aws: str | None, deep: bool, as_json: bool) -> int:
    """Examine this machine and a state folder; with an app, its wiring, its folders and what it needs of AWS too.

    Exits with 1 if there is a problem. A warning is something to know. AWS is given ten seconds to answer.
    """
    if folder is not None and aws is not None:
        raise click.UsageError("--state and --aws name different places; give one of them")
    if deep and aws is not None:
        raise click.UsageError("--deep looks at a state folder, --aws at an app that has none; give one of them")
    place = _deployed(aws) if aws else (one._replace(seen=rewritten(one.seen)) for one in _state(folder, deep))
    found = [*_machine(), *place, *(_app(target) if target else [])]
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in found)
    if as_json:
        findings = [one._asdict() for one in found]
        say_json({"ok": not problems, "findings": findings})
        return FAILED if problems else OK
    wide = max(len(one.what) for one in found)
    for one in found:
        mark = MARKS[one.verdict] if can_write("✓✗") else one.verdict.ljust(7)
        word = state(one.verdict)
        say(f"{word.replace(one.verdict, mark)} {one.what.ljust(wide)}  {one.seen}")
    warnings = sum(finding.verdict is Verdict.WARNING for finding in found)
    note(f"{count(problems, 'problem')}, {count(warnings, 'warning')}")
    return FAILED if problems else OK


def _finding(what: str, seen: str, *, warning: bool = False, problem: bool = False) -> Finding:
    return Finding(what, Verdict.PROBLEM if problem else Verdict.WARNING if warning else Verdict.OK, seen)


# --- this machine --------------------------------------------------------------------------------


def _machine() -> Iterator[Finding]:
    yield _finding("triggers", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    sqlite = apsw.sqlite_lib_version()
    buggy = apsw.SQLITE_VERSION_NUMBER < SAFE_SQLITE
    hint = ", which can lose commits (the WAL-reset bug); install apsw 3.51.3 or newer" if buggy else ""
    yield _finding("sqlite", f"{sqlite}{hint}", problem=buggy)
    for name, least in (("max_user_watches", FEW_WATCHES), ("max_user_instances", FEW_INSTANCES)):
        yield _inotify(name, least)
    now = time.time()
    yield _finding("clock", time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)), problem=now < 1_767_225_600)


def _inotify(name: str, least: int) -> Finding:
    try:
        limit = int(Path(f"/proc/sys/fs/inotify/{name}").read_text())
    except (OSError, ValueError):
        return _finding(f"inotify {name}", "not known here; folders are looked at at intervals", warning=True)
    hint = f"; below {least:,} large trees may not be watched: sysctl fs.inotify.{name}={least}"
    return _finding(f"inotify {name}", f"{limit:,}{hint if limit < least else ''}", warning=limit < least)


# --- the state folder ----------------------------------------------------------------------------


def _state(folder: str | None, deep: bool) -> Iterator[Finding]:
    try:
        place = find_state(folder)
    except StateError as error:
        yield _finding("state folder", str(error), problem=True)
        return
    except NotFound as error:
        named = folder or os.environ.get("TRIGGERS_STATE")
        yield _finding("state folder", str(error), problem=bool(named), warning=not named)
        return
    yield _mode(place)
    yield from _disk("state folder", place.path, local=True)
    yield _lock(place)
    yield _memory(place)
    yield from _inbox(place)
    yield from _journal(place, deep)
    if deep:
        from triggers.commands import leftovers

        yield from leftovers.of_files(place)


def _mode(place: StateFolder) -> Finding:
    status = place.path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        return _finding("state folder", f"{place.path} belongs to uid {status.st_uid}, not to you", warning=True)
    hint = f", others can look into it: chmod 700 {place.path}" if mode & 0o077 else ""
    return _finding("state folder", f"{place.path}, mode {mode:04o}{hint}", problem=bool(hint))


def _disk(what: str, path: Path, *, local: bool) -> Iterator[Finding]:
    """Say what a folder lies on. `local`: a network will not do, because it needs the kernel's locks."""
    kind = file_system(path)
    why = "locks and syncing may not hold there" if local else "what other machines write is found by looking, not told"
    blind = kind in BLIND or kind.startswith("fuse")
    yield _finding(f"{what} on", f"{kind}{f'; {why}' if blind else ''}", problem=blind and local, warning=blind)
    free = shutil.disk_usage(path).free
    hint = "; the journal stops when it is full" if local else ""
    yield _finding(
        f"{what} free", f"{free / 1024**3:,.1f} GiB{hint if free < LITTLE_DISK else ''}", problem=free < LITTLE_DISK
    )


def file_system(path: Path) -> str:
    """Return the type of the file system that a path lies on, as in `ext4`, or `unknown`."""
    best, kind = "", "unknown"
    real = str(path.resolve())
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return kind
    for text in lines:
        fields, _, rest = text.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind


def _lock(place: StateFolder) -> Finding:
    try:
        holder = place.holder()
    except StateError as error:
        return _finding("dispatcher", str(error), problem=True)
    return _finding("dispatcher", holder or "none is running; `triggers run` starts one")


def _memory(place: StateFolder) -> Finding:
    """Say who keeps isolated runs to their memory: for the dispatcher that is there, else for one started from here."""
    process = place.owner() or os.getpid()
    folder, said = delegation(kernel.membership(process), process)
    return _finding(
        "memory limits", f"{'kept by the kernel' if folder else 'kept by watching, every 0.02 to 1 s'}: {said}"
    )


def _inbox(place: StateFolder) -> Iterator[Finding]:
    waiting = len(list(place.inbox.glob("*.jsonl")))
    yield _finding("inbox", f"{count(waiting, 'batch', 'batches')} waiting")
    rejected = len(list(place.inbox.glob("rejected/*.jsonl")))
    if rejected:
        seen = f"{count(rejected, 'batch', 'batches')} in {place.inbox}/rejected, with the reasons beside them"
        yield _finding("inbox rejected", seen, warning=True)
    if messages := len(list(place.rejected.glob("*.json"))):
        seen = f"{count(messages, 'message')} in {place.rejected}, with the reasons beside them"
        yield _finding("messages rejected", seen, warning=True)


def _journal(place: StateFolder, deep: bool) -> Iterator[Finding]:
    try:
        with closing(views.open_reader(place)) as connection, understood(place, connection):
            held = views.summary(connection)
            interrupted = _interrupted(place, connection)
            routes = views.routes(connection)
            left = [
                *left_over(connection, {route.name: route.gathers for route in routes.values()}),
                *stranded(routes)(connection),
            ]
            failing = views.failing(connection) if place.holder() else {}
            rows = _rows(connection, held) if deep else []
    except TriggersError as error:
        yield _finding("journal", str(error), problem=True)
        return
    except apsw.Error as error:
        yield _finding("journal", f"{error}; keep the file, and restore a backup", problem=True)
        return
    broken = held.integrity != "ok"
    hint = "; keep the file, and restore a backup" if broken else ""
    yield _finding("journal integrity", f"{held.integrity}{hint}", problem=broken)
    old = held.schema < len(MIGRATIONS)
    yield _finding("journal schema", f"version {held.schema}{'; `triggers run` brings it forward' if old else ''}")
    states = {**held.runs, "running": held.runs["running"] - interrupted, INTERRUPTED: interrupted}
    runs = ", ".join(f"{many:,} {word}" for word, many in states.items() if many) or "no runs"
    yield _finding("journal", f"{count(held.events, 'event')}; {runs}; epoch {held.epoch}")
    if dead := held.runs["dead"]:
        yield _finding("dead letters", f"{count(dead, 'run')}; see `triggers dead`", warning=True)
    for one in left:
        yield _finding("left over", plain(str(one)), problem=True)
    for pause in held.pauses:
        yield _finding("paused", f"{plain(pause.route) or 'all routes'}: {plain(str(pause))}", warning=True)
    for source, why in failing.items():
        yield _finding(f"source {plain(source)}", f"failing: {plain(why)}", problem=True)
    if held.newest and held.newest > time.time() + 60:
        yield _finding("clock went back", f"the newest event is of {clock(held.newest)}", problem=True)
    yield from rows


def _rows(connection: apsw.Connection, held: views.Summary) -> list[Finding]:
    """Say which rows do not fit together. What is damaged or older than this code is not asked."""
    if held.integrity != "ok" or held.schema < len(MIGRATIONS):
        return [_finding("journal rows", "not looked at, see above", warning=True)]
    flaws = unsound(connection)
    found = [_finding("journal rows", plain(str(one)), problem=one.harmful, warning=True) for one in flaws]
    return found or [_finding("journal rows", f"all fit together, by {len(RULES)} rules")]


def _interrupted(place: StateFolder, connection: apsw.Connection) -> int:
    epoch = living_epoch(place, connection)
    return sum(run.epoch < epoch for run in views.runs(connection, state="running"))


# --- the app -------------------------------------------------------------------------------------


def _app(target: str) -> Iterator[Finding]:
    from triggers.check.graph import check
    from triggers.commands.loading import bind, load_app  # loads pydantic, which is for apps alone

    app = bind(load_app(target), {})
    problems = check(app)
    for problem in problems:
        yield _finding("wiring", problem.message, problem=problem.error, warning=not problem.error)
    if not problems:
        yield _finding("wiring", f"app {app.name!r}, {count(len(app.routes), 'route')}")
    for name, place in app.places().items():
        if isinstance(place.where, Path):
            yield from _folder(name, place.where, watched=name in app.sources)
    if any(isinstance(one, Bucket | Queue) for one in (*app.sources.values(), *app.outputs.values())):
        from triggers.aws import checkup  # loads botocore

        yield from checkup.of_app(app)


def _deployed(app: str) -> Iterator[Finding]:
    from triggers.aws import checkup  # the same

    yield from checkup.of_deployed(app)


def _folder(name: str, path: Path, *, watched: bool) -> Iterator[Finding]:
    if not path.is_dir():
        seen = f"{path} is no folder; make it, or bind {name} to another one with --bind"
        yield _finding(f"folder {name}", seen, problem=watched, warning=not watched)
        return
    needed = os.R_OK | os.X_OK if watched else os.R_OK | os.W_OK | os.X_OK
    word = "read" if watched else "written"
    allowed = os.access(path, needed)
    yield _finding(f"folder {name}", f"{path}{'' if allowed else f' cannot be {word}'}", problem=not allowed)
    yield from _disk(f"folder {name}", path, local=False)
