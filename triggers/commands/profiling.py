"""`triggers profile`: what runs used, beside what their routes declare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import click

from triggers.commands.output import note, paint, plain, print_table, say, say_json, span
from triggers.commands.parameters import json_option, state_option
from triggers.commands.reading import reader, require_names
from triggers.downstream import of_downstream
from triggers.journal import views
from triggers.journal.usages import Used, used
from triggers.journal.views import RouteView
from triggers.prediction.consumption import Proposal, Spread, Usage, propose, usages
from triggers.quantities import as_text, in_bytes

TITLES = ["route", "input", ">runs", ">memory p50", ">p95", ">most", ">cpu p50", ">p95", ">took p50", ">p95"]


@click.command()
@click.option("--route", metavar="NAME", help="Only this route.")
@state_option
@json_option
def profile(route: str | None, folder: str | None, as_json: bool) -> None:
    """Show what runs used by route and size of input, and propose what `needs=` should say.

    Memory and CPU are measured of runs in processes of their own (isolate=True, or timeout= of a plain handler).
    """
    with reader(folder) as (_, connection):
        require_names(connection, route=route)
        routes = views.routes(connection)
        found = defaultdict[str, list[Used]](list)
        for run in used(connection, route):
            found[run.route].append(run)
    chosen = [one for name, one in routes.items() if route in (None, name)]
    profiles = [(one, list(usages(found[one.name])), _proposal(one, found[one.name])) for one in chosen]
    if as_json:
        say_json([_json(*profile) for profile in profiles])
        return
    if rows := [_row(one, usage) for one, measured, _ in profiles for usage in measured]:
        print_table(TITLES, rows)
        say()
    advised = defaultdict[str, list[str]](list)  # routes of which the same is to be said share a line
    for one, _, proposal in profiles:
        advised[_advice(one, proposal)].append(paint(one.name, None, bold=True))
    for advice, names in advised.items():
        say(f"{', '.join(names)}: {advice}")
    if not profiles:
        note("no routes: no app has run over this state folder yet")


def _proposal(route: RouteView, runs: Sequence[Used]) -> Proposal:
    if not runs and route.policy.get("kind") != "process":
        where = "on the loop" if route.policy.get("kind") == "coroutine" else "in a thread"
        return Proposal({}, f"not measured {where}; isolate=True measures a handler in a process of its own")
    return propose(runs, route.policy.get("needs", {}))


def _advice(route: RouteView, proposal: Proposal) -> str:
    needs = route.policy.get("needs") or {}
    declared = f"declared {_shown(needs)}" if needs else "nothing declared"
    wanted = f", proposed needs={ {**_kept(route), **proposal.needs}!r}" if proposal.needs else ""
    return f"{declared}{wanted} ({proposal.why})"


def _kept(route: RouteView) -> dict[str, str | float]:
    """Return what is declared, as it is written. What the route calls is not declared there."""
    called = of_downstream(route.policy.get("downstream") or "")
    needs = {name: amount for name, amount in (route.policy.get("needs") or {}).items() if name != called}
    return {name: as_text(name, amount) if name == "memory" else _written(amount) for name, amount in needs.items()}


def _written(amount: float) -> float:
    return int(amount) if amount == int(amount) else amount


def _shown(needs: Mapping[str, float]) -> str:
    return plain(", ".join(f"{name} {as_text(name, amount)}" for name, amount in needs.items()))


def _row(route: RouteView, usage: Usage) -> list[str]:
    memory = [in_bytes(amount) for amount in usage.memory]
    cpu, took = ([span(seconds) for seconds in times[:2]] for times in (usage.cpu, usage.seconds))
    return [plain(route.name, 24), _size(usage), f"{usage.runs:,}", *memory, *cpu, *took]


def _size(usage: Usage) -> str:
    return f"< {usage.below} B" if not usage.from_size else f"{_bytes(usage.from_size)} - {_bytes(usage.below)}"


def _bytes(size: int) -> str:
    """Return a power of ten in bytes: `10 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size} {unit}"
        size //= 1000
    return f"{size} TB"


def _json(route: RouteView, measured: Sequence[Usage], proposal: Proposal) -> dict[str, Any]:
    return {
        "route": route.name,
        "declared": route.policy.get("needs", {}),
        "measured": [_usage_json(usage) for usage in measured],
        "proposed": dict(proposal.needs) or None,
        "why": proposal.why,
    }


def _usage_json(usage: Usage) -> dict[str, Any]:
    spreads = {name: value._asdict() for name, value in usage._asdict().items() if isinstance(value, Spread)}
    return {"from": usage.from_size, "below": usage.below, "runs": usage.runs, **spreads}
