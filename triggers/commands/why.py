"""`triggers why`: what something waits for, or how it ended, in a line."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import click

from triggers.commands.matching import Verdict, verdicts
from triggers.commands.output import clock, count, paint, plain, say, say_json, span
from triggers.commands.parameters import deployed_option, json_option, state_option, written
from triggers.commands.reading import duration, find, find_event, living_epoch, looking, state_of
from triggers.errors import did_you_mean
from triggers.journal import views
from triggers.journal.views import RouteView, RunView
from triggers.lineage import EventRow
from triggers.quantities import in_bytes

NAMED = 5
"""How many runs are named where more hold a limit."""

SLOTS = {"coroutine", "thread", "process"}
"""The resources that are places in the executor."""

TINY = 1e-6
"""What sums of fractions may be off by."""

DECLARED = re.compile(r"\((overlap|rate_limit)=")
"""What a reason says that is not somebody's who dropped a run by hand, but the route's own declaration."""

ALLOW = "allow"
"""What `overlap=` is where runs of a route may be open at once; to load `Overlap` takes long."""

LAST_WORDS = 5.0
"""Seconds that a coroutine may take to end after its timeout."""


@dataclass
class Scene:
    """What an answer is taken from."""

    connection: apsw.Connection
    holder: str | None
    """Who owns the state folder, or None."""
    epoch: int
    """The living one."""
    routes: dict[str, RouteView]

    def at_work(self) -> list[RunView]:
        """Return the runs whose handlers are at work now."""
        return [run for run in views.runs(self.connection, state="running") if run.epoch == self.epoch]

    def needs(self, name: str) -> dict[str, float]:
        """Return what a run of the route holds while it runs: resources, the slot of the executor last."""
        policy = self.routes[name].policy if name in self.routes else {}
        slot = {policy["kind"]: 1.0} if policy else {}
        return {**policy.get("needs", {}), **slot}


@click.command()
@click.argument("id", metavar="ID")
@state_option
@deployed_option
@json_option
def why(id: str, folder: str | None, aws: str | None, as_json: bool) -> None:
    """Say in a line what an event or a run waits for, or how it ended and why; of a schedule, when it fires."""
    answers: list[tuple[str, str | None, str]]
    with looking(folder, aws, lambda deployed: deployed.chain(id)) as (state, connection):
        scene = Scene(connection, state.holder(), living_epoch(state, connection), views.routes(connection))
        if id in scene.routes and scene.routes[id].policy.get("schedule"):
            from triggers.commands.schedule import of_schedule  # loads pydantic, which nothing else here needs

            answers = [(id, None, of_schedule(connection, scene.routes[id], time.time()))]
        else:
            answers = _of_found(scene, find(connection, id))
    if as_json:
        say_json([{"id": name, "state": word, "why": text} for name, word, text in answers])
        return
    for name, word, text in answers:
        say(f"{paint(name, None, bold=True)}{f' {word}' if word else ''}: {plain(text)}")


def _of_found(scene: Scene, asked: EventRow | RunView) -> list[tuple[str, str | None, str]]:
    if isinstance(asked, RunView):
        return [(f"r{asked.number}", state_of(asked, scene.epoch), of_run(scene, asked))]
    return of_event(scene, asked)


def of_run(scene: Scene, run: RunView) -> str:
    """Return why a run is where it is."""
    match state_of(run, scene.epoch):
        case "waiting":
            return _waiting(scene, run)
        case "running":
            return _running(scene, run)
        case "interrupted":
            return f"the process that ran {run.route} has ended in attempt {run.attempt}; {_restart(scene)}"
        case "delayed":
            return _delayed(scene, run)
        case "done":
            return _done(scene, run)
        case "dead":
            tries = count(run.attempt, "attempt")
            return f"{run.route} failed for good after {tries}: {run.error}; see {written(f'dead show r{run.number}')}"
    redrive = written(f"dead redrive r{run.number}")
    if DECLARED.search(run.error or ""):
        return f"{run.route} does not run it: {run.error}; {redrive} runs it all the same"
    return f"{run.route} was dropped by hand after {run.error}; {redrive} takes it back"


def _restart(scene: Scene) -> str:
    if scene.holder:
        return f"{scene.holder} starts it again when its turn comes"
    return "no dispatcher is running; it starts again with `triggers run`"


def _waiting(scene: Scene, run: RunView) -> str:
    route = scene.routes.get(run.route)
    if route is None:
        known = did_you_mean(run.route, scene.routes)
        return f"route {run.route!r} is not in the app any more{known}; it waits until the app has it again"
    if scene.holder is None:
        return f"no dispatcher is running; {run.route} starts it with `triggers run`"
    more = f"; it may have {in_bytes(run.memory)} of memory, as an attempt died of less" if run.memory else ""
    return f"{_held_up(scene, route) or f'{run.route} starts it when its turn comes'}{_before(scene, run)}{more}"


def _held_up(scene: Scene, route: RouteView) -> str | None:
    """Return what keeps runs of the route from starting now, or None where nothing is known that does."""
    at_work = scene.at_work()
    own = [other for other in at_work if other.route == route.name]
    limit = route.policy.get("concurrency")
    if limit and len(own) >= limit:
        return f"{route.name} runs {limit} at a time (concurrency=); held by {_names(own)}"
    overlap = route.policy.get("overlap", ALLOW)
    if overlap != ALLOW and (delayed := views.runs(scene.connection, route=route.name, state="delayed")):
        return f"{route.name} runs one at a time (overlap={overlap!r}); to be tried again before: {_names(delayed)}"
    if short := exhausted(scene, route.name, at_work):
        holders = [other for other in at_work if short & set(scene.needs(other.route))]
        what = " and ".join(_thing(name) for name in scene.needs(route.name) if name in short)
        return f"it needs {what}, taken by {_names(holders)}"
    return None


def exhausted(scene: Scene, route: str, at_work: Sequence[RunView]) -> set[str]:
    """Return of what the route needs too little is left. Nothing, where the journal does not say how much there is."""
    app = views.app(scene.connection)
    if app is None:
        return set()
    taken: Counter[str] = Counter()
    for run in at_work:
        taken.update(scene.needs(run.route))
    left = {name: most - taken[name] for name, most in app.capacity.items()}
    return {name for name, amount in scene.needs(route).items() if amount > left.get(name, amount) + TINY}


def _thing(name: str) -> str:
    return f"a {name} slot" if name in SLOTS else name


def _before(scene: Scene, run: RunView) -> str:
    waiting = views.runs(scene.connection, route=run.route, state="waiting")
    rank = (-run.priority, run.number)
    ahead = sum((-other.priority, other.number) < rank for other in waiting)
    return f"; {count(ahead, 'run')} of {run.route} before it" if ahead else ""


def _names(runs: list[RunView]) -> str:
    named = ", ".join(f"r{run.number} ({run.route})" for run in runs[:NAMED])
    return named + (f" and {len(runs) - NAMED} more" if len(runs) > NAMED else "")


def _attempt(scene: Scene, run: RunView) -> str:
    route = scene.routes.get(run.route)
    most = route.policy.get("attempts") if route else None
    return f"attempt {run.attempt} of {most}" if most else f"attempt {run.attempt}"


def _running(scene: Scene, run: RunView) -> str:
    seconds = time.time() - (run.started or 0)
    since = f"since {clock(run.started)} ({span(seconds)})"
    stuck = _stuck(scene.routes.get(run.route), seconds)
    return f"{run.route} runs {since}, {_attempt(scene, run)}, by {scene.holder}{stuck}"


def _stuck(route: RouteView | None, seconds: float) -> str:
    """Return that a run can't be stopped where it is: in a thread, or as a coroutine that outlives its cancellation."""
    policy = route.policy if route else {}
    kind, timeout = policy.get("kind"), policy.get("timeout")
    if kind == "thread":
        return "; in a thread, where it can't be stopped: timeout= or isolate=True would run it in a process"
    if kind == "coroutine" and timeout and seconds > timeout + LAST_WORDS:
        return f"; its timeout of {timeout:g} s is over, yet it runs on: let CancelledError pass"
    return ""


def _delayed(scene: Scene, run: RunView) -> str:
    after = f" after {run.error}" if run.error else ""
    due = run.due_time or 0.0
    when = f"{clock(due)} (in {span(due - time.time())})" if due > time.time() else f"{clock(due)}, which is past"
    idle = "" if scene.holder else "; no dispatcher is running, start `triggers run`"
    done = f"{_attempt(scene, run)} done{after}"
    return f"{run.route} is tried again at {when}, {done}{idle}; {written('retry')} does it now"


def _done(scene: Scene, run: RunView) -> str:
    root = find_event(scene.connection, run.event).root
    events = views.events(scene.connection, root=root, cause=run.number)
    emitted = ", ".join(f"e{event.number} {event.type}" for event in events[:NAMED])
    more = f" and {len(events) - NAMED} more" if len(events) > NAMED else ""
    said = f"emitted {emitted}{more}" if events else "emitted nothing"
    tries = f" in attempt {run.attempt}" if run.attempt > 1 else ""
    return f"{run.route} ended well at {clock(run.ended)}{tries} after {span(duration(run))}; it {said}"


def of_event(scene: Scene, event: EventRow) -> list[tuple[str, str | None, str]]:
    """Return, for each run of an event, why it is where it is; or why the event triggered nothing."""
    name = f"e{event.number}"
    if runs := views.runs(scene.connection, event=event.number):
        return [(f"{name} r{run.number}", state_of(run, scene.epoch), of_run(scene, run)) for run in runs]
    if event.type.startswith("triggers."):
        return [(name, None, f"a request to the app, carried out when it was recorded: {event.type} {event.data}")]
    found = verdicts(scene.routes.values(), event)
    if not found:
        takes = did_you_mean(event.type, {route.trigger for route in scene.routes.values()})
        return [(name, None, f"no route takes {event.type}{takes}; it is kept, and nothing runs")]
    return [(name, None, _verdict(scene, event, verdict)) for verdict in found]


def _verdict(scene: Scene, event: EventRow, verdict: Verdict) -> str:
    if verdict.reason is None:
        return (
            f"{verdict.route} takes it today, but has no run for it: the route is newer than the event, or the run was"
            f" pruned; {written(f'replay --event e{event.number} --yes')} runs it"
        )
    return f"{verdict.route} does not take it: {verdict.reason}"
