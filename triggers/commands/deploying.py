"""`triggers deploy`, `triggers diff`, `triggers destroy`: an app in AWS, and what would change of it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from triggers.commands.failures import FAILED, OK, NotFound, answering
from triggers.commands.loading import check_elsewhere, load_app, target_of
from triggers.commands.output import count, note, paint, plain, say, say_json
from triggers.commands.packing import PACKED, Packing, with_options
from triggers.commands.parameters import Pair, json_option

if TYPE_CHECKING:
    from triggers.app import App
    from triggers.aws.deployment import Rollout
    from triggers.aws.difference import Change, Edit
    from triggers.aws.removal import Removal
    from triggers.aws.stack import Step

_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "replaced": ("!", "red"), "removed": ("-", "red")}
_ENDS = {"COMPLETE": "green", "FAILED": "red"}
_WIDEST = 60
"""Characters of a value that are shown."""
_DIGITS = 12
"""Characters of a digest that are shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be deployed, as the options say it."""

    target: str
    binds: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str], ...]
    jobs: tuple[str, ...]
    packing: Packing
    image: str | None
    code_bucket: str | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return what a command was told."""
        own = {field.name: options[field.name] for field in fields(cls) if field.name in options}
        return cls(**own, packing=Packing.of(options))


_OPTIONS = (
    click.argument("target", metavar="MODULE[:APP]"),
    click.option(
        "--bind", "binds", type=Pair("incoming=s3://acme/incoming"), multiple=True, metavar="NAME=S3_URI",
        help="Where a place of the app is in AWS: incoming=s3://BUCKET/PREFIX; or which queue is meant: orders=NAME.",
    ),
    click.option(
        "--parameter", "parameters", type=Pair("AlarmTopicArn=ARN"), multiple=True, metavar="NAME=VALUE",
        help="A parameter of the template: AlarmTopicArn=ARN. What is not named stays as it was deployed.",
    ),
    click.option(
        "--job", "jobs", multiple=True, metavar="ROUTE", help="Make the route a Batch job, although it would fit."
    ),
    *PACKED,
    click.option("--image", metavar="URI", help="The image in ECR that the functions are, in place of a zip."),
    click.option(
        "--code-bucket", metavar="NAME",
        help="Where zip and template are put: a bucket in the same region. If not given, the one of the last"
        " deployment, or one that is made for the account and region.",
    ),
)  # fmt: skip
"""What `deploy` and `diff` are told alike."""


@click.command()
@partial(with_options, _OPTIONS)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def deploy(yes: bool, as_json: bool, **options: Any) -> int:
    """Put an app into AWS, or change it there: show what would change, ask, do it, and undo it where it fails.

    Account, region and endpoint are those that botocore finds (AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL). Zip and
    template go to the code bucket, the stack is created or updated, its buckets are told to tell EventBridge of their
    objects. Where nothing would change, nothing is done.
    """
    with _prepared(Wanted.of(options)) as rollout:
        for line in _described(rollout):
            note(line)
        if not rollout.changes_something:
            rollout.carry_out(_tell)
        elif not _agreed(f"Deploy {rollout.app.name} to {rollout.account}?", yes):
            return _untouched()
        else:
            _carry_out(rollout)
        if as_json:
            say_json({**_facts(rollout), "deployed": rollout.changes_something})
    return OK


@click.command()
@partial(with_options, _OPTIONS)
@json_option
def diff(as_json: bool, **options: Any) -> int:
    """Show what `deploy` would change, and change nothing.

    Exits with 0 where nothing would, with 1 where something would, as `diff` does, and with 2 or more where that was
    not to be found out. The app is packed, because only so can be said whether its code is another.
    """
    with answering(), _prepared(Wanted.of(options)) as rollout:
        if as_json:
            say_json(_facts(rollout))
        else:
            for line in _described(rollout):
                say(line)
        return FAILED if rollout.changes_something else OK


@click.command()
@click.argument("name", metavar="APP")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def destroy(name: str, yes: bool, as_json: bool) -> int:
    """Remove an app from AWS, by its name: its stack with its queues, its run records and its logs.

    What it would delete is shown, with the runs and messages that go with it. Buckets and their objects stay.
    """
    from triggers.aws.removal import Removal
    from triggers.aws.stack import Stack

    stack = Stack(name)
    removal = Removal.prepare(stack)
    if removal is None:
        raise NotFound(stack.absence())
    for line in _going(removal):
        note(line)
    if not _agreed(f"Destroy {name} in {removal.account}?", yes):
        return _untouched()
    with _watching(stack.name):
        removal.carry_out(_tell)
    for line in _staying(removal):
        note(line)
    if as_json:
        say_json(
            {
                "app": name,
                "stack": stack.name,
                "resources": len(removal.resources),
                "runs": {state: counted.number for state, counted in removal.runs.items()},
                "messages": dict(removal.messages),
                "kept": [*removal.buckets, *([removal.code] if removal.code else [])],
            }
        )
    return OK


# --- preparing -----------------------------------------------------------------------------------


@contextmanager
def _prepared(wanted: Wanted) -> Iterator[Rollout]:
    """Yield what would be deployed. Its zip is there as long."""
    from triggers.aws import template
    from triggers.aws.account import Account
    from triggers.aws.deployment import Rollout
    from triggers.aws.stack import Stack

    app = load_app(wanted.target)
    check_elsewhere(app, dict(wanted.binds))
    target = target_of(wanted.target, app)
    code = template.Code(wanted.packing.python, wanted.packing.arch, wanted.image is not None)
    made = template.render(app, target, dict(wanted.binds), code=code, jobs=wanted.jobs, now=time.time())
    for line in template.notes(made):
        note(f"note: {line}")
    Account.here(Stack(app.name).region)  # whoever has no credentials need not wait until the app is packed
    given = dict(wanted.parameters)
    with tempfile.TemporaryDirectory(prefix="triggers-deploy-") as folder:
        zipped = None
        if wanted.image is not None:
            given["ImageUri"] = wanted.image
        elif "CodeKey" in made["Parameters"]:
            zipped = _packed(app, target, wanted.packing, Path(folder, "functions.zip"))
        rollout = Rollout.prepare(app, made, zipped, given, wanted.code_bucket)
        for line in rollout.notes:
            note(f"note: {line}")
        yield rollout


def _packed(app: App, target: str, packing: Packing, file: Path) -> Path:
    from triggers.aws import bundle as making

    made = packing(app, target)
    made.write(file)
    size, unpacked = making.megabytes(file.stat().st_size), making.megabytes(made.size)
    note(f"packed {count(len(made.entries), 'file')}: {size}, unpacked {unpacked}")
    return file


# --- showing -------------------------------------------------------------------------------------


def _described(rollout: Rollout) -> Iterator[str]:
    """Yield what a deployment would change, line by line."""
    where = f"{rollout.account} (stack {rollout.stack.name})"
    if not rollout.changes_something:
        yield f"{rollout.app.name} is deployed to {where} as it is here; nothing would change"
        return
    if rollout.live is None:
        yield f"{rollout.app.name} is not deployed to {where}; {count(len(rollout.changes), 'resource')} would be made:"
        kinds = Counter(_short(change.type) for change in rollout.changes)
        yield from (f"  + {number:>3} {kind}" for kind, number in kinds.most_common())
    else:
        yield f"{rollout.app.name} in {where} would change:"
        for change in rollout.changes:
            yield from _of_change(change)
    yield from _of_parameters(rollout)
    yield from (f"  ~ bucket {one.name} tells EventBridge of its objects" for one in rollout.untold)


def _of_change(change: Change) -> Iterator[str]:
    mark, colour = _MARKS[change.kind]
    lost = f": {change.loses} would be lost" if change.loses else ""
    word = " is made anew" if change.kind == "replaced" else ""
    yield paint(f"  {mark} {change.name} ({_short(change.type)}){word}{lost}", colour)
    yield from (f"      {line}" for line in _of_edits(change.edits))


def _of_edits(edits: Iterable[Edit]) -> Iterator[str]:
    for edit in edits:
        yield f"{edit.place}: {_value(edit.before)} -> {_value(edit.after)}"


def _of_parameters(rollout: Rollout) -> Iterator[str]:
    if rollout.live is None:
        return
    before = rollout.live.parameters
    for name in ("CodeKey", "ImageUri"):
        if name not in rollout.parameters:
            continue
        old, new = _code(before.get(name, "none")), _code(rollout.parameters[name])
        yield f"  ~ code: {old} -> {new}" if old != new else f"    code: {new}, unchanged"
    others = [edit for edit in rollout.edits if edit.place not in ("CodeKey", "ImageUri")]
    yield from (f"  ~ parameter {line}" for line in _of_edits(others))


def _going(removal: Removal) -> Iterator[str]:
    name, where = removal.stack.app, f"{removal.account} (stack {removal.stack.name}, {removal.live.status})"
    yield f"{name} in {where}: {count(len(removal.resources), 'resource')} would be deleted:"
    kinds = Counter(_short(kind) for kind, _ in removal.resources)
    yield from (f"  - {number:>3} {kind}" for kind, number in kinds.most_common())
    runs = [f"{'more than ' if one.more else ''}{one.number:,} {state}" for state, one in removal.runs.items()]
    yield f"  - run records: {', '.join(runs) or 'none'}"
    yield from (f"    not counted: {why}" for why in removal.uncounted)
    if not removal.messages:
        yield "  - messages in queues: none"
    for queue, number in removal.messages.items():
        yield paint(f"  - {count(number, 'message')} in queue {queue}", "red")


def _staying(removal: Removal) -> Iterator[str]:
    yield f"{removal.stack.app} is destroyed"
    if removal.buckets:
        yield f"what stays: {', '.join(removal.buckets)} with all objects, and telling EventBridge of them"
    if removal.code:
        yield f"what stays: {removal.code}, the code"


def _short(kind: str) -> str:
    return kind.removeprefix("AWS::")


def _code(key: str) -> str:
    """Return the digest of a zip's key, short, or an image's URI."""
    return key.rpartition("/")[2].removesuffix(".zip")[:_DIGITS] if key.endswith(".zip") else key


def _value(value: object) -> str:
    return "none" if value is None else plain(json.dumps(value, ensure_ascii=False), _WIDEST)


def _facts(rollout: Rollout) -> dict[str, Any]:
    return {
        "app": rollout.app.name,
        "stack": rollout.stack.name,
        "account": rollout.account.number,
        "region": rollout.account.region,
        "differs": rollout.changes_something,
        "new": rollout.live is None,
        "resources": [
            {"change": one.kind, "name": one.name, "type": one.type, "edits": _as_json(one.edits), "loses": one.loses}
            for one in rollout.changes
        ],
        "parameters": _as_json(rollout.edits),
        "code": {name: value for name, value in rollout.parameters.items() if name.startswith(("Code", "Image"))},
        "code_changed": rollout.code_changes,
        "to_tell_eventbridge": [one.name for one in rollout.untold],
    }


def _as_json(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    return [{"place": one.place, "before": one.before, "after": one.after} for one in edits]


# --- changing ------------------------------------------------------------------------------------


def _agreed(question: str, yes: bool) -> bool:
    """Ask, but where `--yes` has answered. Raises `UsageError` where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at, and nothing was changed; add --yes to go on")
    return click.confirm(question, err=True)


def _untouched() -> int:
    note("nothing was changed")
    return FAILED


def _carry_out(rollout: Rollout) -> None:
    started = time.monotonic()
    if rollout.zipped is not None and rollout.code_changes:
        note(f"code: s3://{rollout.parameters['CodeBucket']}/{rollout.parameters['CodeKey']}")
    with _watching(rollout.stack.name):
        sent = rollout.carry_out(_tell)
    if rollout.zipped is not None and rollout.code_changes and not sent:
        note("the zip was there already")
    for bucket in rollout.untold:
        note(f"bucket {bucket.name} tells of new objects in about five minutes, and of those from before not at all")
    note(f"{rollout.app.name} is deployed ({time.monotonic() - started:.0f} s)")
    note(f"triggers runs --aws {rollout.app.name}")


@contextmanager
def _watching(stack: str) -> Iterator[None]:
    """Say what Ctrl-C does not do."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"what was begun of stack {stack} goes on in AWS; run this again to see how it ended")
        raise


def _tell(step: Step) -> None:
    """Show a step of the stack; that a resource which is being made has an ID now is none."""
    if step.reason == "Resource creation Initiated":
        return
    colour = next((colour for end, colour in _ENDS.items() if step.status.endswith(end)), None)
    why = f": {plain(step.reason)}" if step.reason and step.failed else ""
    note(f"  {paint(step.status.ljust(24), colour, err=True)} {step.name} ({_short(step.type)}){why}")
