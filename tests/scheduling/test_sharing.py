"""Fair shares of the machine: whose turn it is among tenants, and pipelines, that all want more than there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life
from triggers import App, Event
from triggers.errors import WiringError

Start = Callable[..., Life]


class Job(Event):
    tenant: str | None = None
    n: int = 0


class Other(Event):
    tenant: str | None = None
    n: int = 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    lives: list[Life] = []

    def begin(app: App) -> Life:
        lives.append(Life(app, tmp_path / "state", lives[-1].clock if lives else None))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


class Bench:
    """An app that carries out one run at a time, each in a minute; `done` is whose they were."""

    def __init__(self, weights: dict[str, float] | None = None, **options: Any) -> None:
        self.done: list[str | None] = []
        self.app = App("a", resources={"bench": 1}, shares=weights or {})
        self.life: Life | None = None
        for kind in (Job, Other):
            self.app.on(kind, name=kind.__name__.lower(), needs={"bench": 1}, **options)(self.work)

    async def work(self, event: Event) -> None:
        self.done.append(getattr(event, "tenant", None))
        assert self.life is not None
        minute = self.life.clock.monotonic() + 60
        while self.life.clock.step(minute):
            pass

    def carry_out(self, life: Life, *events: Event) -> list[str | None]:
        """Carry out events that all wait, and return whose they were in the order of their starts."""
        self.life, before = life, len(self.done)
        life.send(*events)
        return self.done[before:]


def test_a_flood_of_one_tenant_does_not_hold_up_another(start: Start) -> None:
    bench = Bench(key="tenant", share=True)
    life = start(bench.app)
    flood, late = [Job(tenant="acme", n=n) for n in range(8)], [Job(tenant="beta", n=n) for n in range(3)]
    assert bench.carry_out(life, *flood, *late)[:6] == ["acme", "beta"] * 3


def test_a_weight_of_two_is_due_twice_as_much(start: Start) -> None:
    bench = Bench({"acme": 2}, key="tenant", share=True)
    life = start(bench.app)
    done = bench.carry_out(life, *(Job(tenant=name, n=n) for n in range(12) for name in ("acme", "beta")))
    assert done[:12].count("acme") == 8


def test_a_tenant_is_one_share_whichever_route_works_for_it(start: Start) -> None:
    bench = Bench(key="tenant", share=True)
    life = start(bench.app)
    acme = [kind(tenant="acme", n=n) for n in range(3) for kind in (Job, Other)]
    done = bench.carry_out(life, *acme, *(Job(tenant="beta", n=n) for n in range(3)))
    assert done[:6].count("beta") == 3


def test_what_a_share_had_before_a_restart_still_counts(start: Start) -> None:
    bench = Bench(key="tenant", share=True)
    life = start(bench.app)
    bench.carry_out(life, *(Job(tenant="acme", n=n) for n in range(5)))
    life.stop()
    again = start(bench.app)
    done = bench.carry_out(again, *(Job(tenant=name, n=n) for n in range(9) for name in ("acme", "beta")))
    assert done[:6].count("beta") >= 5


def test_runs_that_count_for_nobody_are_one_share_beside_the_others(start: Start) -> None:
    bench = Bench(key="tenant", share=True)
    life = start(bench.app)
    nobodys = [Job(n=n) for n in range(6)]
    assert bench.carry_out(life, *nobodys, *(Job(tenant="beta", n=n) for n in range(2)))[:4].count("beta") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": True}, "share=True has a share for each key; say which: key='customer', or name the share"),
        ({"share": 3}, "share=3 will not do"),
        ({"share": ""}, "share='' names no share; write e.g. share='reports'"),
    ],
)
def test_a_share_that_says_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(WiringError, match=said):
        App("a").on(Job, name="job", **options)(lambda event: None)


@pytest.mark.parametrize("weights", [{"acme": 0}, {"acme": "two"}, {"acme": True}, ["acme"]])
def test_a_weight_is_a_number_above_0(weights: Any) -> None:
    with pytest.raises(WiringError, match="share"):
        App("a", shares=weights)
