"""Deploying an app: what would change, told before anything does, and then carried out in an order that can fail.

::

    rollout = Rollout.prepare(app, template, zipped)   # looks, checks and compares
    for change in rollout.changes: ...
    rollout.carry_out(print)

What is put first changes nothing that works: the zip and the template, under names that hold their digests. Then
CloudFormation changes the stack, or puts it back as it was. Last, buckets are told to tell EventBridge, and the app's
declaration is put beside its run records. Whatever is left undone by a failure, the next deployment does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from triggers.app import App
from triggers.aws import names
from triggers.aws.account import Account, CodeBucket, DataBucket
from triggers.aws.attributes import check_feed
from triggers.aws.clients import client
from triggers.aws.deployed import declared
from triggers.aws.difference import Change, Edit, compare, edits
from triggers.aws.refusals import explained
from triggers.aws.stack import Live, Stack, Told
from triggers.aws.template import text
from triggers.errors import TriggersError, WiringError, did_you_mean
from triggers.routing import describe_route

Json = Mapping[str, Any]

CODE: Final = ("CodeBucket", "CodeKey", "ImageUri")
"""The parameters that say where the code is."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A deployment that can be carried out, and what it would change. `live` is the stack before, if there is one."""

    app: App
    template: Json
    account: Account
    stack: Stack
    live: Live | None
    changes: Sequence[Change]
    parameters: Mapping[str, str]
    edits: Sequence[Edit]
    """Parameters that change, those of the code among them."""
    untold: Sequence[DataBucket]
    """Buckets that do not tell EventBridge yet."""
    notes: Sequence[str]
    """What to know of what is there."""
    bucket: CodeBucket
    zipped: Path | None = field(repr=False)

    @classmethod
    def prepare(
        cls,
        app: App,
        template: Json,
        zipped: Path | None = None,
        given: Mapping[str, str] | None = None,
        code_bucket: str | None = None,
        stack: Stack | None = None,
    ) -> Rollout:
        """Look at what is there, and change nothing.

        `template` is what `template.render` returned, `zipped` the functions' zip; `given` are values of the template's
        parameters. Raises `WiringError` for what would fail later: a stack that can't be changed, a bucket that is
        missing or elsewhere, a queue that Lambda would refuse, a parameter without a value.
        """
        stack = stack or Stack(app.name)
        account = Account.here(stack.region)
        live, before = _at_work(stack)
        s3 = client("s3")
        bucket = _code_bucket(account, s3, live, code_bucket)
        parameters = _parameters(template, {**(given or {}), **_of_code(app, bucket, zipped)}, before, live)
        changes = compare(before, json.loads(json.dumps(template)))
        _check_replaced(app, changes)
        needed = template["Metadata"]["Triggers"]
        buckets = [DataBucket(account, s3, name) for name in needed["BucketsToEventBridge"]]
        return cls(
            app,
            template,
            account,
            stack,
            live,
            changes,
            parameters,
            [] if live is None else list(edits(_known(live, parameters), parameters)),
            [one for one in buckets if not one.tells()],
            [*_of_feeds(needed["QueuesThatFeed"]), *_of_image(parameters.get("ImageUri"))],
            bucket,
            zipped,
        )

    @property
    def code_changes(self) -> bool:
        """Say whether functions get other code."""
        return self.live is None or any(edit.place in CODE for edit in self.edits)

    @property
    def changes_something(self) -> bool:
        """Say whether anything would be otherwise than it is."""
        return bool(self.live is None or self.changes or self.edits or self.untold)

    def carry_out(self, told: Told) -> bool:
        """Deploy; `told` hears of each step of the stack. Return whether the zip had to be sent.

        Raises `TriggersError` that names the first resource that failed, after CloudFormation has put back what was
        there before.
        """
        sent = False
        if self.live is None or self.changes or self.edits:
            if self.zipped is not None:
                sent = self.bucket.put(self.parameters["CodeKey"], self.zipped.read_bytes())
            written = text(dict(self.template)).encode()
            key = key_of(self.app, written, "json")
            self.bucket.put(key, written)
            self.stack.put({"TemplateURL": self.bucket.url(key)}, self.parameters, told)
        try:
            for bucket in self.untold:
                bucket.tell()
            declare(self.app)
        except TriggersError as error:
            raise type(error)(f"{error}; the stack is deployed but not at work: mend this and deploy again") from error
        return sent


def key_of(app: App, content: bytes, kind: str = "zip") -> str:
    """Return the key under which an app's zip or template lies: the same for the same content alone."""
    return f"{names.bus(app.name)}/{hashlib.sha256(content).hexdigest()}.{kind}"


def declare(app: App) -> None:
    """Put what an app consists of beside its run records, for those who look without its code."""
    table = names.table(app.name)
    with explained(f"run table {table!r} of app {app.name!r}"):
        item = declared(app.name, [describe_route(route) for route in app.routes.values()], sorted(app.sources))
        client("dynamodb").put_item(TableName=table, Item=item)


# --- checks --------------------------------------------------------------------------------------


def _at_work(stack: Stack) -> tuple[Live | None, Json]:
    """Return the stack, which can be changed, and its template; None and nothing where there is none."""
    if (live := stack.look()) is None:
        return None, {}
    stack.check_changeable(live)
    return live, stack.template()


def _of_code(app: App, bucket: CodeBucket, zipped: Path | None) -> dict[str, str]:
    """Return the parameters that say where the zip lies, if there is one."""
    return {} if zipped is None else {"CodeBucket": bucket.name, "CodeKey": key_of(app, zipped.read_bytes())}


def _code_bucket(account: Account, s3: Any, live: Live | None, named: str | None) -> CodeBucket:
    """Return the code bucket: the one named, else the one of the last deployment, else ours for the region."""
    last = live.parameters.get("CodeBucket") if live is not None else None
    ours, name = CodeBucket(account, s3), named or last
    found = ours if name in (None, ours.name) else CodeBucket(account, s3, name)
    found.check()
    return found


def _parameters(template: Json, given: Mapping[str, str], before: Json, live: Live | None) -> dict[str, str]:
    """Return a value for each parameter: the one given, else what somebody chose before, else the template's own."""
    wanted = template.get("Parameters", {})
    for name in sorted(set(given) - set(wanted)):
        raise WiringError(f"--parameter {name}: the template has no such parameter{did_you_mean(name, wanted)}")
    found: dict[str, str] = {}
    for name, one in wanted.items():
        default = one.get("Default")
        chosen = _chosen(name, before, live)
        value = given.get(name, default if chosen is None else chosen)
        if value is None:
            raise WiringError(f"the template's parameter {name} needs a value ({one['Description']}): {_way(name)}")
        found[name] = str(value)
    return found


def _chosen(name: str, before: Json, live: Live | None) -> str | None:
    """Return a parameter's value at work, None where it is no more than the template's own."""
    if live is None or name not in live.parameters:
        return None
    own = before.get("Parameters", {}).get(name, {}).get("Default")
    return None if own is not None and str(own) == live.parameters[name] else live.parameters[name]


def _way(name: str) -> str:
    return "add --image URI" if name == "ImageUri" else f"add --parameter {name}=VALUE"


def _of_feeds(queues: Mapping[str, int]) -> Iterator[str]:
    """Check the queues that are to feed functions, by the functions' times, and yield what there is to say of them."""
    sqs = client("sqs") if queues else None
    for queue, seconds in queues.items():
        if said := check_feed(sqs, queue, seconds):
            yield said


def _of_image(uri: str | None) -> Iterator[str]:
    """Yield that CloudFormation does not look behind a tag."""
    if uri is not None and "@sha256:" not in uri:
        yield (
            f"the image {uri} is named by a tag: another one that is pushed under it is no change to CloudFormation,"
            " and is not deployed; name it by its digest, as in REPOSITORY@sha256:..."
        )


def _known(live: Live, parameters: Iterable[str]) -> dict[str, str]:
    """Return the values at work of those parameters that there will be."""
    return {name: live.parameters[name] for name in parameters if name in live.parameters}


def _check_replaced(app: App, changes: Iterable[Change]) -> None:
    """Refuse what CloudFormation would refuse after a while: another resource under the name of the one before."""
    for change in changes:
        if change.stuck:
            raise WiringError(
                f"{change.name} ({change.type}) would have to be made anew, because {' and '.join(change.fixed)}"
                " changes, and AWS does not do that under the same name; rename the route, or remove the app first:"
                f" triggers destroy {app.name}"
            )


__all__ = ["CODE", "Rollout", "declare", "key_of"]
