from __future__ import annotations

from typing import Any

import pytest

from triggers.errors import WiringError
from triggers.events import Event, ObjectCreated, Tick
from triggers.options import Policy, make_policy, quantity
from triggers.patterns import compile_where, suffix
from triggers.retry import Retry
from triggers.routing import PROCESS, Route, Router, describe_route, make_route
from triggers.schedule import every


class A(Event):
    name: str = ""


class B(Event):
    pass


def plain(event: A) -> B | None: ...
async def coroutine(event: A) -> None: ...
def any_event(event: Event) -> None: ...
def created(event: ObjectCreated) -> None: ...
def ticked(event: Tick) -> None: ...


def route(handler: Any = plain, trigger: Any = A, **options: Any) -> Route:
    name, where, source = options.pop("name", None), options.pop("where", None), options.pop("source", None)
    pattern = None if where is None else compile_where(where)
    return make_route(handler, trigger, name=name, where=pattern, source=source, policy=make_policy("r", options))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2, 2),
        (0.5, 0.5),
        ("3", 3),
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        ("500MB", 5e8),
        ("1.5k", 1500),
        ("2Ti", 2**41),
    ],
)
def test_a_quantity_is_a_number_or_text_with_a_unit(value: float | str, number: float) -> None:
    assert quantity("app", "x", value) == number


@pytest.mark.parametrize("value", ["", "GiB", "4XB", "1.2.3", 0, -1, "0", float("inf"), float("nan"), "-2"])
def test_what_is_no_quantity_is_refused_with_its_value(value: float | str) -> None:
    with pytest.raises(WiringError, match=r"app: needs x=.* is no quantity; write a number above 0"):
        quantity("app", "x", value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": 3}, "r has no option 'retries'; did you mean 'retry'"),
        (
            {"timezone": "UTC"},
            r"r has no option 'timezone', which belongs to the schedule: @app.on\(every\(",
        ),
        ({"missed": "all"}, "r has no option 'missed', which belongs to the schedule"),
        ({"writes": "out"}, r"r: writes='out' must be a set: writes=\{'out'\}"),
        ({"emits": B}, r"r: emits=B must be a set: emits=\{B\}"),
        ({"timeout": 0}, "r: timeout=0 is no span of time above 0"),
        ({"timeout": float("nan")}, "timeout=nan is no span of time"),
        ({"concurrency": -1}, "concurrency=-1 must be more than 0"),
        ({"max_depth": 0}, "max_depth=0 must be more than 0"),
        ({"retry": 3}, r"r: retry=3 will not do; write e.g. retry=Retry\("),
        ({"timeout": "5"}, "r: timeout='5' is no span of time above 0; write seconds, or text like"),
        ({"concurrency": 1.5}, "r: concurrency=1.5 will not do"),
        ({"concurrency": True}, "r: concurrency=True will not do; write e.g. concurrency=2"),
        ({"timeout": True}, "r: timeout=True is no span of time above 0"),
        ({"priority": True}, "r: priority=True will not do; write e.g. priority=10"),
        ({"needs": {"gpu": True}}, "r: needs gpu=True is no quantity; write a number above 0"),
        ({"priority": "high"}, "r: priority='high' will not do; write e.g. priority=10"),
        ({"needs": ["cpu"]}, r"r: needs=\['cpu'\] will not do; write e.g. needs=\{'cpu': 2\}"),
        ({"needs": {"cpu": "many"}}, "r: needs cpu='many' is no quantity"),
    ],
)
def test_a_policy_that_will_not_do_is_refused_with_the_value_and_a_way_out(options: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        make_policy("r", options)


def test_a_policy_without_options_is_the_default() -> None:
    assert make_policy("r", {}) == Policy()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trigger": int}, "route 'plain': int is no event type; subclass triggers.Event"),
        ({"trigger": B}, "handler plain takes A, but it is registered on B"),
        ({"trigger": every(minutes=1)}, "handler plain takes A, but it is registered on Tick"),
        ({"where": {"nam": "x"}}, "route 'plain': where= names 'nam', which A has not; did you mean 'name'"),
    ],
)
def test_a_handler_that_does_not_fit_its_trigger_is_refused(options: Any, message: str) -> None:
    with pytest.raises(WiringError, match=message):
        route(**options)


def test_a_handler_of_a_base_type_takes_any_event() -> None:
    assert route(any_event, A).trigger is A


def test_a_route_runs_where_its_policy_allows_it_to_be_stopped() -> None:
    kinds = [route(h, A, **o).kind for h, o in (
        (plain, {}), (coroutine, {}), (plain, {"timeout": 1}), (coroutine, {"timeout": 1}),
        (coroutine, {"isolate": True}),
    )]  # fmt: skip
    assert kinds == ["thread", "coroutine", PROCESS, "coroutine", PROCESS]


def test_what_a_route_emits_is_its_annotation_and_its_declaration() -> None:
    assert set(route(plain, A, emits={A}).emits) == {"A", "B"}


def test_a_route_is_described_as_text() -> None:
    described = describe_route(route(name="x", where={"name": suffix("y")}, needs={"cpu": 1}, retry=Retry(attempts=7)))
    assert described[:3] == ("x", "A", None)
    assert '"attempts": 7' in str(described[4])
    assert described[5] == '["B"]'


def names(router: Router, kind: str, source: str = "s", subject: str | None = None, data: str = "{}") -> list[str]:
    return [found.name for found in router.match(kind, source, subject, data)]


def test_an_event_goes_to_every_route_of_its_type_whose_conditions_hold() -> None:
    router = Router([
        route(name="all"), route(name="x", where={"name": suffix("x")}), route(name="from", source="s1"),
        route(any_event, B),
    ])  # fmt: skip
    assert names(router, "A", data='{"name": "ax"}') == ["all", "x"]
    assert names(router, "A", "s1", data='{"name": "y"}') == ["all", "from"]
    assert names(router, "B") == ["any_event"]
    assert names(router, "Unknown") == []


def test_of_many_routes_with_conditions_those_that_match_are_found_in_the_order_of_their_declaration() -> None:
    many = [route(name=f"r{n}", where={"name": [f"x{n % 50}", suffix("!")]}) for n in range(200)]
    router = Router([route(name="first"), *many, route(name="last")])
    assert names(router, "A", data='{"name": "x7"}') == ["first", "r7", "r57", "r107", "r157", "last"]
    assert len(names(router, "A", data='{"name": "y!"}')) == 202


def test_a_tick_goes_to_the_one_route_of_its_schedule_and_to_listeners_of_all() -> None:
    router = Router([
        route(ticked, every(minutes=1), name="one"), route(ticked, every(minutes=1), name="two"),
        route(ticked, Tick, name="any"),
    ])  # fmt: skip
    assert names(router, "Tick", "timer", "two") == ["two", "any"]
    assert names(router, "Tick", "timer", None) == ["any"]


@pytest.mark.parametrize("many", range(1, 7))
def test_however_many_conditions_there_are_on_a_type_each_decides_for_its_own_route(many: int) -> None:
    routes = [route(name=f"of{n}", where={"name": suffix(f"{n}")}) for n in range(many)]
    router = Router([*routes, route(name="any")])
    for n in range(many):
        assert names(router, "A", data=f'{{"name": "a{n}"}}') == [f"of{n}", "any"]
