"""`triggers package`: an app as a zip for Lambda."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from triggers.commands.loading import load_app, target_of
from triggers.commands.output import note, say_json
from triggers.commands.packing import PACKED, Packing, with_options
from triggers.commands.parameters import json_option
from triggers.errors import StateError

_SHOWN = 5


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", required=True)
@partial(with_options, PACKED)
@json_option
def package(
    target: str,
    output: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Pack an app for Lambda: its code, what it needs of triggers, and libraries built for the function.

    Libraries come in the versions that are installed here, but where a requirements file pins another. boto3 is there
    in Lambda and is not packed. The same code and versions make the same bytes.
    """
    from triggers.aws import bundle as making

    app = load_app(target)
    made = Packing.of(options)(app, target_of(target, app))
    try:
        digest = made.write(output)
    except OSError as error:
        raise StateError(f"{output} cannot be written: {error.strerror}") from error
    zipped = output.stat().st_size
    if as_json:
        say_json({"file": str(output), "sha256": digest, "zipped": zipped, "unpacked": made.size})
        return
    parts = ", ".join(f"{name} {making.megabytes(size)}" for name, size in made.parts()[:_SHOWN])
    note(f"wrote {output}: {making.megabytes(zipped)}, unpacked {making.megabytes(made.size)} ({parts}, ...)")
    if zipped > making.DIRECT:
        note(f"Lambda takes {making.megabytes(making.DIRECT)} without a bucket: upload it by way of one")
