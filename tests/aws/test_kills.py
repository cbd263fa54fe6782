"""A function that is killed at any of its calls: nothing is lost, and no effect happens under two keys."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.aws.deployed import Deployed, batch, record
from tests.aws.memory import Killed, Life, lives
from triggers import App, Context, Event, Later, Retry, RunFailed


class Processed(Event):
    n: int


class Trained(Event):
    n: int


class Ready(Event):
    n: int


MOST = 12
"""More calls than a chain of one message makes before it is through."""

LIVES = [(calls, after) for calls in range(1, MOST + 1) for after in (False, True)]
killed_at = pytest.mark.parametrize(("calls", "after"), LIVES)


class World:
    """A deployed app, its queues and its bus: what the bus has taken is in the queue of each route that takes it."""

    def __init__(self, app: App) -> None:
        self.deployed = Deployed(app)
        self.queue: list[dict[str, Any]] = []
        self.passed = 0
        self.kills = 0

    def send(self, event: Event, id: str = "m1") -> None:
        self.queue.append(record(event, id=id, route="train"))

    def work(self, calls: int, after: bool) -> None:
        """Deliver until every queue is empty; the first function is killed at the given call, and no other."""
        life: Life | None = Life(calls, after=after)
        for _ in range(100):
            if not self.queue:
                return
            given = batch(*self.queue[:10])
            try:
                back = self.deployed.failures(given, life=life)
                self.queue = [item for item in self.queue if item["messageId"] in back]
            except Killed:
                self.kills += 1
            life = None
            self._route()
            self._fire()
            self.deployed.clock.now += 90_000  # past every lease, back-off and wait
        raise AssertionError("it never ends")

    def _fire(self) -> None:
        schedules = self.deployed.scheduler.schedules
        for name in list(schedules):
            self.queue.append(record(schedules.pop(name)["Target"]["Input"], id=name))

    def _route(self) -> None:
        for entry in self.deployed.bus.entries[self.passed :]:
            route = {"Trained": "deploy", "RunFailed": "tell"}.get(entry["DetailType"])
            if route:
                self.queue.append(record(entry["Detail"], id=f"b{self.passed}", route=route))
            self.passed += 1


@pytest.fixture
def effects() -> Counter[tuple[str, str]]:
    """Count what handlers did to the outside, by route and idempotency key."""
    return Counter()


@pytest.fixture
def app(effects: Counter[tuple[str, str]]) -> App:
    app = App("churn", retry=Retry(attempts=5, initial=1, jitter=False))

    @app.on(Trained)
    def deploy(event: Trained, context: Context) -> Ready:
        effects["deploy", context.effect_key] += 1
        return Ready(n=event.n)

    return app


def published(world: World, kind: str) -> set[str]:
    return {event.id for event in world.deployed.published() if event.type == kind}


@killed_at
def test_a_chain_that_is_killed_anywhere_ends_with_each_effect_under_one_key(
    app: App, effects: Counter[tuple[str, str]], calls: int, after: bool
) -> None:
    @app.on(Processed)
    def train(event: Processed, context: Context) -> Trained:
        effects["train", context.effect_key] += 1
        return Trained(n=event.n)

    world = World(app)
    world.send(Processed(n=1), "m1")
    world.send(Processed(n=2), "m2")
    world.work(calls, after)
    assert sorted(route for route, _ in effects) == ["deploy", "deploy", "train", "train"]
    assert (len(published(world, "Trained")), len(published(world, "Ready"))) == (2, 2)
    assert {item["state"] for item in world.deployed.table.records()} == {"done"}
    assert all(item["published"] for item in world.deployed.table.records())


@killed_at
def test_a_run_that_is_settled_is_published_and_not_run_again(app: App, calls: int, after: bool) -> None:
    ran: list[int] = []

    @app.on(Processed)
    def train(event: Processed) -> Trained:
        ran.append(event.n)
        return Trained(n=event.n)

    world = World(app)
    world.send(Processed(n=1))
    world.work(calls, after)
    unsettled = calls == 2 or (calls == 3 and not after)  # claim; the handler; keep, settle, publish, mark
    assert len(ran) == (2 if unsettled else 1)
    assert len(published(world, "Trained")) == 1


@killed_at
def test_a_failure_that_is_killed_anywhere_is_told_under_one_identity(app: App, calls: int, after: bool) -> None:
    told: Counter[str] = Counter()

    @app.on(Processed, retry=Retry(attempts=2, initial=1))
    def train(event: Processed) -> Trained:
        raise OSError("no")

    @app.on(RunFailed)
    def tell(event: RunFailed, context: Context) -> None:
        told[context.envelope.id] += 1

    world = World(app)
    world.send(Processed(n=1))
    world.work(calls, after)
    assert len(told) == 1
    assert published(world, "RunFailed") == set(told)


@killed_at
def test_a_long_wait_that_is_killed_anywhere_ends(app: App, calls: int, after: bool) -> None:
    seen: list[int] = []

    @app.on(Processed)
    def train(event: Processed, context: Context) -> Trained:
        seen.append(context.attempt)
        if len(seen) == 1:
            raise Later(hours=24)
        return Trained(n=event.n)

    world = World(app)
    world.send(Processed(n=1))
    world.work(calls, after)
    assert len(published(world, "Trained")) == 1


def test_the_kills_reach_every_call(app: App) -> None:
    @app.on(Processed)
    def train(event: Processed) -> Trained:
        return Trained(n=event.n)

    made = []
    for life in lives(6):
        deployed = Deployed(app)
        try:
            deployed.call(batch(record(Processed(n=1))), life=life)
        except Killed:
            made.append(life.made.total())
    assert made == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
