"""What can be seen of the pipeline from outside, in lines: the registry, the reports, and the dead letters."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.app import app
from handlers.drift import limit, stability
from handlers.features import FeatureStore
from handlers.registry import Card, Entry, Registry, short
from handlers.runner import Engine

Line = tuple[str, str]
"""A word that says what it is about, and the text."""


class Places:
    """The folders below `home`, and what lies in them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.incoming = home / "incoming"
        self.store = FeatureStore(home / "features")
        self.registry = Registry(home / "models")

    def folders(self) -> list[Path]:
        """Return all of them."""
        return [self.home / name for name in app.places()]

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """Return the reports of all evaluations, by file name."""
        return _reports(self.home / "reports" / "evaluations")

    def alarms(self) -> dict[str, dict[str, Any]]:
        """Return the alarms about drift, by file name."""
        return _reports(self.home / "reports" / "drift")

    def failures(self) -> list[str]:
        """Return the notices of rejected files and failed steps."""
        path = self.home / "reports" / "notices.log"
        lines = path.read_text().splitlines() if path.exists() else []
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
    dead: list[dict[str, Any]]


def look(places: Places, engine: Engine) -> Seen:
    """Return what there is now."""
    registry = places.registry
    return Seen(
        registry.champion(),
        places.store.partitions(),
        registry.cards(),
        places.evaluations(),
        places.alarms(),
        registry.history(),
        engine.ask("dead", "list"),
    )


def differences(places: Places, before: Seen, after: Seen, files: Iterable[str]) -> Iterator[Line]:
    """Say what has come since, in the order in which the pipeline does it."""
    fresh = [name for name in after.partitions if name not in before.partitions]
    if fresh:
        rows = sum(len(places.store.partition(name)) for name in fresh)
        yield "stored", f"{rows} samples, {len(places.store.read())} in all"
    yield from _rejected(before, after)
    if fresh and before.champion:
        yield "drift", _drift(places, before, after, fresh)
    for card in after.cards:
        if card not in before.cards:
            held = card.rows - card.trained_on
            yield "trained", f"{short(card.model)} on {card.trained_on} samples ({held} held out): {card.reason}"
    for name, report in after.evaluations.items():
        if name not in before.evaluations:
            yield from _evaluated(report)
    for entry in after.history[len(before.history) :]:
        yield "deployed", f"{short(entry.model)}, before: {short(entry.previous)}"
    if after.history == before.history:
        stays = short(after.champion)
        yield "champion", f"{stays} stays" if after.champion else stays


def inventory(places: Places, engine: Engine) -> Iterator[Line]:
    """Say what lies there, however it came."""
    files = sum(1 for path in places.incoming.iterdir() if path.is_file())
    seen = look(places, engine)
    yield "files", f"{files} in {places.incoming}, {len(places.store.read())} samples in the feature store"
    scores = {report["model"]: report["challenger"] for report in seen.evaluations.values() if report["challenger"]}
    for card in seen.cards:
        auc = f"AUC {scores[card.model]['auc']:.4f}" if card.model in scores else "not evaluated"
        yield "models", f"{short(card.model)}  {auc}  {'champion' if card.model == seen.champion else 'no champion'}"
    yield "dead", f"{len(seen.dead)} in the dead letters: {engine.command('dead')}"
    yield "reports", f"{places.home / 'reports'}: notices.log, evaluations/, drift/"


def _rejected(before: Seen, after: Seen) -> Iterator[Line]:
    known = {run["run"] for run in before.dead}
    for run in after.dead:
        if run["run"] not in known:
            yield "rejected", f"{run['run']} {run['error'].removeprefix('Reject: ')}"


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


def _reports(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}
