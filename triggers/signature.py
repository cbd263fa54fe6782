"""What a handler's signature says: the events it accepts, the events it emits, whether it wants a `Context`."""

# without annotations as text, each of which a named tuple would compile

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Union, get_args, get_origin

from triggers.context import Context
from triggers.errors import WiringError
from triggers.events import Event


class Signature(NamedTuple):
    """A handler as its annotations describe it. `accepts` has the types of each event that it takes, none where there
    is no annotation; `lists` says which are lists."""

    accepts: Sequence[tuple[type[Event], ...]]
    lists: Sequence[bool]
    takes_context: bool
    emits: tuple[type[Event], ...]
    coroutine: bool


def read_signature(handler: Callable[..., Any], events: int = 1) -> Signature:
    """Read a handler's signature, or raise `WiringError` naming the handler and what is wrong with it.

    `events` is how many parameters are events, before the context.
    """
    name = _name(handler)
    positional, required = _parameters(handler)
    _check_shape(handler, name, positional, required, events)
    hints = _hints(handler, name)
    given = [hints.get(parameter.name) for parameter in positional[:events]]
    last = positional[events] if len(positional) > events else None
    return Signature(
        accepts=[() if hint is None else tuple(_types(hint, name, "takes")) for hint in given],
        lists=[isinstance(origin := get_origin(hint), type) and issubclass(origin, Iterable) for hint in given],
        takes_context=last is not None and _takes_context(name, hints.get(last.name), last in required, events),
        emits=tuple(dict.fromkeys(_types(hints.get("return", type(None)), name, "returns"))),
        coroutine=inspect.iscoroutinefunction(handler),
    )


def _name(handler: Callable[..., Any]) -> str:
    """Return the name by which other processes find a handler."""
    name: str | None = getattr(handler, "__qualname__", None)
    if name is None or not hasattr(handler, "__name__"):
        raise WiringError(f"handler {handler!r} has no name by which it can be found; wrap it in a `def`")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise WiringError(f"handler {name} is a generator; return a list of events instead of yielding them")
    return name


def _parameters(handler: Callable[..., Any]) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    """Return the parameters that are given by their place, and those that must be given."""
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return positional, required


def _check_shape(
    handler: Callable[..., Any],
    name: str,
    positional: Sequence[inspect.Parameter],
    required: Sequence[inspect.Parameter],
    events: int,
) -> None:
    if positional and positional[0].name in ("self", "cls"):
        raise WiringError(
            f"handler {name} is a method, and there is no {positional[0].name} to call it with; write it as a function,"
            " or register the method of an object: app.on(EventType)(thing.method)"
        )
    if len(positional) < events or any(p not in positional[: events + 1] for p in required):
        wanted = "event" if events == 1 else f"an event of each of {events} types"
        raise WiringError(
            f"handler {name} must take ({wanted}) or ({wanted}, context), not {inspect.signature(handler)}"
        )


def _takes_context(name: str, hint: Any, required: bool, events: int) -> bool:
    """Say whether the parameter behind the events is the context; an optional one may be the handler's own."""
    if hint is not Context and not required:
        return False
    if hint not in (None, Context):
        place = "second" if events == 1 else "last"
        raise WiringError(f"handler {name}: the {place} parameter is the Context, but it is annotated {_show(hint)}")
    return True


def check_given(
    handler: Callable[..., Any], signature: Signature, kinds: Sequence[type[Event]], *, listed: bool
) -> None:
    """Raise `WiringError` where the annotations are not of what the handler is called with: a list, where `listed`."""
    for kind, accepted, is_list in zip(kinds, signature.accepts, signature.lists, strict=True):
        if accepted and not any(issubclass(kind, one) for one in accepted):
            words = " | ".join(one.__name__ for one in accepted)
            raise WiringError(f"handler {handler.__qualname__} takes {words}, but it is registered on {kind.__name__}")
        if accepted and is_list != listed:
            name = kind.__name__
            raise WiringError(
                f"handler {handler.__qualname__} is called with a list of {name}: annotate it list[{name}]"
                if listed
                else f"handler {handler.__qualname__} takes a list, but is called with one {name}; for lists say batch="
            )


def _hints(handler: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler)
    except NameError as error:
        raise WiringError(
            f"handler {name}: the annotation {error.name!r} cannot be resolved;"
            " define event types at module level, above the handlers that use them"
        ) from error


def _types(hint: Any, name: str, verb: str) -> Iterable[type[Event]]:
    """Yield the event types in an annotation: `A`, `A | B | None`, `list[A]`."""
    origin = get_origin(hint)
    if hint is None or hint is type(None):
        return
    if origin in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _types(part, name, verb)
    elif origin in (list, tuple) or (origin is not None and inspect.isclass(origin) and issubclass(origin, Iterable)):
        for part in get_args(hint):
            if part is not Ellipsis:
                yield from _types(part, name, verb)
    elif hint is Event and verb == "returns":
        raise WiringError(f"handler {name} returns Event itself, which says nothing; name its types, as in -> A | B")
    elif inspect.isclass(hint) and issubclass(hint, Event):
        yield hint
    else:
        raise WiringError(f"handler {name} {verb} {_show(hint)}, which is no event type; subclass triggers.Event")


def _show(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
