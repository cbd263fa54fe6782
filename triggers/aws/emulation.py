"""AWS on this machine: moto's server with an app's stack on it, and what moto leaves out carried out by ourselves.

One template describes the stack, here as in AWS. moto makes of it what it can make; what it only stores, or drops in
silence, is done beside it: buckets are told to notify EventBridge, schedules are made and fired, and functions run
under AWS's own runtime client, fed from their queues by the rules of Lambda's event source mappings.

An app's places become prefixes of one bucket: the folder `incoming` of the app `churn` is `s3://churn-data/incoming`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from triggers.app import App
from triggers.aws import names, objects, stack
from triggers.aws.account import Account, DataBucket
from triggers.aws.attributes import hidden_for
from triggers.aws.clients import client, connected
from triggers.aws.deployment import declare
from triggers.aws.firing import Firing
from triggers.aws.mapping import EventSourceMapping, Terms
from triggers.aws.refusals import explained
from triggers.aws.runtime import CONCURRENCY, Function, Result, Settings
from triggers.aws.server import ACCOUNT, REGION, Server, ServerEnded, environment, misleading, serve
from triggers.aws.template import polled as render_polled
from triggers.aws.template.references import logical
from triggers.clock import Clock, SystemClock
from triggers.errors import WiringError
from triggers.patterns import compile
from triggers.sources.bucket import Bucket
from triggers.sources.queue import FIFO, Queue

Json = Mapping[str, Any]
Told = Callable[[str, Result], None]
"""What is called with a function's name and what came of an invocation."""

_LEFT_OUT: Final = {"AWS::Lambda::EventSourceMapping", "AWS::Lambda::Function"}
"""Resources that are not given to moto: at each message it would call a function that it cannot run."""
_NAMED: Final = {
    "AWS::SQS::Queue": ("QueueName", "sqs", ""),
    "AWS::Lambda::Function": ("FunctionName", "lambda", "function:"),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/"),
    "AWS::Scheduler::ScheduleGroup": ("Name", "scheduler", "schedule-group/"),
}
"""By type: the property that has a resource's name, and what stands in its ARN."""
ENVIRONMENTS: Final = min(CONCURRENCY, max(2, os.cpu_count() or 1))
"""Of a function at once: more would only be longer at starting, one beside the other."""
_HEEDED: Final = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"}
"""A profile may have botocore ignore the endpoint that it is told of."""
_DATA: Final = "-data"
_LONGEST_BUCKET: Final = 63
SHORT: Final = 1
"""Seconds of a long poll: moto goes on with one whose caller has gone, and takes what comes for nobody. While a group
of a FIFO queue is shut, it waits for nothing and does all else slowly: such a queue is asked by short polls."""


@contextmanager
def emulated(port: int = 0) -> Iterator[Server]:
    """Run moto's server, and have this process find it where it would find AWS; yield it.

    Whatever the block raises once the server has ended is raised as a `ServerEnded`.
    """
    with serve(port) as server:
        before = dict(os.environ)
        for name in misleading(before):
            del os.environ[name]
        os.environ.update({**environment(server.endpoint), **_HEEDED})
        objects.forget()
        try:
            yield server
        except ServerEnded:
            raise
        except Exception:
            server.check()
            raise
        finally:
            os.environ.clear()
            os.environ.update(before)
            objects.forget()


def places(app: App) -> dict[str, str]:
    """Return where an app's places are emulated."""
    return {name: f"s3://{bucket(app)}/{name}" for name in app.places()}


def bucket(app: App) -> str:
    """Return the name of the bucket that has an app's places; S3 takes small letters only, and 63 characters."""
    plain = names.bus(app.name).lower().replace("_", "-")[: _LONGEST_BUCKET - len(_DATA)]
    return f"{plain.strip('-')}{_DATA}".lstrip("-")


def checked(key: str) -> str:
    """Return the key of an object that is to be put. Raises `WiringError` for one that moto does not take."""
    if "\n" in key:
        raise WiringError(f"key {key!r} has a line feed, which S3 takes and moto does not; try it with another name")
    return key


def polled(app: App) -> Stack:
    """Return the stack of a dispatcher. What a bucket is heard of by is made, too, where it is the user's own queue."""
    plain, own = copy(app), {}
    plain.sources = dict(app.sources)
    for name, source in app.sources.items():
        if isinstance(source, Bucket) and source.queue is not None:
            own[name] = source.queue.rstrip("/").rpartition("/")[2]
            plain.sources[name] = made = copy(source)
            made.queue = None
    template = render_polled(plain, places(app))
    for name, queue in own.items():
        template["Resources"][logical(name, "Queue")]["Properties"]["QueueName"] = queue
    return Stack(app, template)


class Stack:
    """A template at work on the emulation. `template` is what `template.render` or `template.polled` returned."""

    def __init__(self, app: App, template: Json) -> None:
        self.app = app
        self._template = template
        self._resources: Mapping[str, Json] = template["Resources"]

    def create(self) -> None:
        """Make the buckets and what moto makes of the template; then what it leaves out."""
        s3, sqs = client("s3"), client("sqs")
        for name in {bucket(self.app), *self._template["Metadata"]["Triggers"]["BucketsToEventBridge"]}:
            with explained(f"bucket {name!r}"):
                s3.create_bucket(Bucket=name)
            notify(s3, name)
        for source in self._own_queues():
            with explained(f"queue {source.queue!r}"):
                sqs.create_queue(QueueName=source.queue, Attributes=self._asked_of(source.queue))
        made = {name: one for name, one in self._resources.items() if one["Type"] not in _LEFT_OUT}
        self._create_stack({**self._template, "Resources": made})
        self._create_schedules()
        if "AWS::DynamoDB::Table" in {one["Type"] for one in made.values()}:
            declare(self.app)

    @asynccontextmanager
    async def functions(
        self, folder: Path, told: Told, clock: Clock | None = None
    ) -> AsyncIterator[Mapping[str, Heard]]:
        """Have the functions, whose zip is unpacked in `folder`, work off their queues, and the schedules fire.

        `told` is called with what comes of each invocation, and `clock` is what the schedules go by. Yields the
        functions by their names.
        """
        clock = clock or SystemClock()
        async with AsyncExitStack() as opened:
            sqs = await opened.enter_async_context(connected("sqs"))
            scheduler = await opened.enter_async_context(connected("scheduler"))
            functions = {
                name: Heard(await opened.enter_async_context(Function(folder, self._settings(one))), told)
                for name, one in self._of("AWS::Lambda::Function")
            }
            work = [Firing(scheduler, sqs, names.schedules(self.app.name), clock).run()]
            for _, one in self._of("AWS::Lambda::EventSourceMapping"):
                function = functions[one["Properties"]["FunctionName"]["Ref"]]
                work.append(self._mapping(one["Properties"], sqs, function, clock).run())
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one) for one in work]
                    yield functions
                    for task in tasks:
                        task.cancel()
            except ExceptionGroup as found:
                raise found.exceptions[0] from None

    def queues(self) -> list[str]:
        """Return the URLs of the queues that feed functions."""
        fed = self._of("AWS::Lambda::EventSourceMapping")
        return [_url(self.resolved(one["Properties"]["EventSourceArn"])) for _, one in fed]

    def heard(self) -> list[str]:
        """Return the URLs of the queues by which a dispatcher hears of what comes to its sources."""
        made = [_url(self._arn(name)) for name, _ in self._of("AWS::SQS::Queue")]
        return [*made, *(_url(f"{ACCOUNT}:{source.queue}") for source in self._own_queues())]

    def targets(self, event: Json) -> list[tuple[str, Json]]:
        """Return the queues into which the rules put an event of the default bus: their URLs, and what a message says
        of its order."""
        found = []
        for _, one in self._of("AWS::Events::Rule"):
            said = self.resolved(one["Properties"])
            if "EventBusName" not in said and compile(said["EventPattern"]).matches(event):
                found += [(_url(one["Arn"]), one.get("SqsParameters", {})) for one in said["Targets"] if _is_queue(one)]
        return found

    def _own_queues(self) -> list[Queue]:
        """Return the sources whose queues are the user's own: no template makes them."""
        return [source for source in self.app.sources.values() if isinstance(source, Queue)]

    def _asked_of(self, queue: str) -> dict[str, str]:
        """Return what a queue of the user's own must be, as `deploy` would have it of one that feeds a function."""
        ordered = {"FifoQueue": "true"} if queue.endswith(FIFO) else {}
        for _, one in self._of("AWS::Lambda::EventSourceMapping"):
            if self.resolved(one["Properties"]["EventSourceArn"]).endswith(f":{queue}"):
                seconds = self._resources[one["Properties"]["FunctionName"]["Ref"]]["Properties"]["Timeout"]
                return {**ordered, "VisibilityTimeout": str(hidden_for(seconds))}
        return ordered

    def resolved(self, value: Any) -> Any:
        """Return a value of the template with its references in place."""
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        if "Ref" in value:
            return self._reference(value["Ref"])
        if "Fn::GetAtt" in value:
            name, attribute = value["Fn::GetAtt"]
            return self._arn(name) if attribute == "Arn" else self._reference(name)
        if "Fn::Sub" in value:
            text: str = value["Fn::Sub"]
            for pseudo, said in _PSEUDO.items():
                text = text.replace(f"${{{pseudo}}}", said)
            return text
        return {key: self.resolved(one) for key, one in value.items()}

    def _of(self, *kinds: str) -> list[tuple[str, Json]]:
        return [(name, one) for name, one in self._resources.items() if one["Type"] in kinds]

    def _reference(self, name: str) -> str:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name not in self._resources:
            return str(self._template["Parameters"][name].get("Default", ""))
        one = self._resources[name]
        if one["Type"] not in _NAMED:
            return name
        return str(one["Properties"][_NAMED[one["Type"]][0]])

    def _arn(self, name: str) -> str:
        kind = self._resources[name]["Type"]
        if kind == "AWS::IAM::Role":
            return f"arn:aws:iam::{ACCOUNT}:role/{name}"
        _, service, before = _NAMED[kind]
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{before}{self._reference(name)}"

    def _create_stack(self, template: Json) -> None:
        wanted = {name for name, one in template.get("Parameters", {}).items() if "Default" not in one}
        body = {"TemplateBody": json.dumps(template)}
        stack.Stack(self.app.name).put(body, dict.fromkeys(wanted, "emulated"), lambda step: None)

    def _create_schedules(self) -> None:
        scheduler = client("scheduler")
        with explained(f"schedules of app {self.app.name!r}"):
            for _, one in self._of("AWS::Scheduler::ScheduleGroup"):
                scheduler.create_schedule_group(**self.resolved(one["Properties"]))
            for _, one in self._of("AWS::Scheduler::Schedule"):
                scheduler.create_schedule(**self.resolved(one["Properties"]))

    def _settings(self, function: Json) -> Settings:
        said = self.resolved(function["Properties"])
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        return Settings(
            handler=said["Handler"],
            environment={**said["Environment"]["Variables"], **environment(endpoint)},
            timeout=said["Timeout"],
            memory=said["MemorySize"],
            name=said["FunctionName"],
            concurrency=ENVIRONMENTS,
        )

    def _mapping(self, properties: Json, sqs: Any, function: Heard, clock: Clock) -> EventSourceMapping:
        said = self.resolved(properties)
        arn = said["EventSourceArn"]
        wait = 0 if arn.endswith(FIFO) else SHORT
        return EventSourceMapping(sqs, _url(arn), arn, function, Terms.of(said), wait=wait, clock=clock)


@dataclass(frozen=True, slots=True)
class Heard:
    """A function of whose invocations somebody is told."""

    function: Function
    told: Told

    async def invoke(self, payload: object) -> Result:
        """Return what came of an invocation."""
        result = await self.function.invoke(payload)
        self.told(self.function.settings.name, result)
        return result


def notify(s3: Any, bucket: str) -> None:
    """Have a bucket tell EventBridge of its objects, as who deploys has to."""
    DataBucket(Account(ACCOUNT, REGION), s3, bucket).tell()


def _is_queue(target: Json) -> bool:
    return ":sqs:" in target["Arn"]


def _url(arn: str) -> str:
    account, name = arn.split(":")[-2:]
    return f"{os.environ['AWS_ENDPOINT_URL']}/{account}/{name}"


_PSEUDO: Final = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws", "AWS::NoValue": ""}

__all__ = ["Stack", "bucket", "checked", "emulated", "notify", "places", "polled"]
