"""A rule lets through whatever its route takes, and what EventBridge would refuse is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers import (
    App,
    Event,
    ObjectCreated,
    ObjectDeleted,
    any_of,
    anything_but,
    equals_ignore_case,
    exists,
    prefix,
    suffix,
    wildcard,
)
from triggers.aws.template import matching
from triggers.aws.template.locations import Location
from triggers.aws.template.problems import Problems
from triggers.errors import WiringError
from triggers.patterns import Matcher, above, compile
from triggers.routing import Route

RAW = Location("acme-incoming", "raw/")
WHOLE = Location("acme-incoming", "")


class Scored(Event):
    score: float
    name: str = ""


def route_on(kind: type[Event], where: object, source: str | None = None) -> Route:
    app = App("a")

    @app.on(kind, where=where, source=source)
    def handle(event: Event) -> None: ...

    return app.routes["handle"]


def created(place: Location, key: str, size: int) -> dict[str, Any]:
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": place.bucket}, "object": {"key": place.prefix + key, "size": size, "etag": "e"}},
    }


def takes(where: object, *places: Location) -> dict[str, Any]:
    return matching.of_objects(route_on(ObjectCreated, where), places or [RAW], Problems())


TEXT = st.text("ab.*\\A1é/", max_size=4)
MATCHERS: st.SearchStrategy[Any] = st.one_of(
    TEXT,
    st.sampled_from(["10.0.0.1", "010.0.0.1"]),
    st.builds(prefix, TEXT),
    st.builds(suffix, TEXT),
    st.builds(lambda text: wildcard(text.replace("\\", "\\\\")), TEXT.filter(lambda text: "**" not in text)),
    st.builds(equals_ignore_case, TEXT),
    st.builds(anything_but, TEXT),
    st.builds(exists),
)
KEYS = st.one_of(TEXT.filter(bool), st.sampled_from(["10.0.0.1", "010.0.0.1"]))
CONDITIONS = st.fixed_dictionaries(
    {"key": st.lists(MATCHERS, min_size=1, max_size=3).map(lambda items: any_of(*items))},
    optional={"size": st.builds(above, st.integers(0, 5)), "version": st.just(anything_but("x"))},
)
WHERE = st.one_of(CONDITIONS, st.lists(CONDITIONS, min_size=2, max_size=2).map(lambda both: {"$or": both}))


@given(WHERE, KEYS, st.integers(0, 6), st.sampled_from([RAW, WHOLE]))
def test_whatever_a_route_takes_of_a_bucket_its_rule_lets_through(
    where: Any, key: str, size: int, place: Location
) -> None:
    route = route_on(ObjectCreated, where)
    assert route.where
    rule = compile(matching.of_objects(route, [place], Problems()))
    if route.where.matches({"key": key, "uri": "s3://b/k", "size": size, "version": "v"}):
        assert rule.matches(created(place, key, size))


SAID = st.one_of(
    TEXT.filter(bool),
    st.builds(prefix, TEXT),
    st.builds(suffix, TEXT),
    st.builds(lambda text: wildcard(text.replace("\\", "\\\\")), TEXT.filter(lambda text: "**" not in text)),
)


@given(SAID, KEYS)
def test_texts_prefixes_suffixes_and_wildcards_are_said_exactly(key: str | Matcher, arrived: str) -> None:
    route = route_on(ObjectCreated, {"key": key})
    assert route.where
    rule = compile(matching.of_objects(route, [RAW], Problems()))
    expected = route.where.matches({"key": arrived, "uri": "", "size": 1, "version": ""})
    assert rule.matches(created(RAW, arrived, 1)) == expected


@given(KEYS)
def test_objects_beside_the_prefix_or_in_another_bucket_are_let_through_by_no_rule(key: str) -> None:
    rule = compile(takes({"key": exists()}))
    assert not rule.matches(created(Location("acme-incoming", "done/"), key, 1))
    assert not rule.matches(created(Location("acme-other", "raw/"), key, 1))


def test_a_suffix_below_a_prefix_is_a_wildcard() -> None:
    found = takes({"key": suffix(".csv"), "size": above(0)})
    assert found["detail"]["object"] == {"key": [{"wildcard": "raw/*.csv"}], "size": [{"numeric": [">", 0]}]}


def test_without_a_prefix_the_condition_is_the_routes_own() -> None:
    found = takes({"key": suffix(".csv")}, WHOLE)
    assert found["detail"] == {"bucket": {"name": ["acme-incoming"]}, "object": {"key": [{"suffix": ".csv"}]}}


def test_what_cannot_be_said_below_a_prefix_is_left_to_the_function() -> None:
    assert takes({"key": anything_but("a.csv")})["detail"]["object"] == {"key": [{"prefix": "raw/"}]}


def test_an_address_is_left_to_the_function_because_it_has_other_spellings() -> None:
    assert takes({"key": "10.0.0.1"})["detail"]["object"] == {"key": [{"prefix": "raw/"}]}


def test_several_places_are_alternatives() -> None:
    found = takes({"key": prefix("a")}, RAW, Location("acme-more", "in/"))
    assert [one["object"]["key"] for one in found["detail"]["$or"]] == [[{"prefix": "raw/a"}], [{"prefix": "in/a"}]]


def test_alternatives_that_a_rule_cannot_tell_apart_are_one() -> None:
    found = takes({"$or": [{"uri": prefix("s3://x")}, {"version": "7"}]})
    assert "$or" not in found["detail"]


def test_deletions_have_a_type_of_their_own() -> None:
    found = matching.of_objects(route_on(ObjectDeleted, {"key": prefix("a")}), [RAW], Problems())
    assert found["detail-type"] == ["Object Deleted"]


@given(st.integers(0, 20), st.sampled_from(["", "ann", "bob"]))
def test_a_route_on_an_event_takes_what_its_rule_lets_through(score: int, name: str) -> None:
    route = route_on(Scored, {"$or": [{"score": above(10)}, {"name": equals_ignore_case("ANN")}]})
    rule = compile(matching.of_events("churn", route, Problems()))
    data = {"score": score, "name": name}
    assert route.where
    entry = {"source": "triggers.churn", "detail-type": "Scored", "detail": {"source": "score", "data": data}}
    assert rule.matches(entry) == route.where.matches(data)
    assert not rule.matches({**entry, "source": "triggers.other"})
    assert not rule.matches({**entry, "detail-type": "Other"})


def test_a_source_is_asked_for() -> None:
    found = matching.of_events("churn", route_on(Scored, None, source="scores"), Problems())
    assert found["detail"] == {"source": ["scores"]}


def test_a_pattern_longer_than_eventbridge_takes_is_refused() -> None:
    route = route_on(Scored, {"name": any_of(*(f"customer-{number:06}" for number in range(400)))})
    with pytest.raises(WiringError, match=r"route 'handle': where= is [\d,]+ characters long .* takes 4,096; say less"):
        matching.of_events("churn", route, Problems())


def test_a_pattern_longer_than_the_usual_quota_is_told() -> None:
    problems = Problems()
    route = route_on(Scored, {"name": any_of(*(f"customer-{number:06}" for number in range(150)))})
    matching.of_events("churn", route, problems)
    assert "raise the account's quota of 2,048" in problems.notes[0]


def test_alternatives_that_multiply_beyond_eventbridges_bound_are_refused() -> None:
    half = [{"key": prefix(f"{number}/")} for number in range(400)]
    with pytest.raises(WiringError, match=r"route 'handle': where= as a rule: .*1,000 alternatives"):
        takes({"$or": half}, RAW, WHOLE, Location("acme-more", ""))


def test_a_number_that_others_would_spell_anew_is_refused() -> None:
    route = route_on(Scored, '{"score": [12345678901234567890]}')
    with pytest.raises(WiringError, match="where= names the number 12345678901234567890, which no double holds"):
        matching.of_events("churn", route, Problems())
