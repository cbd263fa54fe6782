"""`triggers exec`: what a Batch job runs."""

from __future__ import annotations

import os

import click

from triggers.app import JOB
from triggers.commands.failures import OK, NotFound
from triggers.commands.loading import load_app
from triggers.commands.output import note, span
from triggers.errors import did_you_mean


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option("--route", required=True, metavar="NAME", help="The route whose queue has the messages.")
def exec(target: str, route: str) -> int:
    """Carry out the messages of a route's queue, as a Batch job of the template does.

    Takes one message after the other, runs the route on it until the run has ended, records and publishes what came of
    it, and deletes the message, until the queue is empty and no run is to be tried again. Exits with 6 where a run is
    dead or a message was rejected, so that Batch does not start the job again. Places are where the environment says
    (TRIGGERS_BIND_NAME).
    """
    from triggers.aws.job import HOLD, Job  # loads what talks to AWS
    from triggers.aws.logs import set_up
    from triggers.aws.records import DONE
    from triggers.aws.template.jobs import ENDED_BADLY
    from triggers.binding import from_environment

    os.environ[JOB] = route  # before the processes of handlers start, which inherit it
    app = load_app(target)
    app = app.bound(from_environment(app))
    if route not in app.routes:
        raise NotFound(f"app {app.name!r} has no route {route!r}{did_you_mean(route, app.routes)}")
    job = Job.of(app, app.routes[route], set_up())
    note(f"{route}: waits for a message, up to {span(2 * HOLD)}, and ends when its queue is empty behind what is done")
    ended = job.carry_out()
    told = ", ".join(f"{count} {state}" for state, count in ended.items())
    note(f"{route}: {told or 'no message came; another job has taken it'}")
    return OK if ended.keys() <= {DONE} else ENDED_BADLY
