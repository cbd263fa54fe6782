"""`triggers export-test`: a failure as a pytest test that has it happen again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apsw
import click

from triggers.app import App
from triggers.commands.failures import NotFound
from triggers.commands.loading import bind, load_app, target_of
from triggers.commands.masking import Masked
from triggers.commands.origins import Failure, Origins, dead_below, failure_of, origins_of
from triggers.commands.output import count, note, plain, save, say
from triggers.commands.parameters import deployed_option, looked_at, state_option
from triggers.commands.reading import find, looking
from triggers.commands.script import Script, waiting_time
from triggers.commands.testfile import FAILURE, SUCCESS, TestFile
from triggers.errors import StateError, WiringError, did_you_mean
from triggers.journal import views
from triggers.lineage import EventRow


@click.command()
@click.argument("id", metavar="ID")
@click.option("--app", "target", metavar="MODULE[:APP]", help="The app, if not as `triggers run` last loaded it.")
@click.option(
    "--expect", "expected", type=click.Choice([SUCCESS, FAILURE]), default=SUCCESS, show_default=True,
    help="Whether the test fails until all goes well, or passes as long as it fails as it did.",
)  # fmt: skip
@click.option("--with", "places", multiple=True, metavar="PLACE", help="Copy what lies in that place now, too.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write it there, not to stdout.")
@state_option
@deployed_option
def export_test(
    id: str,
    target: str | None,
    expected: str,
    places: tuple[str, ...],
    output: str | None,
    folder: str | None,
    aws: str | None,
) -> None:
    """Write a failure, here or in AWS, as a pytest test: what came from outside, and what is to come of it.

    ID is a run that is dead or of which an attempt failed, or an event that led to one dead run. With --output the
    files that came are copied beside the test, into FILE_files.
    """
    file = None if output is None else Path(output)
    with looking(folder, aws, lambda deployed: deployed.chain(id)) as (_, connection):
        failure, origins = _told(connection, id)
        app, known = _app(connection, target)
    if aws:  # a record keeps one attempt alone, so any run may have been put off between its first start and its last
        origins = replace(origins, put_off={run.number for run in origins.runs})
    _check_routes(app, origins)
    masked = Masked(app.event_types(), origins.events.values())
    stem = file.stem if file else f"test_r{failure.run.number}"
    script = Script(app, masked, f"{stem}_files", copies=file is not None)
    for place in dict.fromkeys(places):
        script.lay_out(place)
    script.give(origins.inputs)
    script.wait(waiting_time(app, failure, origins))
    text = TestFile(known, failure, origins, script, expected).text()
    if file is None:
        say(text.rstrip("\n"))
    else:
        _write(file, text, script)
    for words in script.missing:
        note(f"missing: {plain(words)}")


def _told(connection: apsw.Connection, id: str) -> tuple[Failure, Origins]:
    found = find(connection, id)
    run = dead_below(connection, found) if isinstance(found, EventRow) else found
    return failure_of(connection, run), origins_of(connection, run)


def _app(connection: apsw.Connection, target: str | None) -> tuple[App, str]:
    """Return the app, its places where they are here, and `module:app`, by which a test imports it."""
    last = views.app(connection)
    known = target or (last.target if last else None)
    if known is None:
        raise click.UsageError(
            f"where the app's code is does not stand in {looked_at()}; name it: --app MODULE[:APP], as in app.py"
        )
    try:
        app = load_app(known)
    except NotFound as error:
        if target:
            raise
        raise NotFound(
            f"{error}; `triggers run` has loaded {known}: call this where it does, or name it by --app"
        ) from None
    return bind(app, {}), target_of(known, app)


def _check_routes(app: App, origins: Origins) -> None:
    for run in origins.runs:
        if run.route not in app.routes:
            raise WiringError(
                f"app {app.name!r} has no route {run.route!r}, by which r{run.number} ran"
                f"{did_you_mean(run.route, app.routes)}; a test needs the code as it was"
            )


def _write(file: Path, text: str, script: Script) -> None:
    """Write a test and its files. Nothing that is there is written over."""
    folder = file.with_name(script.folder)
    for path in (file, folder):
        if path.exists():
            raise StateError(f"{path} is there already; give another --output, or remove it")
    for name, content in script.files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error.strerror}") from error
    save(file, text)
    note(f"wrote {file}" + (f" and {count(len(script.files), 'file')} in {folder}" if script.files else ""))
