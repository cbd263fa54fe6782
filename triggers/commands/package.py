"""`triggers package`: an app as a zip for Lambda."""

from __future__ import annotations

from pathlib import Path

import click

from triggers.commands.loading import load_app, target_of
from triggers.commands.output import note, say_json
from triggers.commands.parameters import json_option
from triggers.errors import StateError
from triggers.sources.folder import Folder

_A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_A_PATH = click.Path(exists=True, path_type=Path)
_SHOWN = 5


@click.command()
@click.argument("target", metavar="MODULE[:APP]")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", required=True)
@click.option(
    "--requirement", "requirements", type=_A_FILE, multiple=True, metavar="FILE",
    help="A requirements file with the libraries that the app needs.",
)  # fmt: skip
@click.option(
    "--include", type=_A_PATH, multiple=True, metavar="PATH",
    help="A module or package of yours that the app imports from elsewhere.",
)  # fmt: skip
@click.option("--provided", multiple=True, metavar="NAME", help="A package that a layer of the function has.")
@click.option("--python", default="3.13", show_default=True, metavar="X.Y", help="The functions' Python.")
@click.option("--arch", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True)
@json_option
def package(
    target: str,
    output: Path,
    requirements: tuple[Path, ...],
    include: tuple[Path, ...],
    provided: tuple[str, ...],
    python: str,
    arch: str,
    as_json: bool,
) -> None:
    """Pack an app for Lambda: its code, what it needs of triggers, and libraries built for the function.

    Libraries come in the versions that are installed here, but where a requirements file pins another. boto3 is there
    in Lambda and is not packed. The same code and versions make the same bytes.
    """
    from triggers.aws import bundle as making
    from triggers.aws.libraries import Platform
    from triggers.aws.libraries import requirements as lines_of

    app = load_app(target)
    made = making.bundle(
        target_of(target, app),
        Platform(python, arch),
        lines_of(requirements),
        include=[path.resolve() for path in include],
        provided=provided,
        leave_out=[one.path for one in {**app.sources, **app.outputs}.values() if isinstance(one, Folder)],
    )
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
