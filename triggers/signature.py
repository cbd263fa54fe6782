"""What a handler's signature says: the events it accepts, the events it emits, whether it wants a `Context`."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Union, get_args, get_origin

from triggers.context import Context
from triggers.errors import WiringError
from triggers.events import Event


class Signature(NamedTuple):
    """A handler as its annotations describe it. `accepts` is empty where the event has no annotation."""

    accepts: tuple[type[Event], ...]
    takes_context: bool
    emits: tuple[type[Event], ...]
    coroutine: bool


def read_signature(handler: Callable[..., Any]) -> Signature:
    """Read a handler's signature, or raise `WiringError` naming the handler and what is wrong with it."""
    name = getattr(handler, "__qualname__", None)
    if name is None or not hasattr(handler, "__name__"):
        raise WiringError(f"handler {handler!r} has no name by which it can be found; wrap it in a `def`")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise WiringError(f"handler {name} is a generator; return a list of events instead of yielding them")
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if positional and positional[0].name in ("self", "cls"):
        raise WiringError(
            f"handler {name} is a method, and there is no {positional[0].name} to call it with; write it as a function,"
            " or register the method of an object: app.on(EventType)(thing.method)"
        )
    if not positional or len(required) > 2 or any(p not in positional[:2] for p in required):
        raise WiringError(f"handler {name} must take (event) or (event, context), not {inspect.signature(handler)}")
    hints = _hints(handler, name)
    event_hint = hints.get(positional[0].name)
    second = hints.get(positional[1].name) if len(positional) > 1 else None
    takes_context = len(positional) > 1 and (second is Context or positional[1] in required)
    if takes_context and second not in (None, Context):
        raise WiringError(f"handler {name}: the second parameter is the Context, but it is annotated {_show(second)}")
    return Signature(
        accepts=() if event_hint is None else tuple(_types(event_hint, name, "takes")),
        takes_context=takes_context,
        emits=tuple(dict.fromkeys(_types(hints.get("return", type(None)), name, "returns"))),
        coroutine=inspect.iscoroutinefunction(handler),
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
