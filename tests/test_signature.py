from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Optional

import pytest

from triggers.context import Context
from triggers.errors import WiringError
from triggers.events import Event
from triggers.signature import read_signature


class A(Event):
    pass


class B(Event):
    pass


class NoEvent:
    pass


def plain(event: A) -> B: ...  # type: ignore[empty-body]
async def coroutine(event: A, ctx: Context) -> B | None: ...
def several(event: A | B) -> list[A | B]: ...  # type: ignore[empty-body]
def iterable(event: A) -> Iterable[B]: ...  # type: ignore[empty-body]
def optional(event: A) -> Optional[tuple[B, ...]]: ...  # noqa: UP045
def bare(event): ...  # type: ignore[no-untyped-def]
def bare_context(event, ctx): ...  # type: ignore[no-untyped-def]
def with_default(event: A, limit: int = 3) -> None: ...
def with_context_default(event: A, ctx: Context | None = None) -> None: ...
def with_rest(event: A, *rest: int, **more: int) -> None: ...


class Methods:
    def handle(self, event: A) -> B: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("handler", "accepts", "takes_context", "emits", "is_coroutine"),
    [
        (plain, (A,), False, (B,), False),
        (coroutine, (A,), True, (B,), True),
        (several, (A, B), False, (A, B), False),
        (iterable, (A,), False, (B,), False),
        (optional, (A,), False, (B,), False),
        (bare, (), False, (), False),
        (bare_context, (), True, (), False),
        (with_default, (A,), False, (), False),
        (with_context_default, (A,), False, (), False),
        (with_rest, (A,), False, (), False),
        (Methods().handle, (A,), False, (B,), False),
    ],
)
def test_a_signature_says_what_a_handler_takes_and_emits(
    handler: Callable[..., Any],
    accepts: tuple[type[Event], ...],
    takes_context: bool,
    emits: tuple[type[Event], ...],
    is_coroutine: bool,
) -> None:
    found = read_signature(handler)
    assert (found.accepts, found.takes_context, found.emits, found.coroutine) == (
        [accepts], takes_context, emits, is_coroutine,
    )  # fmt: skip


def nothing() -> None: ...
def three(event: A, ctx: Context, more: int) -> None: ...
def keyword(event: A, *, more: int) -> None: ...
def wrong_second(event: A, ctx: B) -> None: ...
def takes_no_event(event: int) -> None: ...
def returns_no_event(event: A) -> NoEvent: ...  # type: ignore[empty-body]
def returns_any_event(event: A) -> list[Event]: ...  # type: ignore[empty-body]
def unresolved(event: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def generator(event: A) -> Iterator[B]:
    yield B()


async def async_generator(event: A) -> Any:
    yield B()


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (nothing, r"handler nothing must take \(event\) or \(event, context\), not \(\) -> "),
        (three, r"handler three must take \(event\) or \(event, context\)"),
        (keyword, r"handler keyword must take \(event\) or \(event, context\)"),
        (wrong_second, "handler wrong_second: the second parameter is the Context, but it is annotated B"),
        (
            Methods.handle,
            "handler Methods.handle is a method, and there is no self to call it with; write it as a func",
        ),
        (takes_no_event, "handler takes_no_event takes int, which is no event type; subclass triggers.Event"),
        (returns_no_event, "handler returns_no_event returns NoEvent, which is no event type"),
        (returns_any_event, "handler returns_any_event returns Event itself, which says nothing; name its types"),
        (unresolved, "handler unresolved: the annotation 'Missing' cannot be resolved; define event types at module"),
        (generator, "handler generator is a generator; return a list of events instead"),
        (async_generator, "handler async_generator is a generator; return a list of events instead"),
        (functools.partial(plain), r"handler functools.partial\(.* has no name .*; wrap it in a `def`"),
    ],
)
def test_a_signature_that_will_not_do_is_refused_by_name(handler: Callable[..., Any], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        read_signature(handler)
