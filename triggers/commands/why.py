"""`triggers why`: what something waits for, or how it ended, in a line."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import apsw
import click

from triggers.commands.holdups import Holdup, Holdups
from triggers.commands.matching import Verdict, verdicts
from triggers.commands.output import clock, count, iso, pace, paint, plain, say, say_json, span
from triggers.commands.parameters import deployed_option, json_option, state_option, written
from triggers.commands.reading import (
    OBJECT_CREATED,
    duration,
    find,
    find_event,
    living_epoch,
    looking,
    state_of,
    untried,
)
from triggers.errors import did_you_mean
from triggers.journal import STATES, backlog, turns, views
from triggers.journal.groups import GATHERED, Group, groups
from triggers.journal.pauses import pause_of, paused_routes
from triggers.journal.views import RouteView, RunView
from triggers.lineage import EventRow
from triggers.quantities import in_bytes
from triggers.scheduling.gates import CLOSED_FOR_GOOD

if TYPE_CHECKING:  # loads the simulation, which what has ended does not need
    from triggers.prediction.outlook import Expected, Outlook

NAMED = 5
"""How many events are named where a run has emitted more."""

DECLARED = re.compile(r"\((overlap|rate_limit|debounce|expires|repeated|late|missing|batch|by)=")
"""What a reason says that is not somebody's who dropped a run by hand, but the route's own declaration."""

PLAYED = 500
"""As many runs of a route are played forward; see `prediction.outlook`, which what has ended does not need to load."""

APART = re.compile(r"\((repeated|late|batch|by)=")
"""What a reason says that is of an event which came together with no others: it can't be run by itself."""

TOO_MANY = "at most come together"
"""What a reason says where a replay would change nothing."""

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
    aws: bool

    @cached_property
    def holdups(self) -> Holdups:
        """Return what waiting runs are held up by."""
        return Holdups(self.connection, self.epoch, self.routes)

    @cached_property
    def outlook(self) -> Outlook:
        """Return when what is open is expected to start and to end; nothing where nobody works on it here."""
        from triggers.commands.foresight import outlook  # loads the simulation, which what has ended does not need

        return outlook(self.connection, self.epoch, time.time())

    def expected(self, run: RunView, behind: Collection[str] = ()) -> str:
        """Return when a run is expected to start and to end, in words to add. `behind` are the routes it waits for."""
        if self.holder is None or self.aws or run.route not in self.routes:
            return ""
        from triggers.commands.foresight import foreseen, own_policy

        words = foreseen(self.outlook, run.number, behind, time.time())
        return f"; {words}{own_policy(views.app(self.connection))}" if words else ""


@dataclass
class Answer:
    """What is said of one thing."""

    id: str
    state: str | None
    text: str
    holdup: Holdup | None = None
    """What it waits for."""
    expected: Expected | None = None

    def json(self) -> dict[str, object]:
        """Return it as `--json` shows it."""
        shown: dict[str, object] = {"id": self.id, "state": self.state, "why": self.text}
        if self.holdup:
            held = [f"r{number}" for number in self.holdup.by]
            shown |= {"waits_for": self.holdup.kind, "held_by": held, "until": iso(self.holdup.until)}
        if self.expected:
            from triggers.commands.foresight import shown as moments

            shown |= {"starts": moments(self.expected.start), "ends": moments(self.expected.end)}
        return shown


@click.command()
@click.argument("id", metavar="ID")
@state_option
@deployed_option
@json_option
def why(id: str, folder: str | None, aws: str | None, as_json: bool) -> None:
    """Say in a line what an event or a run waits for, or how it ended and why; of a schedule, when it fires."""
    with looking(folder, aws, lambda deployed: deployed.chain(id)) as (state, connection):
        scene = Scene(connection, state.holder(), living_epoch(state, connection), views.routes(connection), bool(aws))
        if id in scene.routes and scene.routes[id].policy.get("schedule"):
            from triggers.commands.schedule import of_schedule  # loads pydantic, which nothing else here needs

            answers = [Answer(id, None, of_schedule(connection, scene.routes[id], time.time()))]
        else:
            answers = _of_found(scene, find(connection, id))
    if as_json:
        say_json([answer.json() for answer in answers])
        return
    for answer in answers:
        word = f" {answer.state}" if answer.state else ""
        say(f"{paint(answer.id, None, bold=True)}{word}: {plain(answer.text)}")


def _of_found(scene: Scene, asked: EventRow | RunView) -> list[Answer]:
    return [of_run(scene, f"r{asked.number}", asked)] if isinstance(asked, RunView) else of_event(scene, asked)


def of_run(scene: Scene, id: str, run: RunView) -> Answer:
    """Return why a run is where it is, under the name by which it was asked for."""
    state = state_of(run, scene.epoch)
    if state == "waiting" and run.route in scene.routes and scene.holder and not scene.aws:
        return _waiting(scene, Answer(id, state, ""), run)
    known = state == "running" and scene.expected(run)
    return Answer(id, state, _said(scene, run, state), expected=scene.outlook.runs.get(run.number) if known else None)


def _said(scene: Scene, run: RunView, state: str) -> str:
    match state:
        case "waiting":
            return _idle(scene, run)
        case "running":
            return _running(scene, run) + _come_to(scene, run, run.started)
        case "interrupted":
            ended = f"the process that ran {run.route} has ended in attempt {run.attempt}; {_restart(scene, run)}"
            return ended + _halted(scene, run) + _come_to(scene, run)
        case "delayed":
            return _delayed(scene, run) + _halted(scene, run) + _come_to(scene, run)
        case "done":
            return _done(scene, run)
        case "dead":
            tries = count(run.attempt, "attempt")
            return f"{run.route} failed for good after {tries}: {run.error}; see {written(f'dead show r{run.number}')}"
    return _dropped(run)


def _dropped(run: RunView) -> str:
    """Return why a run was dropped, and what takes it back."""
    redrive = written(f"dead redrive r{run.number}")
    if TOO_MANY in (run.error or ""):
        return f"{run.route} does not run it: {run.error}"
    if APART.search(run.error or ""):
        again = written(f"replay --route {run.route} --event e{run.event} --yes")
        return f"{run.route} does not run it: {run.error}; {again} has it gathered once more"
    if "(missing=" in (run.error or ""):
        return f"{run.route} does not run it: {run.error}; a replay of all its events has them gathered once more"
    if DECLARED.search(run.error or ""):
        return f"{run.route} does not run it: {run.error}; {redrive} runs it all the same"
    return f"{run.route} was dropped by hand after {run.error}; {redrive} takes it back"


def _halted(scene: Scene, run: RunView) -> str:
    """Return that nothing of a run's route starts, where it is paused."""
    pause = None if scene.aws else pause_of(run.route, paused_routes(scene.connection))
    return f"; nothing of it starts: {plain(str(pause))}" if pause else ""


def _come_to(scene: Scene, run: RunView, started: float | None = None) -> str:
    """Return how far a run has come, if it has told that."""
    said = pace(views.progress(scene.connection, [run]).get(run.number), started)
    return f"; it has come to {said}" if said else ""


def _restart(scene: Scene, run: RunView) -> str:
    if scene.aws:
        return (
            "the next attempt begins when its message comes again, or the same event is invoked again; where neither"
            f" will be, as after an invocation that waited for its answer, {written(f'retry r{run.number}')} begins it"
        )
    if scene.holder:
        return f"{scene.holder} starts it again when its turn comes"
    return f"no dispatcher is running; it starts again with {written('run')}"


def _idle(scene: Scene, run: RunView) -> str:
    """Return why a run waits that nobody works on: its route is gone, or no dispatcher runs."""
    if run.route not in scene.routes:
        known = did_you_mean(run.route, scene.routes)
        return f"route {run.route!r} is not in the app any more{known}; it waits until the app has it again"
    if scene.holder is None:
        pause = pause_of(run.route, paused_routes(scene.connection))
        if pause and not scene.aws:
            return f"{run.route} does not start it: {plain(str(pause))}; and no dispatcher is running"
        waiting = backlog.run(scene.connection, run.number)
        if not scene.aws and (over := _over(scene.routes[run.route], waiting.terms.deadline)):
            return f"no dispatcher is running, and {over}; then {run.route} starts it with {written('run')}"
        gate = None if scene.aws else scene.holdups.gate(waiting)
        then = f", once this is over: {gate.text}" if gate and (gate.until or 0.0) > time.time() else ""
        return f"no dispatcher is running; {run.route} starts it with {written('run')}{then}"
    return f"{run.route} starts it when its turn comes"


def _over(route: RouteView, deadline: float | None) -> str:
    """Return that a route's window does not open again for a run that no deadline starts without it; else nothing."""
    window = route.policy.get("window")
    if not window or deadline is not None:
        return ""
    from triggers.schedule import Window  # loads the zones, which few routes need

    return "" if Window(window).next(time.time()) else CLOSED_FOR_GOOD.format(window)


def _waiting(scene: Scene, answer: Answer, run: RunView) -> Answer:
    """Complete the answer for a run that waits: what for, and when it is expected to start."""
    waiting = backlog.run(scene.connection, run.number)
    before = backlog.before(scene.connection, waiting, scene.epoch)
    answer.holdup = holdup = scene.holdups.of(waiting, before)
    answer.text = holdup.text + (f"; {count(before, 'run')} of {run.route} before it" if before else "")
    if run.memory:
        answer.text += f"; it may have {in_bytes(run.memory)} of memory, as an attempt died of less"
    if before >= PLAYED:
        answer.text += "; when it starts nobody can say: too many are before it"
    elif holdup.kind != "gate" or holdup.until is not None:
        words = scene.expected(run, _behind(scene, run, holdup, before))
        expected = scene.outlook.runs.get(run.number)
        if expected and expected.expires is not None:
            answer.text += f"; it is dropped before that, at {clock(expected.expires)} (expires=)"
        else:
            answer.text, answer.expected = answer.text + words, expected
    return answer


def _behind(scene: Scene, run: RunView, holdup: Holdup, before: int) -> set[str]:
    """Return the routes of the runs that must end, or start, before a waiting one does, as far as they are known."""
    holders = {found.route for number in holdup.by if (found := scene.outlook.runs.get(number))}
    return holders | {run.route} if before else holders


def _attempt(scene: Scene, run: RunView) -> str:
    route = scene.routes.get(run.route)
    most = route.policy.get("attempts") if route else None
    return f"attempt {run.attempt} of {most}" if most else f"attempt {run.attempt}"


def _running(scene: Scene, run: RunView) -> str:
    seconds = time.time() - (run.started or 0)
    since = f"since {clock(run.started)} ({span(seconds)})"
    stuck = _stuck(scene.routes.get(run.route), seconds)
    return f"{run.route} runs {since}, {_attempt(scene, run)}, by {scene.holder}{stuck}{scene.expected(run)}"


def _stuck(route: RouteView | None, seconds: float) -> str:
    """Return that a run can't be stopped where it is: in a thread, or as a coroutine that outlives its cancellation."""
    policy = route.policy if route else {}
    kind, timeout = policy.get("kind"), policy.get("timeout")
    if kind == "thread":
        return "; in a thread, where it can't be stopped: timeout= or isolate=True would run it in a process"
    if kind == "coroutine" and timeout and seconds > timeout + LAST_WORDS:
        return f"; its timeout of {timeout:g} s is over, yet it runs on: let CancelledError pass"
    return ""


def _in_turn(scene: Scene, run: RunView) -> str:
    """Return what a run waits for whose turn in the order of its data has not come."""
    found = turns.before(scene.connection, run.number)
    if found is None:
        return f"{run.route} starts it when its turn comes (in_order=)"
    number, word = f"r{found[0]}", STATES[found[1]]
    now = f"; {_now(run)}"
    if word != "dead":
        return f"{run.route} goes in the order of its data (in_order=): {number} is before it, and {word}{now}"
    ways = f"{written(f'dead redrive {number}')} or {written(f'dead drop {number}')} lets it go on"
    return f"{run.route} goes in the order of its data (in_order=): {number} before it is dead; {ways}{now}"


def _now(run: RunView) -> str:
    return f"{written(f'retry r{run.number}')} does it now"


def _delayed(scene: Scene, run: RunView) -> str:
    if run.due_time is None:
        return _in_turn(scene, run)
    after = f" after {run.error}" if run.error else ""
    due = run.due_time or 0.0
    when = f"{clock(due)} (in {span(due - time.time())})" if due > time.time() else f"{clock(due)}, which is past"
    idle = "" if scene.holder else f"; no dispatcher is running, start {written('run')}"
    if untried(run):
        return f"{run.route} does not start it before {when} (not_before=){idle}; {_now(run)}"
    done = f"{_attempt(scene, run)} done{after}"
    return f"{run.route} is tried again at {when}, {done}{idle}; {_now(run)}"


def _done(scene: Scene, run: RunView) -> str:
    root = find_event(scene.connection, run.event).root
    events = views.events(scene.connection, root=root, cause=run.number)
    objects = [event for event in events if event.type == OBJECT_CREATED]
    emitted = [event for event in events if event.type not in (OBJECT_CREATED, GATHERED)]
    wrote = f" and wrote what came as {_events(objects)}" if objects else ""
    said = f"emitted {_events(emitted)}{wrote}"
    tries = f" in attempt {run.attempt}" if run.attempt > 1 else ""
    return f"{run.route} ended well at {clock(run.ended)}{tries} after {span(duration(run))}; it {said}"


def _events(events: list[EventRow]) -> str:
    named = ", ".join(f"e{event.number} {event.type}" for event in events[:NAMED])
    return (named or "nothing") + (f" and {len(events) - NAMED} more" if len(events) > NAMED else "")


def of_event(scene: Scene, event: EventRow) -> list[Answer]:
    """Return, for each run of an event, why it is where it is; or why the event triggered nothing."""
    name = f"e{event.number}"
    answers = [of_run(scene, f"{name} r{run.number}", run) for run in views.runs(scene.connection, event=event.number)]
    for group in groups(scene.connection, [event.number])[event.number]:
        answers += _of_group(scene, name, group)
    if answers:
        return answers
    if event.type.startswith("triggers."):
        return [
            Answer(name, None, f"a request to the app, carried out when it was recorded: {event.type} {event.data}")
        ]
    found = verdicts(scene.routes.values(), event)
    if not found:
        takes = did_you_mean(event.type, {kind for route in scene.routes.values() for kind in route.takes})
        return [Answer(name, None, f"no route takes {event.type}{takes}; it is kept, and nothing runs")]
    return [Answer(name, None, _verdict(scene, event, verdict)) for verdict in found]


def _of_group(scene: Scene, name: str, group: Group) -> list[Answer]:
    """Return what an event waits for that comes together with others, or what has become of them."""
    if group.whole is not None:
        together = Answer(
            name, None, f"came together as e{group.whole} of {count(group.there, 'event')}, for {group.route}"
        )
        return [together, *of_event(scene, find_event(scene.connection, group.whole))]
    if group.route not in scene.routes or not scene.routes[group.route].gathers:
        return [Answer(name, "gathered", _left(scene, name, group.route))]
    if group.ended:
        return [Answer(name, None, f"has come together with others for {group.route}, which runs next")]
    of = f" of {group.wanted}" if group.wanted else ""
    idle = "" if scene.holder else f"; no dispatcher is running, start {written('run')}"
    text = (
        f"{group.route} waits for others of its group, which has {group.there}{of} and ends at {clock(group.due)}{idle}"
    )
    return [Answer(name, "gathered", text)]


def _left(scene: Scene, name: str, route: str) -> str:
    """Return what an event waits for whose route has lost its declaration."""
    if route not in scene.routes:
        known = did_you_mean(route, scene.routes)
        return f"route {route!r}, for which it waits for others, is gone from the app{known}; it waits on"
    alone = written(f"replay --route {route} --event {name} --yes")
    return f"{route} does not gather any more, and it waits for others; {alone} has it run by itself"


def _verdict(scene: Scene, event: EventRow, verdict: Verdict) -> str:
    if verdict.reason is None:
        return (
            f"{verdict.route} takes it today, but has no run for it: the route is newer than the event, or the run was"
            f" pruned; {written(f'replay --event e{event.number} --yes')} runs it"
        )
    return f"{verdict.route} does not take it: {verdict.reason}"
