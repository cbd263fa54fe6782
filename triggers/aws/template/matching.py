"""Event patterns: what a rule lets through to a route's queue.

A rule never lets through less than the route takes. It may let through more, because the function asks the route's own
`where=` again; so what EventBridge cannot say of an object's key is left out, and what it would refuse is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from triggers.aws import names
from triggers.aws.template.locations import Location
from triggers.aws.template.problems import Problems
from triggers.aws.template.references import Json
from triggers.errors import PatternError, WiringError
from triggers.events import Event, ObjectCreated, ObjectDeleted
from triggers.patterns import compile
from triggers.patterns.reading import alternatives
from triggers.patterns.values import Spelling, address, write
from triggers.routing import Route
from triggers.sources import Source

QUOTA: Final = 2_048
"""Characters that a rule's pattern may have in an account that has not asked for more."""
LONGEST: Final = 4_096
"""Characters that EventBridge takes at all."""

_OF_OBJECTS: Final[Mapping[type[Event], str]] = {ObjectCreated: "Object Created", ObjectDeleted: "Object Deleted"}


def of_events(app: str, route: Route, problems: Problems) -> Json:
    """Return the pattern of a route on the app's own bus, whose entries hold the event as CloudEvents."""
    detail: Json = {}
    if route.source is not None:
        detail["source"] = [route.source]
    if route.where is not None:
        detail["data"] = route.where.pattern
    pattern: Json = {"source": [names.event_source(app)], "detail-type": [route.trigger.__event_type__]}
    return _checked(route, pattern | ({"detail": detail} if detail else {}), problems)


def of_objects(route: Route, places: Sequence[Location], problems: Problems) -> Json:
    """Return the pattern of a route on what happens to the objects in places, as S3 tells the default bus."""
    pattern = {"source": ["aws.s3"], "detail-type": [_OF_OBJECTS[route.trigger]]}
    return _checked(route, {**pattern, "detail": _any_of(_objects(route, places))}, problems)


def of_place(place: Location, source: Source) -> Json:
    """Return the pattern of all that a source tells of a place."""
    kinds = [_OF_OBJECTS[ObjectCreated]]
    if getattr(source, "deletions", False):
        kinds.append(_OF_OBJECTS[ObjectDeleted])
    return {"source": ["aws.s3"], "detail-type": kinds, "detail": _object(place, {})}


def _objects(route: Route, places: Sequence[Location]) -> Iterator[Json]:
    """Yield the alternatives of a pattern over objects."""
    branches = alternatives(route.where.pattern) if route.where else [{}]
    for place in places:
        for branch in branches:
            yield _object(place, branch)


def _any_of(details: Iterable[Json]) -> Json:
    different = list({write(detail): detail for detail in details}.values())
    return different[0] if len(different) == 1 else {"$or": different}


def _object(place: Location, conditions: Mapping[str, Sequence[object]]) -> Json:
    """Return the detail of an object in a place. Of the conditions, only those on `key` and `size` can be said."""
    found: Json = {}
    if keys := _keys(place.prefix, conditions.get("key")):
        found["key"] = keys
    if "size" in conditions:
        found["size"] = list(conditions["size"])
    return {"bucket": {"name": [place.bucket]}} | ({"object": found} if found else {})


def _keys(prefix: str, items: Sequence[object] | None) -> list[object]:
    """Return the condition on the whole key for one on the key below the prefix; none where any key will do."""
    below: list[object] = [{"prefix": prefix}] if prefix else []
    if items is None:
        return below
    if not prefix:
        return list(items)
    said = [_below(prefix, item) for item in items]
    return below if any(item is None for item in said) else said


def _below(prefix: str, item: object) -> object:
    """Return one item of a condition, put behind the prefix; None where EventBridge has no word for that."""
    if isinstance(item, str):
        return None if address(item) else prefix + item  # an address matches its other spellings, too
    if not isinstance(item, Mapping):
        return None
    [(operator, operand)] = item.items()
    if not isinstance(operand, str):
        return None
    match operator:
        case "prefix":
            return {"prefix": prefix + operand}
        case "exactly":
            return {"exactly": prefix + operand}
        case "suffix":
            return {"wildcard": f"{_literal(prefix)}*{_literal(operand)}"}
        case "wildcard":
            return {"wildcard": _literal(prefix) + operand}
    return None


def _literal(text: str) -> str:
    """Return text as a wildcard's part that means itself."""
    return text.replace("\\", "\\\\").replace("*", "\\*")


def _checked(route: Route, pattern: Json, problems: Problems) -> Json:
    """Return the pattern if EventBridge takes it."""
    owner = f"route {route.name!r}: where="
    try:
        compile(pattern)
    except PatternError as error:
        raise WiringError(f"{owner} as a rule: {error}; say less in where= and ask the rest in the handler") from error
    if spelling := next(_spellings(pattern), None):
        raise WiringError(
            f"{owner} names the number {spelling!r}, which no double holds, and CloudFormation would spell it anew;"
            " compare with a text instead"
        )
    length = len(write(pattern))
    if length > LONGEST:
        raise WiringError(
            f"{owner} is {length:,} characters long as a rule's pattern, and EventBridge takes {LONGEST:,}; say less in"
            " where= and ask the rest in the handler"
        )
    if length > QUOTA:
        problems.note(
            f"{owner} is {length:,} characters long as a rule's pattern: ask AWS to raise the account's quota of"
            f" {QUOTA:,} (EventBridge, event pattern size)"
        )
    return pattern


def _spellings(value: Any) -> Iterator[object]:
    """Yield the numbers in a pattern that other programs would write differently."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _spellings(item)
    elif isinstance(value, Spelling) or (type(value) is int and abs(value) > 2**53):
        yield value
