"""`triggers template`: an app as a CloudFormation template."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click

from triggers.commands.loading import check_elsewhere, load_app, target_of
from triggers.commands.output import count, note, save, say
from triggers.commands.packing import PLATFORM, with_options
from triggers.commands.parameters import Pair


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option(
    "--bind", "binds", type=Pair("incoming=s3://acme/incoming"), multiple=True, metavar="NAME=S3_URI",
    help="Where a place of the app is in AWS: incoming=s3://BUCKET/PREFIX; or which queue is meant: orders=NAME.",
)  # fmt: skip
@click.option(
    "--job", "jobs", multiple=True, metavar="ROUTE", help="Make the route a Batch job, although it would fit."
)
@click.option("--image", is_flag=True, help="Functions are an image in ECR, not a zip.")
@partial(with_options, PLATFORM)
@click.option("--polled", is_flag=True, help="Only what a dispatcher elsewhere needs: queues, rules, a policy.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write it there, not to stdout.")
def template(
    target: str,
    binds: tuple[tuple[str, str], ...],
    jobs: tuple[str, ...],
    image: bool,
    python: str,
    arch: str,
    polled: bool,
    output: str | None,
) -> None:
    """Write the CloudFormation template of an app: its functions, and all that feeds them.

    It is made from the declarations alone; where the code lies are its parameters. What AWS cannot honour is an error,
    all of it at once; what it does in another way is told on stderr and stands in the template's metadata.
    """
    from triggers.aws import template as making

    app = load_app(target)
    check_elsewhere(app, dict(binds))
    if polled:
        made = making.polled(app, dict(binds))
    else:
        code = making.Code(python, arch, image)
        made = making.render(app, target_of(target, app), dict(binds), code=code, jobs=jobs, now=time.time())
        for line in making.notes(made):
            note(f"note: {line}")
    text = making.text(made)
    if output is None:
        say(text.rstrip("\n"))
        return
    save(Path(output), text)
    note(f"wrote {output} ({count(len(made['Resources']), 'resource')})")
