"""`triggers calibrate`: how good the predictions of run times were."""

from __future__ import annotations

from typing import Any

import click

from triggers.commands.failures import FAILED
from triggers.commands.output import count, note, plain, print_table, say, say_json
from triggers.commands.parameters import Moment, json_option, state_option
from triggers.commands.reading import reader, require_names
from triggers.journal.times import all_ended, newest_began
from triggers.prediction.calibration import WANTED, Score
from triggers.prediction.calibration import calibrate as scored
from triggers.prediction.forecast import LEAST


@click.command()
@click.option("--route", metavar="NAME", help="Only this route.")
@click.option("--since", type=Moment(), help="Only runs that began since: 10m, 2h, 3d, or a time.")
@click.option("--limit", type=click.IntRange(min=1), default=10_000, show_default=True, help="How many, the newest.")
@click.option(
    "--least", type=click.IntRange(min=LEAST), default=30, show_default=True,
    help="Only predictions with so many runs behind them.",
)  # fmt: skip
@state_option
@json_option
def calibrate(route: str | None, since: float | None, limit: int, least: int, folder: str | None, as_json: bool) -> int:
    """Show which share of the runs took as long as was predicted when they began.

    Eight of ten should lie between the predicted p10 and p90. Exits with 1 where it is sure that fewer than 75 % or
    more than 85 % do.
    """
    with reader(folder) as (_, connection):
        require_names(connection, route=route)
        begun = max(since or 0.0, newest_began(connection, route, limit))
        scores = scored(all_ended(connection, route), begun, least)
    pooled = sum(scores.values(), start=Score())
    if as_json:
        say_json(
            [_json(name, score) for name, score in sorted(scores.items())] + ([_json(None, pooled)] * bool(scores))
        )
    elif scores:
        print_table(_COLUMNS, [_row(name, score) for name, score in sorted(scores.items())] + [_row("all", pooled)])
        say(_words(pooled))
    else:
        note(f"no run began with {least} or more of its route behind it that had ended well; --least asks for fewer")
    return FAILED if pooled.count and pooled.verdict() in ("too narrow", "too wide") else 0


_COLUMNS = ("ROUTE", "PREDICTED", "INSIDE", "BELOW", "ABOVE", "BIAS", "WIDTH", "")


def _row(name: str, score: Score) -> tuple[str, ...]:
    shares = (f"{100 * part / score.count:.0f} %" for part in (score.inside, score.below, score.above))
    return (plain(name), f"{score.count:,}", *shares, f"{score.bias:.2f}x", f"{score.width:.1f}x", score.verdict())


def _words(pooled: Score) -> str:
    low, high = (f"{100 * bound:.0f}" for bound in pooled.likely())
    wanted = f"{100 * WANTED[0]:.0f} to {100 * WANTED[1]:.0f} %"
    held = f"{100 * pooled.share:.0f} % of {count(pooled.count, 'run')} took between p10 and p90"
    verdict = pooled.verdict()
    if verdict == "good":
        return f"{held} ({low} to {high} % for sure): the predictions hold"
    if verdict == "too few to tell":
        return f"{held}; that may stand for anything between {low} and {high} %, so more runs must tell"
    return f"{held}, where {wanted} should: the ranges are {verdict}"


def _json(name: str | None, score: Score) -> dict[str, Any]:
    """Return a score as JSON; the one without a route is that of all."""
    low, high = score.likely()
    return {
        "route": name,
        "predicted": score.count,
        "inside": score.inside,
        "below": score.below,
        "above": score.above,
        "share": score.share,
        "likely": [low, high],
        "bias": score.bias,
        "width": score.width,
        "verdict": score.verdict(),
    }
