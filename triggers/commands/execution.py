"""`triggers exec`: what a Batch job runs."""

from __future__ import annotations

import click

from triggers.commands.failures import FAILED, OK, NotFound
from triggers.commands.loading import load_app
from triggers.commands.output import note
from triggers.errors import did_you_mean


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option("--route", required=True, metavar="NAME", help="The route whose queue has the message.")
def exec(target: str, route: str) -> int:
    """Carry out one message of a route's queue, as a Batch job of the template does.

    Takes a message, runs the route on it until the run has ended, records and publishes what came of it, and deletes
    the message. Exits with 1 where the run is dead or the message was rejected. Places are where the environment says
    (TRIGGERS_BIND_NAME).
    """
    from triggers.aws.job import Job  # loads what talks to AWS
    from triggers.aws.logs import set_up
    from triggers.aws.records import DONE
    from triggers.binding import from_environment

    app = load_app(target)
    app = app.bound(from_environment(app))
    if route not in app.routes:
        raise NotFound(f"app {app.name!r} has no route {route!r}{did_you_mean(route, app.routes)}")
    ended = Job.of(app, app.routes[route], set_up()).carry_out()
    note(f"{route}: {ended or 'no message came; another job has taken it'}")
    return OK if ended in (DONE, None) else FAILED
