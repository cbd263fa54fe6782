"""What can be seen of the pipeline from outside, in lines: the registry, the reports, and the dead letters."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.app import app, place
from handlers.drift import limit, stability
from handlers.features import FeatureStore
from handlers.registry import Card, Entry, Registry, short
from handlers.runner import Engine
from triggers import Place

Line = tuple[str, str]
"""A word that says what it is about, and the text."""


class Places:
    """The folders below `home`, and what lies in them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.incoming = place("incoming", home)
        self.reports = place("reports", home)
        self.store = FeatureStore(place("features", home))
        self.registry = Registry(place("models", home))

    def folders(self) -> list[Path]:
        """Return all of them."""
        return [self.home / name for name in app.places()]

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """Return the reports of all evaluations, by name."""
        return _reports(self.reports, "evaluations/")

    def alarms(self) -> dict[str, dict[str, Any]]:
        """Return the alarms about drift, by name."""
        return _reports(self.reports, "drift/")

    def failures(self) -> list[str]:
        """Return the notices of rejected files and failed steps."""
        lines = (self.reports.read(key).decode() for key in self.reports.keys("notices/"))
        return [line for line in lines if " FAILED " in line]


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is at one moment."""

    champion: str | None
    partitions: list[str]
    cards: list[Card]
    evaluations: dict[str, dict[str, Any]]
    alarms: dict[str, dict[str, Any]]
    history: list[Entry]
    failures: list[str]


def look(places: Places) -> Seen:
    """Return what there is now."""
    registry = places.registry
    return Seen(
        registry.champion(),
        places.store.partitions(),
        registry.cards(),
        places.evaluations(),
        places.alarms(),
        registry.history(),
        places.failures(),
    )


def differences(places: Places, engine: Engine, before: Seen, after: Seen) -> Iterator[Line]:
    """Say what has come since, in the order in which the pipeline does it."""
    if fresh := [name for name in after.partitions if name not in before.partitions]:
        rows = sum(len(places.store.partition(name)) for name in fresh)
        yield "stored", f"{rows} samples, {len(places.store.read())} in all"
        if before.champion:
            yield "drift", _drift(places, before, after, fresh)
    if failed := len(after.failures) - len(before.failures):
        for run in engine.ask("dead", "list")[-failed:]:
            yield "rejected", f"{run['run']} {run['error'].removeprefix('Reject: ')}"
    for card in after.cards:
        if card not in before.cards:
            held = card.rows - card.trained_on
            yield "trained", f"{short(card.model)} on {card.trained_on} samples ({held} held out): {card.reason}"
    for name in sorted(after.evaluations.keys() - before.evaluations.keys()):
        yield from _evaluated(after.evaluations[name])
    for entry in after.history[len(before.history) :]:
        yield "deployed", f"{short(entry.model)}, before: {short(entry.previous)}"
    if after.champion and after.champion == before.champion:
        yield "champion", f"{short(after.champion)} stays"


def inventory(places: Places, dead: int, how: str) -> Iterator[Line]:
    """Say what lies there, however it came. `dead` runs lie in the dead letters, and the command `how` lists them."""
    yield (
        "files",
        f"{len(places.incoming.keys())} in {places.incoming}, {len(places.store.read())} samples in the feature store",
    )
    champion = places.registry.champion()
    served = {entry.model for entry in places.registry.history()}
    for card in places.registry.cards():
        role = "champion" if card.model == champion else "served before" if card.model in served else "never served"
        yield "models", f"{short(card.model)}  as of {card.as_of:%Y-%m-%d}  {card.trained_on:3d} rows  {role}"
    yield "dead", f"{dead} in the dead letters" + (f": {how}" if dead else "")
    yield "reports", f"{places.reports}: notices/, evaluations/, drift/"


def _drift(places: Places, before: Seen, after: Seen, fresh: list[str]) -> str:
    assert before.champion
    for name, alarm in after.alarms.items():
        if name not in before.alarms:
            moved = ", ".join(f"{feature} {value:.2f}" for feature, value in list(alarm["psi"].items())[:3])
            return f"yes: PSI {moved}, ... above the limit of {alarm['limit']:.2f}"
    old = places.registry.card(before.champion).reference
    most, rows = 0.0, 1
    for name in fresh:
        part = places.store.partition(name)
        value = next(iter(stability(old, part.values).values()))
        if value > most:
            most, rows = value, len(part)
    return f"no alarm: PSI at most {most:.2f}, the limit for {rows} rows is {limit(old.rows, rows):.2f}"


def _evaluated(report: dict[str, Any]) -> Iterator[Line]:
    for who, name in (("challenger", "model"), ("champion", "champion_model")):
        if scores := report[who]:
            figures = f"AUC {scores['auc']:.4f}  accuracy {scores['accuracy']:.3f}  log loss {scores['log_loss']:.3f}"
            yield "scored", f"{short(report[name])}  {figures}  on {scores['rows']} held-out samples  ({who})"
    yield "approved" if report["approved"] else "declined", report["reason"]


def _reports(reports: Place, prefix: str) -> dict[str, dict[str, Any]]:
    return {key.removeprefix(prefix): json.loads(reports.read(key)) for key in reports.keys(prefix)}
