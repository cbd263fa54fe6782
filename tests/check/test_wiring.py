from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.steps import is_linear
from triggers import App, Event, Folder, ObjectCreated, ObjectDeleted, RunFailed, every
from triggers.check.graph import check
from triggers.check.wiring import components
from triggers.routing import Router

SIZE = 60
KINDS = [type(f"Kind{number}", (Event,), {"__module__": __name__}) for number in range(4 * SIZE + 1)]
PLACES: dict[str, Any] = {"sources": [Folder("in"), Folder("raw/deep")], "outputs": [Folder("raw")]}


def handler(event: Event) -> None: ...


def timer(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return every(minutes=1 + number), {}


def pattern(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return ObjectDeleted, {"where": {"key": f"k{number}"}, "source": "in"}


def link(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return KINDS[number], {"emits": {KINDS[number + 1]}}


def ring(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return KINDS[number], {"emits": {KINDS[0 if last else number + 1]}}


def fan(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return KINDS[number % 2], {"emits": set() if number % 2 else {KINDS[1]}}


def star(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return KINDS[last], {"emits": {KINDS[not last]}}


def writer(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return ObjectCreated, {"source": "in", "writes": {"raw"}}


def repair(number: int, last: bool) -> tuple[Any, dict[str, Any]]:
    return RunFailed, {"where": {"route": f"r{number}"}, "emits": {KINDS[number]}}


Shape = Callable[[int, bool], tuple[Any, dict[str, Any]]]


def app_of(shape: Shape, count: int) -> App:
    app = App("a", **PLACES)
    for number in range(count):
        trigger, options = shape(number, number == count - 1)
        app.on(trigger, name=f"r{number}", **options)(handler)
    return app


@pytest.mark.parametrize("shape", [timer, pattern, link, ring, fan, star, writer, repair])
def test_declaring_checking_and_indexing_an_app_is_work_in_proportion_to_its_routes(shape: Shape) -> None:
    def work(count: int) -> None:
        app = app_of(shape, count)
        check(app)
        Router(app.routes.values())

    assert is_linear(work, SIZE)


def test_checking_sources_is_work_in_proportion_to_them() -> None:
    def work(count: int) -> None:
        app = App("a", sources=[Folder(f"in/{number}", name=f"s{number}") for number in range(count)])
        for name in app.sources:
            app.on(ObjectCreated, name=name, source=name)(handler)
        check(app)

    assert is_linear(work, SIZE)


def test_an_event_meets_only_the_routes_whose_conditions_it_may_fulfil() -> None:
    def work(count: int) -> None:
        router = Router(app_of(pattern, count).routes.values())
        for number in range(count):
            (route,) = router.match("ObjectDeleted", "in", None, f'{{"key": "k{number}"}}')
            assert route.name == f"r{number}"

    assert is_linear(work, SIZE)


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_a_component_holds_what_leads_to_one_another(following: list[list[int]]) -> None:
    reach = {(start, end) for start, ends in enumerate(following) for end in ends}
    for middle, start, end in product(range(len(following)), repeat=3):
        if (start, middle) in reach and (middle, end) in reach:
            reach.add((start, end))
    found = list(components(range(len(following)), following.__getitem__))
    assert sorted(node for component in found for node in component) == list(range(len(following)))
    together = {(a, b) for component in found for a in component for b in component}
    for a, b in product(range(len(following)), repeat=2):
        assert ((a, b) in together) == (a == b or {(a, b), (b, a)} <= reach)


def test_a_chain_may_be_longer_than_calls_may_be_nested() -> None:
    long = sys.getrecursionlimit() + 1
    following = {number: [number + 1] for number in range(long)} | {long: []}
    assert len(list(components(following, following.__getitem__))) == long + 1
    following[long] = [0]
    assert len(list(components(following, following.__getitem__))) == 1


@pytest.mark.parametrize(
    ("watched", "written", "loops"),
    [
        ("s3://acme/raw", "s3://acme/raw", True),
        ("s3://acme/raw", "s3://acme/raw/deep/er", True),
        ("s3://acme", "s3://acme/a%20b", True),
        ("s3://acme/a b", "s3://acme/a%20b/c", True),
        ("s3://acme/raw", "s3://acme/raw-too", False),
        ("s3://acme/raw", "s3://other/raw", False),
        ("s3://acme/raw/deep", "s3://acme/out", False),
        (".", "s3://acme/raw", False),
        ("s3://acme/raw", "raw", False),
    ],
)
def test_a_route_that_writes_where_it_is_triggered_from_is_a_loop_in_a_bucket_too(
    watched: str, written: str, loops: bool
) -> None:
    app = App("a", sources=[Folder("in")], outputs=[Folder("out")]).bound({"in": watched, "out": written})
    app.on(ObjectCreated, source="in", writes={"out"}, name="copy")(handler)
    errors = [problem.message for problem in check(app) if problem.error]
    assert [message for message in errors if "writes to 'out', which triggers it again" in message] == errors
    assert len(errors) == loops
