"""One attempt of one run, and what came of it.

An outcome is a value: `Done`, `Again` or `Dead`. Nothing that a handler does escapes from an attempt.
"""

# without annotations as text, each of which a named tuple would compile

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from pydantic_core import from_json

from triggers.checkpoints import Keeper
from triggers.context import Context, Emitted, encode_returned
from triggers.copies import held
from triggers.errors import BatchFailure, HandlerError, Later, Reject
from triggers.events import FAILED, Envelope, decode, moment
from triggers.given import Given, failures, let_go, together
from triggers.lineage import EventRow
from triggers.places import Place
from triggers.routing import ONE, Route

LONGEST_TEXT = 100_000
"""Characters of an error's message or traceback that the journal keeps."""

_OURS = ("triggers.attempt", "triggers.executor")
"""Where the frames lie that a traceback leaves out, being none of the user's."""

MAX_CHAIN = 100
"""How many runs may lead from a source event to another one, where the route sets no `max_depth=`."""


def not_at_work() -> None:
    """End a run that is not at work: there is nothing to do."""


def not_kept(run: "Run") -> None:
    """Take no note of a checkpoint."""


def ended() -> None:
    """End a run that has been ended: there is nothing to do, and it never begins."""


class Usage(NamedTuple):
    """What an attempt in a process of its own used, with all that it had started."""

    memory: float
    """Bytes at most."""
    cpu: float
    """Seconds."""


@dataclass(slots=True, eq=False, repr=False)  # each method made takes 0.3 ms when the module is loaded
class Run:
    """A claimed run, as the executor gets it.

    `started` is the wall clock at the claim and, once it is at work, at its start; `first` that of the first attempt
    where this is a later one.
    """

    number: int
    attempt: int
    route: Route
    event: EventRow
    started: float
    journal: str
    places: Mapping[str, Place] = field(default_factory=dict)
    first: float | None = None
    key: str | None = None
    """What tells the runs of the route apart, where it says so (`key=`)."""
    memory: float | None = None
    """How many bytes an attempt in a process of its own may have; None is not bounded."""
    usage: Usage | None = None
    """What the attempt used, where that was measured."""
    wants: float | None = None
    """How many bytes the next attempt is to have, as this one died of too little."""
    deadline: float | None = None
    """By when it should have ended, in Unix seconds."""
    size: int | None = None
    """Bytes of its input."""
    claimed: float = 0.0
    """The wall clock at the claim, as its row has it."""
    began: float = 0.0
    """When it was put to work, in seconds that the machine was awake."""
    members: Sequence[EventRow] = ()
    """The events that came together, where the run is for several (`batch=`, `Join`)."""
    restored: str | None = None
    """The value of the last checkpoint that earlier attempts have left, as JSON."""
    origin: float | None = None
    """How much had been done then."""
    keeper: Keeper | None = None
    """What holds the newest checkpoint of this attempt; there is one where the handler takes a context."""
    told: Callable[["Run"], None] = not_kept
    """What is called with the run, in the handler's thread, when the keeper has something new."""
    end: Callable[[], object] = not_at_work
    """What ends the handler at work, where the route says that it may be ended."""

    def stop(self) -> None:
        """End the handler, or keep it from beginning. Called on the loop."""
        end, self.end = self.end, ended
        end()

    @property
    def effect_key(self) -> str:
        """Return the idempotency key: one for each run of each journal, whatever the attempt."""
        return f"{self.journal}-r{self.number}"


class Failure(NamedTuple):
    """An error as the journal keeps it."""

    error: str
    message: str
    traceback: str

    def __str__(self) -> str:
        return f"{self.error}: {self.message}" if self.message else self.error


class Done(NamedTuple):
    """The handler finished; these are the events that it emitted."""

    emitted: list[Emitted]
    failed: Sequence[tuple[int, str]] = ()
    """Those of the run's events that the handler could not do, by their places, and why: each is tried by itself."""


NOTHING = Done([])


class Again(NamedTuple):
    """The run waits for so many seconds and is tried again; `counted` says whether this attempt is used up."""

    delay: float
    word: str
    counted: bool
    failure: Failure | None = None


GIVEN_BACK = Again(0.0, "given back", counted=False)
"""What comes of an attempt that a stop interrupts: the next start runs it."""

REPLACED = Again(0.0, "replaced", counted=False)
"""What comes of an attempt that the next run of its route has ended (`overlap="replace"`): the run is dropped."""


class Dead(NamedTuple):
    """The run failed for good. `transient` says that another attempt might have cured it: there was none left."""

    failure: Failure
    transient: bool = False


Outcome = Done | Again | Dead

Finished = Callable[[Run, Outcome], None]
"""What the pools call, on the loop, with each run that has left its attempt."""


def envelope_of(event: EventRow) -> Envelope:
    """Return the envelope of a stored event."""
    return Envelope(
        number=event.number,
        id=event.id,
        source=event.source,
        type=event.type,
        version=event.version,
        subject=event.subject,
        time=moment(event.time),
        cause=f"r{event.cause}" if event.cause is not None else None,
        root=f"e{event.root}",
        depth=event.depth,
        budget=event.budget,
    )


def make_context(run: Run) -> Context:
    """Return the context that the run's handler is given."""
    policy = run.route.policy
    deadline = None if policy.timeout is None else moment(run.started) + timedelta(seconds=policy.timeout)
    run.keeper = run.keeper or Keeper(partial(run.told, run))
    return Context(
        envelope=envelope_of(run.event),
        route=run.route.name,
        run=f"r{run.number}",
        attempt=run.attempt,
        effect_key=run.effect_key,
        deadline=deadline,
        emits=run.route.emits,
        reads=policy.reads,
        writes=policy.writes,
        places=run.places,
        restored=None if run.restored is None else from_json(run.restored),
        keeper=run.keeper,
    )


def load(run: Run) -> Given:
    """Return what the run's handler is called with. Every attempt gets it from the journal's own bytes.

    Raises `Reject` where the event is further down its chain than the route allows. The news of such a failure comes
    two deeper, and is still let through.
    """
    event, limit = run.event, run.route.policy.max_depth or MAX_CHAIN
    if event.depth > (limit + 2 if event.type == FAILED else limit):
        raise Reject(f"{event.type} is {event.depth} runs below e{event.root}, the bound is {limit} (max_depth=)")
    if run.route.shape != ONE:
        return together(run.route, event, run.members)
    return (decode(run.route.trigger, event.data, event.version),)


def call_plain(run: Run) -> Done:
    """Call a plain handler; raises whatever it raises."""
    given = load(run)
    context = make_context(run) if run.route.takes_context else None
    try:
        returned = run.route.handler(*given, context) if context else run.route.handler(*given)
        return finish(run, returned, context)
    except BatchFailure as failure:
        return partly(run, failure, given, context)
    finally:
        if held:
            let_go(given)


async def call_coroutine(run: Run) -> Done:
    """Await a coroutine handler; raises whatever it raises."""
    given = load(run)
    context = make_context(run) if run.route.takes_context else None
    try:
        returned = await (run.route.handler(*given, context) if context else run.route.handler(*given))
        return finish(run, returned, context)
    except BatchFailure as failure:
        return partly(run, failure, given, context)
    finally:
        if held:
            let_go(given)


def partly(run: Run, failure: BatchFailure, given: Given, context: Context | None) -> Done:
    """Return `Done` for a batch of which some events failed, each of which is to be tried by itself.

    Of a batch of one there is nothing to take out: it raises what is wrong with it.
    """
    wrong = failures(run.route, given, failure)
    if len(run.members) == 1:
        if isinstance(wrong[0], BaseException):
            raise wrong[0]
        failure.args = (f"e{run.members[0].number} failed: {_reason(wrong[0])}",)
        raise failure
    failed = [(place, _reason(why)) for place, why in wrong.items()]
    return Done(list(context.emitted) if context else [], failed)


def _reason(why: object) -> str:
    return str(describe(why)) if isinstance(why, BaseException) else _storable(str(why))


def run_plain(run: Run) -> Outcome:
    """Call a plain handler and return what came of it. Called in a thread."""
    try:
        return call_plain(run)
    except BaseException as error:  # whatever a handler raises, SystemExit too, is an outcome
        return judge(run, error)


def cancelled(run: Run) -> Outcome:
    """Return what comes of an attempt that was cancelled, though nobody stops the app."""
    return judge(run, HandlerError(f"handler {run.route.name!r} was cancelled by itself or by what it awaited"))


def timed_out(route: Route) -> HandlerError:
    """Return the error of an attempt that took longer than its route allows."""
    return HandlerError(f"handler {route.name!r} ran out of time: timeout={route.policy.timeout:g} s", lost=True)


def finish(run: Run, returned: object, context: Context | None) -> Done:
    """Return `Done` with everything emitted, or raise `WiringError` or `EventError` where it cannot be."""
    if returned is None and context is None:
        return NOTHING
    return Done(encode_returned(context.emitted if context else [], returned, run.route.name, run.route.emits))


def judge(run: Run, error: BaseException) -> Outcome:
    """Decide, by the error and the route's `retry=`, whether the run is tried again. It never raises."""
    try:
        return _judge(run, error)
    except Exception as broken:  # an error class of the handler's that fails when it is looked at
        return Dead(describe(broken))


def _judge(run: Run, error: BaseException) -> Outcome:
    if isinstance(error, Later):
        return Again(error.delay, "later", counted=False, failure=Failure("Later", _message(error), ""))
    error = without_exit(error, run.route.name)
    failure = describe(error)
    retry = run.route.policy.retry
    if isinstance(error, HandlerError) and error.lost:
        retry = replace(retry, on=HandlerError)  # ended from outside: only the number of attempts counts
    delay = retry.decide(error, run.attempt, seed=run.effect_key)
    if delay is None:
        return Dead(failure, retry.cures(error))
    return Again(delay, "failed", counted=True, failure=failure)


def without_exit(error: BaseException, route: str) -> BaseException:
    """Return the error itself, or what stands for a `sys.exit()`: that is a mistake, wherever the handler runs."""
    if not isinstance(error, SystemExit):
        return error
    mistake = HandlerError(f"handler {route!r} called sys.exit({error.code!r}); raise an error instead")
    return mistake.with_traceback(error.__traceback__)


def describe(error: BaseException) -> Failure:
    """Return an error as the journal keeps it: its type, its message, and the traceback from the user's frame on."""
    if isinstance(error, HandlerError) and error.original:
        return Failure(*error.original)
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "triggers.errors")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    trace = error.__traceback__
    while trace and trace.tb_next and trace.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(kind, error, trace))
    return Failure(name, _message(error), _storable(text))


def _message(error: BaseException) -> str:
    try:
        return _storable(str(error))
    except Exception as broken:  # a handler's own class may fail to describe itself
        return f"its __str__ failed with {type(broken).__name__}"


def _storable(text: str) -> str:
    """Return text that can be written as UTF-8: a file name in a message may hold bytes that can't."""
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
