"""The examples of the EventBridge user guide and of event-ruler's README, with the verdicts that they state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from triggers.patterns import Index, compile

INSTANCE: dict[str, Any] = {
    "version": "0",
    "id": "ddddd4-aaaa-7777-4444-345dd43cc333",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "012345679012",
    "time": "2017-10-02T16:24:49Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-000000aaaaaa00000"],
    "detail": {
        "c-count": 5,
        "d-count": 3,
        "x-limit": 301.8,
        "source-ip": "10.0.0.33",
        "instance-id": "i-000000aaaaaa00000",
        "state": "running",
    },
}
ANOTHER: dict[str, Any] = {"source": "aws.s3", "time": "2018", "detail": {"c-count": {"c1": 100}, "d-count": 10}}
STATE = "EC2 Instance State-change Notification"
RESOURCE = INSTANCE["resources"][0]
RANGES = {"c-count": [{"numeric": [">", 0, "<=", 5]}], "d-count": [{"numeric": ["<", 10]}]}


def detail(**fields: object) -> dict[str, Any]:
    return {"detail": {name.replace("_", "-"): [rule] for name, rule in fields.items()}}


MATCHING: list[dict[str, Any]] = [
    {"detail-type": [STATE], "resources": [RESOURCE], "detail": {"state": ["initializing", "running"]}},
    {"resources": ["arn:aws:ec2:us-east-1:1:instance/i-1", RESOURCE]},
    {"time": [{"prefix": "2017-10-02"}]},
    {"source": [{"prefix": {"equals-ignore-case": "AWS"}}]},
    {"source": [{"suffix": "ec2"}]},
    {"source": [{"suffix": {"equals-ignore-case": "EC2"}}]},
    {"source": [{"equals-ignore-case": "AWS.ec2"}]},
    {"detail-type": [{"equals-ignore-case": "ec2 instance state-change notification"}]},
    {"source": [{"wildcard": "a*.e*2"}]},
    detail(state={"anything-but": "initializing"}),
    detail(x_limit={"anything-but": 123}),
    detail(state={"anything-but": ["stopped", "overloaded"]}),
    detail(x_limit={"anything-but": [100, 200, 300]}),
    detail(state={"anything-but": {"prefix": "init"}}),
    detail(state={"anything-but": {"prefix": ["init", "error"]}}),
    detail(instance_id={"anything-but": {"suffix": "1234"}}),
    detail(instance_id={"anything-but": {"suffix": ["1234", "6789"]}}),
    detail(state={"anything-but": {"equals-ignore-case": "Stopped"}}),
    detail(state={"anything-but": {"equals-ignore-case": ["Stopped", "OverLoaded"]}}),
    detail(state={"anything-but": {"wildcard": "*/bin/*.jar"}}),
    detail(state={"anything-but": {"wildcard": ["*/bin/*.jar", "*/bin/*.class"]}}),
    {"detail": {**RANGES, "x-limit": [{"numeric": ["=", 3.018e2]}]}},
    detail(source_ip={"cidr": "10.0.0.0/24"}),
    detail(c_count={"exists": True}),
    {
        "time": [{"prefix": "2017-10-02"}],
        "detail": {
            "state": [{"anything-but": "initializing"}],
            **RANGES,
            "x-limit": [{"anything-but": [100, 200, 300]}],
            "source-ip": [{"cidr": "10.0.0.0/8"}],
        },
    },
    {
        "detail": {
            "$or": [{name: rules} for name, rules in {**RANGES, "x-limit": [{"numeric": ["=", 3.018e2]}]}.items()]
        }
    },
]


@pytest.mark.parametrize("pattern", MATCHING, ids=json.dumps)
def test_the_sample_event_of_the_readme_matches_as_stated(pattern: dict[str, Any]) -> None:
    for event in (INSTANCE, json.dumps(INSTANCE), json.dumps(INSTANCE).encode()):
        assert compile(pattern).matches(event)
        assert compile(json.dumps(pattern)).matches(event)


def test_all_of_them_match_in_one_index() -> None:
    index: Index[int] = Index()
    for number, pattern in enumerate(MATCHING):
        index.add(number, pattern)
    assert index.match(INSTANCE) == set(range(len(MATCHING)))
    another = {number for number, pattern in enumerate(MATCHING) if compile(pattern).matches(ANOTHER)}
    assert index.match(ANOTHER) == another == {3}, "the only one about what both have"


@pytest.mark.parametrize(
    ("pattern", "event", "verdict"),
    [
        # "Exists works on leaf nodes only"
        (detail(c_count={"exists": False}), {"detail": {"state": "running"}}, True),
        (detail(c_count={"exists": False}), ANOTHER, True),
        (detail(c_count={"exists": True}), ANOTHER, False),
        (detail(c_count={"exists": False}), INSTANCE, False),
        # "Null values and empty strings"
        (detail(eventVersion=""), {"detail": {"eventVersion": "", "responseElements": None}}, True),
        (detail(eventVersion=""), {"detail": {"eventVersion": None}}, False),
        (detail(responseElements=None), {"detail": {"eventVersion": "", "responseElements": None}}, True),
        (detail(responseElements=None), {"detail": {"responseElements": ""}}, False),
        # "Anything-but", ignoring case, ends and wildcards
        (detail(state={"anything-but": {"equals-ignore-case": "Running"}}), {"detail": {"state": "RUNNING"}}, False),
        (detail(state={"anything-but": {"equals-ignore-case": "initializing"}}), INSTANCE, True),
        ({"FileName": [{"anything-but": {"suffix": ".txt"}}]}, {"FileName": "a.txt"}, False),
        ({"FileName": [{"anything-but": {"suffix": [".txt", ".rtf"]}}]}, {"FileName": "a.png"}, True),
        ({"FilePath": [{"anything-but": {"wildcard": "*/lib/*"}}]}, {"FilePath": "/usr/lib/a"}, False),
        ({"FilePath": [{"anything-but": {"wildcard": ["*/lib/*", "*/bin/*"]}}]}, {"FilePath": "/usr/src/a"}, True),
        # prefixes and suffixes in any case
        ({"service": [{"prefix": {"equals-ignore-case": "EventB"}}]}, {"service": "EVENTBridge"}, True),
        ({"service": [{"suffix": {"equals-ignore-case": "tBridge"}}]}, {"service": "EvenTBRIDGE"}, True),
        ({"service": [{"suffix": {"equals-ignore-case": "tBridge"}}]}, {"service": "TBRIDGES"}, False),
        # wildcards
        ({"FileName": [{"wildcard": "dir/*.png"}]}, {"FileName": "dir/sub/a.png"}, True),
        ({"FileName": [{"wildcard": "dir/*.png"}]}, {"FileName": "other/dir/a.png"}, False),
        # numbers
        ({"Price": [{"numeric": ["=", 100]}]}, {"Price": 100.0}, True),
        ({"Price": [{"numeric": [">", 10, "<=", 20]}]}, {"Price": 10}, False),
        ({"Price": [{"numeric": [">", 10, "<=", 20]}]}, {"Price": 20}, True),
        # or
        ({"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}, {"Day": "Monday"}, True),
        ({"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}, {"Day": "Friday", "Location": "Rome"}, False),
        (
            {"source": ["cw"], "$or": [{"m": ["cpu"]}, {"t": ["x"], "n": ["ec2"], "$or": [{"i": [1]}, {"s": [2]}]}]},
            {"source": "cw", "t": "x", "n": "ec2", "s": 2},
            True,
        ),
        (
            {"source": ["cw"], "$or": [{"m": ["cpu"]}, {"t": ["x"], "n": ["ec2"], "$or": [{"i": [1]}, {"s": [2]}]}]},
            {"source": "cw", "t": "x", "n": "ec2", "s": 1},
            False,
        ),
        # `$or` as the name of a field
        ({"$or": {"t": ["x"]}}, {"$or": {"t": "x"}}, True),
        ({"$or": [123, {"prefix": "abc"}]}, {"$or": "abcd"}, True),
        ({"$or": [{"numeric": ["=", 123]}, {"prefix": "abc"}]}, {"$or": 123}, True),
    ],
)  # fmt: skip
def test_other_examples_have_their_stated_verdicts(
    pattern: dict[str, Any], event: dict[str, Any], verdict: bool
) -> None:
    assert compile(pattern).matches(event) is verdict
    assert compile(json.dumps(pattern)).matches(json.dumps(event)) is verdict
    index: Index[str] = Index()
    index.add("it", pattern)
    assert index.match(event) == ({"it"} if verdict else set())


PEOPLE = {"employees": [{"name": "Mia", "team": "x"}, {"name": "Bob", "team": "y"}], "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("pattern", "verdict"),
    [
        ({"employees": {"name": ["Mia"], "team": ["x"]}}, True),
        ({"employees": {"name": ["Mia"], "team": ["y"]}}, False),
        ({"employees": {"name": ["Mia"]}, "tags": ["b"]}, True),
        ({"tags": ["b"]}, True),
        ({"employees": {"name": [{"anything-but": "Mia"}], "team": ["y"]}}, True),
    ],
)
def test_conditions_below_an_array_hold_in_one_element_in_an_index_too(pattern: dict[str, Any], verdict: bool) -> None:
    index: Index[str] = Index()
    index.add("it", pattern)
    assert compile(pattern).matches(PEOPLE) is verdict
    assert index.match(PEOPLE) == ({"it"} if verdict else set())


def test_an_index_of_more_fields_than_it_reads_one_by_one_gives_the_same_verdicts() -> None:
    index: Index[object] = Index()
    for number in range(100):
        index.add(number, {f"field{number}": {"x": ["y"]}})
        index.add(-1 - number, {f"field{number}.x": [{"exists": False}], "there": [True]})
    assert index.match({"field7": {"x": "y"}}) == {7}
    assert index.match({"field7.x": ["z", "y"], "field8": [{"x": "y"}, {"x": "z"}]}) == {7, 8}
    assert index.match({"field7": {"x": "y"}, "there": True}) == {7, *range(-100, 0)} - {-8}
    for number in range(100):
        index.discard(number)
        index.discard(-1 - number)
    assert len(index) == 0
    assert index.match({"field7": {"x": "y"}, "there": True}) == set()
