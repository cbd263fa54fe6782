"""What came to an app in AWS and could be no event, beside its dead letters. (A dispatcher keeps such as files.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from triggers.commands.output import clock, iso, note, paint, plain, print_table, say, say_json, state
from triggers.commands.parameters import written
from triggers.commands.reading import known

if TYPE_CHECKING:  # who looks at a state folder needs nothing of AWS
    from triggers.aws.deployed import Deployed
    from triggers.aws.rows import Rejection

MOST = 10_000
"""As many are looked through for those of a route, the newest."""
LONGEST = 2_000
"""Characters of a body that are shown; `--json` has all that was kept."""
REASON = 500
"""Characters of a reason in a list: of several notices of a message each has its own, and `dead show` has them all."""


def among(deployed: Deployed, route: str | None, limit: int) -> list[Rejection]:
    """Return what was rejected, of a route if one is given: so many, the newest."""
    found = deployed.rejections(limit if route is None else MOST)
    return [one for one in found if route in (None, one.route)][-limit:]


def find(app: str, number: int) -> Rejection | None:
    """Return what was rejected under a number; None where nothing was."""
    from triggers.aws.deployed import Deployed

    with known(app):
        return Deployed(app).rejection(number)


def print_all(found: Sequence[Rejection]) -> None:
    """Print a table of what was rejected, and what to do about it."""
    if not found:
        return
    rows = [
        [
            f"r{one.number}",
            _to(one),
            clock(one.time),
            plain(one.source, 20),
            plain(one.body, 32),
            plain(one.reason, REASON),
        ]
        for one in found
    ]
    print_table(["rejected", "route", "came", "source", "what", "why"], rows)
    first, aside = (written(f"dead {word} r{found[-1].number}") for word in ("show", "drop"))
    note(f"what was rejected is no event and ran nothing; {first} shows it and the way out, {aside} puts it aside")


def show(one: Rejection, json: bool) -> None:
    """Show what came, why it was rejected, and the way out."""
    if json:
        say_json(as_json(one))
        return
    say(f"{paint(f'r{one.number} {_to(one)}', None, bold=True)}  {state(_word(one))}  {clock(one.time)}")
    say(f"\nrejected: {plain(one.reason)}")
    note(
        "nothing ran, and there is nothing to run again: mend what sends it, or deploy an app that takes it, and send"
        f" it again; this record is kept until {clock(one.expires)}"
        + ("" if one.dropped else f", and {written(f'dead drop r{one.number}')} puts it aside")
    )
    say(f"\nmessage {plain(one.id)} from {plain(one.source)}: {plain(one.body, LONGEST)}")
    if len(one.body) > LONGEST:
        note(f"it has {len(one.body):,} characters; {written(f'dead show r{one.number} --json')} prints all of them")


def as_json(one: Rejection) -> dict[str, Any]:
    """Return what was rejected with the fields of a run, and what came."""
    return {
        "run": f"r{one.number}",
        "route": one.route,
        "event": None,
        "state": _word(one),
        "attempt": 0,
        "priority": 0,
        "started": None,
        "ended": iso(one.time),
        "seconds": None,
        "due": None,
        "error": one.reason,
        "source": one.source,
        "id": one.id,
        "body": one.body,
    }


def _word(one: Rejection) -> str:
    return "dropped" if one.dropped else "rejected"


def _to(one: Rejection) -> str:
    return plain(one.route or "-", 20)
