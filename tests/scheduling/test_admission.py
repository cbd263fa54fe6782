"""What a run takes comes back whole, in whatever order runs end."""

from __future__ import annotations

from itertools import permutations

from tests.scheduling.test_flows import A, handler
from triggers.journal import RunRow
from triggers.options import make_policy
from triggers.routing import make_route
from triggers.scheduling.admission import Admission
from triggers.scheduling.holdings import UNIT, units
from triggers.scheduling.terms import Terms

AMOUNTS = (0.1, 0.3, 0.7)


def test_fractions_of_a_resource_come_back_whole_in_whatever_order() -> None:
    policies = [make_policy("r", {"needs": {"share": amount}}) for amount in AMOUNTS]
    names = [f"r{number}" for number in range(len(AMOUNTS))]
    routes = {
        name: make_route(handler, A, name=name, where=None, source=None, policy=policy)
        for name, policy in zip(names, policies, strict=True)
    }
    for order in permutations(names):
        admission = Admission(routes, {"thread": 9.0, "share": 4.0}, 600)
        for flow in admission.low():
            flow.ask()
            admission.fill(flow, [])
        admission.choose(0)
        taken = {name: admission.admit(RunRow(number, 1, name, Terms(0))) for number, name in enumerate(names)}
        assert admission.holdings.free["share"] < 4 * UNIT
        assert all(taken.values())
        for name in order:
            admission.release(names.index(name))
        assert admission.holdings.free["share"] == 4 * UNIT


def test_no_need_is_so_small_that_it_counts_for_nothing() -> None:
    assert units({"share": 1e-9}) == {"share": 1}
