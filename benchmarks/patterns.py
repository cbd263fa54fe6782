"""Patterns: how many events a second an index decides, and whether its verdicts are right."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.patterns.comparison import Comparison, of_index, of_readings
from triggers.patterns import Index

FEW = 10
MANY = 10_000
PASSES = 9

TEN_OPERATORS: list[dict[str, Any]] = [
    {"detail": {"bucket": {"name": ["bucket7"]}}},
    {"detail": {"object": {"key": [{"prefix": "t77/"}]}}},
    {"detail": {"object": {"key": [{"suffix": ".csv"}]}}},
    {"detail": {"object": {"key": [{"wildcard": "t*/d*/part-1*"}]}}},
    {"detail": {"object": {"size": [{"numeric": [">", 500_000]}]}}},
    {"detail": {"reason": [{"equals-ignore-case": "putobject"}]}},
    {"detail": {"bucket": {"name": [{"anything-but": ["bucket1", "bucket2"]}]}}},
    {"detail": {"source-ip-address": [{"cidr": "10.1.0.0/16"}]}},
    {"detail": {"deletion-type": [{"exists": False}]}},
    {"$or": [{"region": ["eu-west-1"]}, {"detail": {"reason": ["CopyObject"]}}]},
]


def event(random: Random, number: int) -> dict[str, Any]:
    """Return an event in the shape of EventBridge's "Object Created", about 620 bytes of JSON."""
    size = random.randrange(10**6)
    key = (
        f"t{random.randrange(MANY)}/d{random.randrange(100)}/part-{number}.{random.choice(['csv', 'parquet', 'json'])}"
    )
    return {
        "version": "0",
        "id": f"17793124-05d4-b198-2fde-{number:012}",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-12T00:00:00Z",
        "region": random.choice(["eu-west-1", "eu-central-1", "us-east-1"]),
        "resources": [f"arn:aws:s3:::bucket{number % 50}"],
        "detail": {
            "version": "0",
            "bucket": {"name": f"bucket{random.randrange(100)}"},
            "object": {
                "key": key,
                "size": size,
                "etag": f"etag{random.randrange(MANY)}",
                "sequencer": f"{number:016X}",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": f"10.{random.randrange(4)}.3.4",
            "reason": random.choice(["PutObject", "CopyObject"]),
        },
    }


def exact(random: Random, number: int) -> dict[str, Any]:
    """Return a rule for one value, which no other rule asks for."""
    return {"detail": {"object": {"etag": [f"etag{number}"]}}}


def three(random: Random, number: int) -> dict[str, Any]:
    """Return a rule of three conditions: one of a hundred buckets, a beginning of the key, and a size."""
    prefix = f"t{random.randrange(100)}"
    return {
        "detail": {
            "bucket": {"name": [f"bucket{random.randrange(100)}"]},
            "object": {"key": [{"prefix": prefix}], "size": [{"numeric": [">", random.randrange(10**6)]}]},
        }
    }


def rates(folder: Path, events: int) -> dict[str, float]:
    """Return events a second on mappings, of each kind of rules, and how many rules an event matched."""
    random = Random(7)
    made = [event(random, number) for number in range(events)]
    kinds: list[tuple[str, list[dict[str, Any]]]] = [("operators", TEN_OPERATORS)]
    for name, rule in (("exact", exact), ("three", three)):
        rules = [rule(random, number) for number in range(MANY)]
        kinds += [(f"{name}_few", rules[:FEW]), (f"{name}_many", rules)]
    indexes = {name: _index(rules) for name, rules in kinds}
    seconds: dict[str, list[float]] = {name: [] for name in indexes}
    for _ in range(PASSES):
        for name, index in indexes.items():
            begin = time.perf_counter()
            for one in made:
                index.match(one)
            seconds[name].append(time.perf_counter() - begin)
    found = {name: events / statistics.median(each) for name, each in seconds.items()}
    matches = {f"{name}_matches": sum(len(each.match(one)) for one in made) / events for name, each in indexes.items()}
    return found | matches


def _index(rules: Sequence[dict[str, Any]]) -> Index[int]:
    index: Index[int] = Index()
    for number, rule in enumerate(rules):
        index.add(number, rule)
    return index


def verdicts(folder: Path, cases: int, seed: int) -> dict[str, int]:
    """Return how many verdicts of so many differ: between the two readings of the rules, and in an index from alone."""
    found: dict[str, int] = {}
    comparisons: dict[str, Callable[[int, int], Comparison]] = {"readings": of_readings, "index": of_index}
    for name, compare in comparisons.items():
        made = compare(seed, cases)
        found |= {f"{name}_cases": made.cases, f"{name}_matches": made.matches, name: len(made.different)}
    return found
