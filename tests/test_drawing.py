"""The picture of a pipeline: what is in it, and that nothing lies on anything else."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.steps import is_linear
from triggers import App, Event, Folder, ObjectCreated, Tick, every, prefix, suffix
from triggers.drawing import Picture, mermaid, picture, svg
from triggers.layers import GAP, lay_out


class A(Event): ...


class B(Event): ...


def app_with_everything() -> App:
    app = App("every <&> thing", sources=[Folder("in", name="in"), Folder("out", name="out")])

    @app.on(ObjectCreated, source="in", where={"key": suffix(".csv")}, writes={"out"})
    def first(event: ObjectCreated) -> A: ...

    @app.on(ObjectCreated, source="out", where={"key": [prefix("a"), prefix("b")]})
    def again(event: ObjectCreated) -> None: ...

    @app.on(A, max_depth=3)
    def second(event: A) -> B: ...

    @app.on(B, max_depth=3)
    def third(event: B) -> A: ...

    @app.on(every(minutes=5))
    def tick(event: Tick) -> A: ...

    return app


def test_events_sources_schedules_and_routes_are_joined() -> None:
    drawn = picture(app_with_everything())
    assert ("source:in", "event:ObjectCreated from in") in drawn.edges
    assert ("event:ObjectCreated from in", "route:first") in drawn.edges
    assert ("route:first", "event:A") in drawn.edges
    assert ("route:first", "source:out") in drawn.edges
    assert ("schedule:tick", "route:tick") in drawn.edges
    assert drawn.nodes["route:first"].note == "key: *.csv"
    assert drawn.nodes["route:again"].note == "key: a* or b*"


def test_mermaid_names_every_node_once_and_escapes_them() -> None:
    drawn = picture(app_with_everything())
    text = mermaid(drawn)
    assert text.startswith("flowchart TD\n")
    assert text.count(":::") == len(drawn.nodes)
    assert text.count("-->") == len(drawn.edges)
    assert "#60;#38;#62;" in text


def test_the_svg_is_well_formed_and_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(svg(picture(app_with_everything())))
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.findtext("s:title", namespaces=space) == "The pipeline every <&> thing"
    assert "event A leads to route second" in (root.findtext("s:desc", namespaces=space) or "")
    assert root.get("role") == "img"
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"first", "second", "third", "tick", "A", "B", "key: *.csv"} <= words


def test_an_empty_app_is_a_picture_too() -> None:
    assert ElementTree.fromstring(svg(picture(App("empty")))) is not None


def boxes_of(text: str) -> list[tuple[float, float, float, float]]:
    """Return (left, top, right, bottom) of every node's box."""
    found = re.findall(r'</title><rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', text)
    return [(x, y, x + w, y + h) for x, y, w, h in (map(float, one) for one in found)]


def overlapping(boxes: list[tuple[float, float, float, float]]) -> int:
    return sum(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for i, a in enumerate(boxes) for b in boxes[i + 1 :]
    )


def test_nothing_overlaps_in_the_reference_pipeline() -> None:
    pytest.importorskip("numpy")
    from handlers import app

    drawn = picture(app)
    text = svg(drawn)
    boxes = boxes_of(text)
    assert len(boxes) == len(drawn.nodes)
    assert overlapping(boxes) == 0
    width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', text)[0])
    assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in boxes)


def test_edges_of_the_reference_pipeline_do_not_cross_and_pass_no_box() -> None:
    pytest.importorskip("numpy")
    from handlers import app

    drawn = picture(app)
    found = lay_out(dict.fromkeys(drawn.nodes, 100.0), drawn.edges)
    crossings = 0
    for upper, lower in pairwise(found.layers):
        place = {box: index for index, box in enumerate(lower)}
        ends = [(index, place[below]) for index, box in enumerate(upper) for below in box.below]
        crossings += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[i + 1 :])
    assert crossings == 0


@settings(max_examples=30)
@given(st.integers(1, 14), st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=30))
def test_any_graph_is_laid_out_downward_without_overlap(count: int, joined: list[tuple[int, int]]) -> None:
    drawn = Picture("any")
    keys = [drawn.add("event", f"event {number}") for number in range(count)]
    for start, end in joined:
        drawn.join(keys[start % count], keys[end % count])
    found = lay_out(dict.fromkeys(keys, 90.0), drawn.edges)
    for number, path in enumerate(found.paths):
        assert path[0].key == (drawn.edges[number][1] if number in found.back else drawn.edges[number][0])
        assert [box.layer for box in path] == list(range(path[0].layer, path[-1].layer + 1))
    for layer in found.layers:
        for left, right in pairwise(layer):
            assert left.x + left.width / 2 + GAP <= right.x - right.width / 2 + 1e-6
    assert ElementTree.fromstring(svg(drawn)) is not None


@pytest.mark.parametrize("chained", [False, True])
def test_drawing_is_work_in_proportion_to_the_routes(chained: bool) -> None:
    def work(count: int) -> None:
        drawn = Picture("many")
        for number in range(count):
            drawn.join(drawn.add("event", f"e{number}"), drawn.add("route", f"r{number}"))
            if chained:
                drawn.join(f"route:r{number}", drawn.add("event", f"e{number + 1}"))
        mermaid(drawn)
        svg(drawn)

    assert is_linear(work, 20)
