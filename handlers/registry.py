"""The model registry: models named by their content, a card for each, and one file that says who is champion.

    models/objects/<sha256>.skops    the model; never changed
    models/cards/<sha256>.json       how it came to be: rows, partitions, reference distribution; written last
    models/champion.json             the champions so far and the history; replaced only as it was seen

Pointer and history are one object on purpose: no crash can leave one without the other.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal

from handlers.drift import Reference
from handlers.files import write_once
from triggers import Conflict, Place

POINTER = "champion.json"


class RegistryError(Exception):
    """The registry cannot do that; the message says why."""


class StaleChampion(RegistryError):
    """The champion is not the one that the challenger was compared with."""


@dataclass(frozen=True, slots=True)
class Card:
    """How a model came to be. `effect` names the run that trained it, so that a retry finds its own work."""

    model: str
    as_of: datetime
    reason: str
    effect: str
    rows: int
    trained_on: int
    partitions: list[str]
    library: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Entry:
    """One switch of the champion. `effect` names the run that asked for it."""

    action: Literal["promoted", "rolled back"]
    model: str
    previous: str | None
    at: str
    effect: str
    reason: str


@dataclass(slots=True)
class _State:
    champions: list[str] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)


class Registry:
    """The registry in a place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def add(self, data: bytes, card: Card) -> None:
        """Store a model and, last, its card: a model without a card was never finished and counts for nothing."""
        if hashlib.sha256(data).hexdigest() != card.model:
            raise RegistryError(f"the card of {short(card.model)} does not belong to this model file")
        write_once(self.place, _object(card.model), data)
        text = json.dumps({**asdict(card), "as_of": card.as_of.isoformat()}, indent=1)
        write_once(self.place, _card(card.model), text.encode())

    def read(self, model: str) -> bytes:
        """Return a model's file; raises `RegistryError` if it is gone or was altered."""
        try:
            data = self.place.read(_object(model))
        except FileNotFoundError:
            raise RegistryError(f"no model {short(model)} in {self.place}") from None
        if hashlib.sha256(data).hexdigest() != model:
            raise RegistryError(f"model {short(model)} was altered: its content does not match its name")
        return data

    def card(self, model: str) -> Card:
        """Return a model's card; raises `RegistryError` if there is none."""
        try:
            return _read_card(self.place.read(_card(model)))
        except FileNotFoundError:
            raise RegistryError(f"no model {short(model)} in {self.place}") from None

    def cards(self) -> list[Card]:
        """Return the cards of all models, oldest data first."""
        cards = (_read_card(self.place.read(key)) for key in self.place.keys("cards/"))
        return sorted(cards, key=lambda card: (card.as_of, card.rows, card.model))

    def champion(self) -> str | None:
        """Return the model that serves now."""
        champions = self._state().champions
        return champions[-1] if champions else None

    def history(self) -> list[Entry]:
        """Return every switch, oldest first."""
        return self._state().history

    def promote(self, model: str, *, against: str | None, effect: str, at: datetime, reason: str = "") -> Entry:
        """Make `model` the champion in one step, if the champion still is `against`; else raise `StaleChampion`.

        A second call with the same `effect` changes nothing and returns the first one's entry, even if someone has
        rolled back since: a retry must not undo what a person did.
        """
        self.read(model)  # never point at a model that is not there, whole

        def switch(state: _State) -> Entry:
            for entry in state.history:
                if entry.effect == effect:
                    return entry
            live = state.champions[-1] if state.champions else None
            if live != against:
                raise StaleChampion(f"compared with {short(against)}, but the champion is {short(live)}")
            state.champions.append(model)
            return Entry("promoted", model, live, at.isoformat(), effect, reason)

        return self._switched(switch)

    def rollback(self, *, at: datetime, reason: str = "by hand") -> Entry:
        """Return to the champion before this one; doing it again goes one further back."""

        def switch(state: _State) -> Entry:
            if len(state.champions) < 2:
                raise RegistryError("there is no champion to return to")
            bad = state.champions.pop()
            self.read(state.champions[-1])
            return Entry("rolled back", state.champions[-1], bad, at.isoformat(), "", reason)

        return self._switched(switch)

    def was_rolled_back(self, model: str) -> bool:
        """Return whether someone took this model out of service: the gate must not put it back."""
        return any(entry.action == "rolled back" and entry.previous == model for entry in self.history())

    def _switched(self, switch: Callable[[_State], Entry]) -> Entry:
        """Carry a switch out on what is there; where somebody else was first, on what is there then."""
        while True:
            seen = self.place.look(POINTER)
            state = _read_state(seen.data if seen else None)
            entry = switch(state)
            if entry in state.history:
                return entry
            state.history.append(entry)
            try:
                self.place.replace(POINTER, json.dumps(asdict(state), indent=1).encode(), seen=seen)
            except Conflict:
                continue
            return entry

    def _state(self) -> _State:
        seen = self.place.look(POINTER)
        return _read_state(seen.data if seen else None)


def address(data: bytes) -> str:
    """Return the name of a model: the SHA-256 of its file."""
    return hashlib.sha256(data).hexdigest()


def short(model: str | None) -> str:
    """Return a model's name as people read it."""
    return model[:12] if model else "none"


def _object(model: str) -> str:
    return f"objects/{model}.skops"


def _card(model: str) -> str:
    return f"cards/{model}.json"


def _read_state(text: bytes | None) -> _State:
    if text is None:
        return _State()
    data = json.loads(text)
    return _State(data["champions"], [Entry(**entry) for entry in data["history"]])


def _read_card(text: bytes) -> Card:
    data = json.loads(text)
    as_of = datetime.fromisoformat(data["as_of"])
    return Card(**{**data, "as_of": as_of, "reference": Reference(**data["reference"])})
