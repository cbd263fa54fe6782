from __future__ import annotations

from typing import Any

import pytest

from triggers import App, Event, Folder, ObjectCreated
from triggers.errors import WiringError
from triggers.graph import check, refuse, triggered_by


class A(Event):
    pass


class B(Event):
    pass


class C(Event):
    pass


def to_a(event: Event) -> A: ...  # type: ignore[empty-body]
def to_b(event: Event) -> B: ...  # type: ignore[empty-body]
def to_c(event: Event) -> C: ...  # type: ignore[empty-body]
def to_none(event: Event) -> None: ...


def app_of(*routes: tuple[Any, Any, dict[str, Any]], **options: Any) -> App:
    options = {"sources": [Folder("in")], "outputs": [Folder("out")], **options}
    app = App("a", **options)
    for handler, trigger, policy in routes:
        app.on(trigger, **policy)(handler)
    return app


def errors(app: App) -> list[str]:
    return [problem.message for problem in check(app) if problem.error]


def warnings(app: App) -> list[str]:
    return [problem.message for problem in check(app) if not problem.error]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"reads": {"inn"}}, "route 'to_none': reads= names 'inn', which is no folder of the app; did you mean 'in'?"),
        ({"writes": {"x"}}, "route 'to_none': writes= names 'x', which is no folder of the app; known: in, out"),
        ({"source": "inn"}, "route 'to_none': source='inn' is no source of the app; did you mean 'in'?"),
        ({"source": "out"}, "route 'to_none': source='out' is no source of the app; known: in"),
        (
            {"needs": {"gpus": 1}},
            "route 'to_none' needs 'gpus', which the app does not have; did you mean 'gpu'?;"
            " App(resources={'gpus': ...}) says how much there is",
        ),
        ({"needs": {"gpu": 3}}, "route 'to_none' needs 3 gpu, but there is only 2"),
        (
            {"needs": {"thread": 1}},
            "route 'to_none' needs 'thread', which the app does not have; known: cpu, gpu, memory;"
            " App(resources={'thread': ...}) says how much there is",
        ),
    ],
)
def test_a_route_that_names_what_is_not_there_is_an_error(policy: Any, message: str) -> None:
    app = app_of((to_none, A, policy), resources={"gpu": 2})
    assert errors(app) == [message]
    with pytest.raises(WiringError) as caught:
        refuse(app)
    assert str(caught.value) == message


def test_all_errors_are_told_at_once() -> None:
    app = app_of((to_none, A, {"reads": {"x"}}), (to_b, A, {"needs": {"y": 1}}))
    with pytest.raises(WiringError, match=r"reads= names 'x'.*\n.*needs 'y'"):
        refuse(app)


def test_a_handler_that_writes_where_it_is_triggered_is_refused_unless_it_is_allowed() -> None:
    message = (
        "route 'to_none' writes to 'in', which triggers it again for ever; write somewhere else,"
        " or say allow_loops={'in'} if its where= never matches what it writes"
    )
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}}))) == [message]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in", "out"}, "source": "in"}))) == [message]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}, "allow_loops": {"in"}}))) == []
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in", "out"}, "allow_loops": {"in"}}))) == []
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"out"}}))) == []


def test_a_route_that_listens_to_another_folder_does_not_loop() -> None:
    sources = [Folder("in"), Folder("raw")]
    assert errors(app_of((to_none, ObjectCreated, {"writes": {"in"}, "source": "raw"}), sources=sources)) == []


def test_two_routes_that_write_for_each_other_go_round() -> None:
    sources = [Folder("in"), Folder("raw")]
    one = (to_none, ObjectCreated, {"writes": {"in"}, "source": "raw", "name": "one"})
    two = (to_none, ObjectCreated, {"writes": {"raw"}, "source": "in", "name": "two"})
    (found,) = errors(app_of(one, two, sources=sources))
    assert found.startswith("the routes one -> two -> one go round for ever; give one of them max_depth=")
    two[2]["allow_loops"] = {"raw"}
    assert errors(app_of(one, two, sources=sources)) == []


def test_a_cycle_of_event_types_needs_a_bound() -> None:
    cycle = [(to_b, A, {}), (to_c, B, {}), (to_a, C, {})]
    (found,) = errors(app_of(*cycle))  # one error for one cycle
    assert found.startswith("the routes to_b -> to_c -> to_a -> to_b go round for ever")
    cycle[1] = (to_c, B, {"max_depth": 3})
    assert errors(app_of(*cycle)) == []


def test_a_route_that_emits_its_own_trigger_goes_round() -> None:
    assert len(errors(app_of((to_a, A, {})))) == 1
    assert errors(app_of((to_a, A, {"max_depth": 2}))) == []


def test_two_separate_cycles_are_two_errors() -> None:
    assert len(errors(app_of((to_a, A, {}), (to_b, B, {})))) == 2


def test_a_long_way_back_is_found_whatever_side_ways_there_are() -> None:
    app = app_of((to_b, A, {}), (to_c, B, {"name": "side"}), (to_c, B, {}), (to_b, C, {"name": "back"}))
    assert len(errors(app)) == 1


def test_an_isolated_handler_must_be_one_that_another_process_can_import() -> None:
    def local(event: Event) -> None: ...

    (found,) = errors(app_of((local, A, {"timeout": 3})))
    assert "must be at the top level of a module" in found
    assert errors(app_of((to_none, A, {"timeout": 3}))) == []


def test_what_nobody_handles_is_only_a_warning() -> None:
    assert warnings(app_of((to_b, A, {}))) == ["route 'to_b' emits B, which no route handles"]
    assert warnings(app_of((to_none, ObjectCreated, {}), sources=[])) == [
        "route 'to_none' waits for ObjectCreated, but the app has no source"
    ]
    assert warnings(app_of()) == ["app 'a' has no routes; register a handler with @app.on(...)"]


def test_errors_come_before_warnings() -> None:
    found = check(app_of((to_b, A, {"reads": {"x"}})))
    assert [problem.error for problem in found] == [True, False]
    assert str(found[1]).startswith("warning: ")


def test_a_route_leads_to_those_of_its_types_and_of_the_places_that_it_writes() -> None:
    app = app_of((to_b, A, {"writes": {"in"}}), (to_none, B, {}), (to_none, ObjectCreated, {"name": "files"}))
    assert [route.name for route in triggered_by(app, app.routes["to_b"])] == ["to_none", "files"]
