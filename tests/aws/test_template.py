"""An app as a CloudFormation template: what is in it, what holds for any, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers import (
    All,
    App,
    Batch,
    Bucket,
    Debounce,
    Event,
    Folder,
    Join,
    MessageReceived,
    Missing,
    ObjectCreated,
    ObjectDeleted,
    Prices,
    Queue,
    Rate,
    Retry,
    RunFailed,
    Tick,
    at,
    cron,
    every,
    suffix,
)
from triggers.aws import names, wire
from triggers.aws.mapping import Terms
from triggers.aws.template import Code, notes, polled, render, text
from triggers.errors import WiringError
from triggers.lineage import EventRow
from triggers.policy import by_rank

BINDS = {"incoming": "s3://acme-incoming/raw", "tables": "s3://acme-data/tables", "models": "s3://acme-data/models"}


class Processed(Event):
    table: str


class Trained(Event):
    model: str


class Chosen(Event):
    model: str


class Ordered(Event):
    """Nobody emits it: it comes from outside."""


def churn(name: str = "churn") -> App:
    """Return an app with a route of every kind."""
    app = App(
        name,
        sources=[
            Folder("incoming", deletions=True),
            Bucket("s3://acme-images/x", name="images"),
            Queue(f"{name}-orders", name="orders"),
        ],
        outputs=[Folder("tables"), Folder("models")],
        resources={"gpu": 1},
    )

    @app.on(ObjectCreated, source="incoming", where={"key": suffix(".csv")}, writes={"tables"}, timeout=30)
    def process(event: ObjectCreated) -> Processed: ...

    @app.on(Processed, reads={"tables"}, writes={"models"}, needs={"cpu": 2, "memory": "2GiB"}, concurrency=1)
    def train(event: Processed) -> Trained: ...

    @app.on(Chosen, needs={"gpu": 1}, reads={"models"}, timeout=7200)
    def tune(event: Chosen) -> None: ...

    @app.on(Trained, where={"model": "a"}, concurrency=5)
    async def announce(event: Trained) -> Chosen: ...

    @app.on(RunFailed)
    def alert(event: RunFailed) -> None: ...

    @app.on(ObjectDeleted)
    def forget(event: ObjectDeleted) -> None: ...

    @app.on(cron("0 6 1 * MON", timezone="Europe/Berlin"), overlap="queue")
    def report(event: Tick) -> None: ...

    app.on(Tick, name="every_tick")(plain)
    app.on(MessageReceived, name="receive")(plain)
    app.on(Ordered, name="order", needs={"storage": "2GiB", "memory": "600MB"})(plain)
    return app


async def awaited(event: Event) -> None: ...


def plain(event: Event) -> None: ...


def made(app: App | None = None, **options: Any) -> dict[str, Any]:
    app = app or churn()
    return render(app, "churn:app", {name: uri for name, uri in BINDS.items() if name in app.places()}, **options)


def properties(template: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == kind}


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every statement of every policy in a template."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from statements(item)


def allowed(template: Mapping[str, Any], role: str) -> dict[str, dict[str, Any]]:
    """Return what a role may do, by the names of its statements."""
    return {one["Sid"]: one for one in statements(properties(template, role)["Policies"])}


def arns(statement: Mapping[str, Any]) -> list[str]:
    return [one["Fn::Sub"].replace("arn:${AWS::Partition}:", "") for one in statement["Resource"]]


class TestRoutes:
    def test_each_has_a_queue_with_dead_letters_and_a_mapping_that_answers_by_message(self) -> None:
        template = made()
        queue = properties(template, "ProcessQueue")
        assert queue["QueueName"] == names.queue("churn", "process")
        assert queue["RedrivePolicy"] == {
            "deadLetterTargetArn": {"Fn::GetAtt": ["ProcessDeadLetters", "Arn"]},
            "maxReceiveCount": 1000,
        }
        assert properties(template, "ProcessMapping") == {
            "EventSourceArn": {"Fn::GetAtt": ["ProcessQueue", "Arn"]},
            "FunctionName": {"Ref": "ProcessFunction"},
            "BatchSize": 1,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        }

    def test_objects_come_by_the_default_bus_and_emitted_events_by_the_apps(self) -> None:
        template = made()
        assert properties(template, "ProcessRule")["EventPattern"]["detail"] == {
            "bucket": {"name": ["acme-incoming"]},
            "object": {"key": [{"wildcard": "raw/*.csv"}]},
        }
        assert "EventBusName" not in properties(template, "ProcessRule")
        rule = properties(template, "AnnounceRule")
        assert rule["EventBusName"] == "churn"
        assert rule["EventPattern"] == {
            "source": ["triggers.churn"],
            "detail-type": ["Trained"],
            "detail": {"data": {"model": ["a"]}},
        }

    def test_only_their_rules_may_send_to_their_queues(self) -> None:
        [statement] = properties(made(), "ProcessAccess")["PolicyDocument"]["Statement"]
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
            "ArnLike": {"aws:SourceArn": [{"Fn::GetAtt": ["ProcessRule", "Arn"]}]},
        }

    def test_deletions_are_those_of_places_that_tell_them(self) -> None:
        pattern = properties(made(), "ForgetRule")["EventPattern"]
        assert pattern["detail-type"] == ["Object Deleted"]
        assert pattern["detail"]["bucket"] == {"name": ["acme-incoming"]}

    def test_a_handler_that_emits_objects_reaches_their_routes_by_a_second_rule(self) -> None:
        app = App("a", sources=[Bucket("s3://acme-in")])

        @app.on(ObjectCreated)
        def copy(event: ObjectCreated) -> ObjectCreated: ...

        template = made(app)
        assert properties(template, "CopyEmission")["EventPattern"]["detail-type"] == ["ObjectCreated"]
        [statement] = properties(template, "CopyAccess")["PolicyDocument"]["Statement"]
        assert len(statement["Condition"]["ArnLike"]["aws:SourceArn"]) == 2

    def test_one_run_at_a_time_is_an_ordered_queue_with_one_group(self) -> None:
        template = made()
        assert properties(template, "TrainQueue")["QueueName"] == "churn-train.fifo"
        assert properties(template, "TrainDeadLetters")["FifoQueue"] is True
        [target] = properties(template, "TrainRule")["Targets"]
        assert target["SqsParameters"] == {"MessageGroupId": "all"}
        assert "ScalingConfig" not in properties(template, "TrainMapping")

    def test_several_at_a_time_are_the_mappings_bound(self) -> None:
        assert properties(made(), "AnnounceMapping")["ScalingConfig"] == {"MaximumConcurrency": 5}

    def test_a_schedule_sends_ticks_to_its_route_and_to_those_of_all_ticks(self) -> None:
        schedules = of_type(made(), "AWS::Scheduler::Schedule")
        assert {
            name: (one["ScheduleExpression"], one["Target"]["Arn"]["Fn::GetAtt"][0]) for name, one in schedules.items()
        } == {
            name: (expression, queue)
            for name, expression, queue in [
                (next(n for n in schedules if n.startswith("Report") and schedules[n]["Name"] == called), text, to)
                for called, text, to in [
                    ("churn-report", "cron(0 6 1 * ? *)", "ReportQueue"),
                    ("churn-report-2", "cron(0 6 ? * MON *)", "ReportQueue"),
                    ("churn-report-every_tick", "cron(0 6 1 * ? *)", "EveryTickQueue"),
                    ("churn-report-every_tick-2", "cron(0 6 ? * MON *)", "EveryTickQueue"),
                ]
            ]
        }
        assert {one["ScheduleExpressionTimezone"] for one in schedules.values()} == {"Europe/Berlin"}

    def test_a_schedule_that_has_passed_is_left_out_and_told(self) -> None:
        app = App("a")

        @app.on(at("2020-01-01T00:00:00"))
        def once(event: Tick) -> None: ...

        template = made(app, now=1.8e9)
        assert not of_type(template, "AWS::Scheduler::Schedule")
        assert "has passed, and is not deployed" in notes(template)[0]

    def test_a_queue_of_ones_own_feeds_one_function_with_all_that_it_may_trigger(self) -> None:
        template = made()
        source = properties(template, "OrdersSource")
        assert source["EventSourceArn"]["Fn::Sub"].endswith(":${AWS::AccountId}:churn-orders")
        function = properties(template, source["FunctionName"]["Ref"])
        assert function["Environment"]["Variables"]["TRIGGERS_ROUTES"] == "receive,order"

    def test_a_queue_of_another_account_is_found_by_its_url(self) -> None:
        url = "https://sqs.eu-central-1.amazonaws.com/210987654321/orders"
        app = App("a", sources=[Queue("orders", url=url)])

        @app.on(MessageReceived)
        def receive(event: MessageReceived) -> None: ...

        assert properties(made(app), "OrdersSource")["EventSourceArn"]["Fn::Sub"].endswith(":210987654321:orders")


class TestFunctions:
    def test_what_a_route_needs_is_its_size(self) -> None:
        template = made()
        train, order = properties(template, "TrainFunction"), properties(template, "ReceiveFunction")
        assert train["MemorySize"] == 2 * 1769 + 0
        assert order["MemorySize"] == 573
        assert order["EphemeralStorage"] == {"Size": 2048}
        assert "EphemeralStorage" not in train

    def test_the_timeout_of_a_plain_handler_is_the_functions_with_time_to_settle(self) -> None:
        template = made()
        assert properties(template, "ProcessFunction")["Timeout"] == 35
        assert properties(template, "ProcessQueue")["VisibilityTimeout"] == 210
        assert properties(template, "TrainFunction")["Timeout"] == 900

    def test_routes_with_equal_needs_and_reach_share_one(self) -> None:
        shared = properties(made(), "AnnounceFunction")["Environment"]["Variables"]["TRIGGERS_ROUTES"]
        assert shared == "announce,alert,forget,report,every_tick"

    def test_they_find_the_app_and_its_places(self) -> None:
        variables = properties(made(), "TrainFunction")["Environment"]["Variables"]
        assert variables["TRIGGERS_APP"] == "churn:app"
        assert variables["TRIGGERS_BIND_TABLES"] == "s3://acme-data/tables"

    def test_they_read_and_write_what_their_routes_declare(self) -> None:
        found = allowed(made(), "TrainRole")
        assert arns(found["Read"]) == ["s3:::acme-data/models/*", "s3:::acme-data/tables/*"]
        assert arns(found["Write"]) == ["s3:::acme-data/models/*"]
        assert found["List1"]["Condition"] == {"StringLike": {"s3:prefix": ["models/*", "tables/*"]}}

    def test_they_read_the_objects_that_trigger_them(self) -> None:
        read = allowed(made(), "ProcessRole")["Read"]
        assert "s3:::acme-incoming/raw/*" in arns(read)
        assert read["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]

    def test_a_function_of_ordered_routes_makes_no_schedules(self) -> None:
        template = made()
        assert "Delay" not in allowed(template, "TrainRole")
        assert "Delay" in allowed(template, "ProcessRole")

    def test_a_zip_lies_where_the_parameters_say_and_so_does_an_image(self) -> None:
        assert properties(made(), "TrainFunction")["Code"] == {
            "S3Bucket": {"Ref": "CodeBucket"},
            "S3Key": {"Ref": "CodeKey"},
        }
        imaged = made(code=Code(image=True, architecture="arm64"))
        assert properties(imaged, "TrainFunction")["Code"] == {"ImageUri": {"Ref": "ImageUri"}}
        assert "Runtime" not in properties(imaged, "TrainFunction")
        assert properties(imaged, "TrainFunction")["Architectures"] == ["arm64"]


class TestJobs:
    def test_what_fits_no_function_is_a_job_that_takes_a_message_of_the_routes_queue(self) -> None:
        template = made()
        container = properties(template, "TuneJob")["ContainerProperties"]
        assert container["Command"] == ["triggers", "exec", "churn:app", "--route", "tune"]
        assert {"Type": "GPU", "Value": "1"} in container["ResourceRequirements"]
        queued, submitted = properties(template, "TuneRule")["Targets"]
        assert queued["Arn"] == {"Fn::GetAtt": ["TuneQueue", "Arn"]}
        assert submitted["BatchParameters"]["JobDefinition"] == {"Ref": "TuneJob"}
        assert "TuneMapping" not in template["Resources"]
        assert "route 'tune' is a Batch job: Lambda has no GPU" in notes(template)

    def test_batch_sets_no_bound_to_a_job_because_its_handlers_time_is_that_of_one_attempt(self) -> None:
        assert "Timeout" not in properties(made(), "TuneJob")

    def test_a_job_may_not_have_runs_sent_later_because_it_waits_for_them(self) -> None:
        [granted] = properties(made(), "TuneRole")["Policies"]
        sids = [statement["Sid"] for statement in granted["PolicyDocument"]["Statement"]]
        assert "Receive" in sids
        assert not {"Delay", "DelayAs"} & {*sids}

    def test_a_jobs_queue_says_where_jobs_are_submitted_and_leaves_it_to_the_job_how_long_it_has_a_message(
        self,
    ) -> None:
        queue = properties(made(), "TuneQueue")
        assert queue["Tags"] == [{"Key": names.JOB_QUEUE, "Value": {"Ref": "JobQueueArn"}}]
        assert "VisibilityTimeout" not in queue
        assert "Tags" not in properties(made(), "TrainQueue")

    @pytest.mark.parametrize(
        ("policy", "why"),
        [
            ({"timeout": 901}, "it may take 901 s, Lambda has 900 at most"),
            ({"needs": {"memory": "11GiB"}}, "it needs 11,264 MB of memory, Lambda has 10,240 at most"),
            ({"needs": {"cpu": 6}}, "it needs 6 cpu, which come with 10,614 MB of memory, Lambda has 10,240 at most"),
            (
                {"needs": {"memory": "12GiB", "cpu": 40}},
                "it needs 40 cpu, which come with 70,760 MB of memory, Lambda has 10,240 at most",
            ),
            ({"needs": {"storage": "20GiB"}}, "it needs 20,480 MB of storage, Lambda has 10,240 at most"),
        ],
    )
    def test_the_reason_is_told(self, policy: Any, why: str) -> None:
        assert notes(made(one_route(**policy)))[0] == f"route 'work' is a Batch job: {why}"

    @pytest.mark.parametrize("needs", [{"storage": "20GiB"}, {"storage": "5GiB", "gpu": 1}], ids=["because", "beside"])
    def test_storage_is_left_to_the_machines_and_that_is_told(self, needs: Any) -> None:
        [told] = [note for note in notes(made(one_route(needs=needs))) if "Batch job:" not in note]
        storage = {"20GiB": "20,480", "5GiB": "5,120"}[needs["storage"]]
        assert told.startswith(
            f"route 'work' needs {storage} MB of storage, which Batch gives no job on machines of EC2"
        )

    def test_nothing_is_told_of_storage_that_a_job_does_not_ask_for(self) -> None:
        assert len(notes(made(one_route(needs={"gpu": 1})))) == 1

    def test_a_route_may_be_chosen_to_be_one(self) -> None:
        template = made(one_route(), jobs=["work"])
        assert "WorkJob" in template["Resources"]
        assert {"JobQueueArn", "JobImage"} < set(template["Parameters"])
        assert "CodeKey" not in template["Parameters"]
        assert not of_type(template, "AWS::Lambda::Function")

    def test_a_schedule_submits_one_beside_its_message(self) -> None:
        app = App("a", resources={"gpu": 1})

        @app.on(every(days=1), needs={"gpu": 1})
        def nightly(event: Tick) -> None: ...

        targets = [one["Target"]["Arn"] for one in of_type(made(app), "AWS::Scheduler::Schedule").values()]
        assert {"Fn::Sub": "arn:${AWS::Partition}:scheduler:::aws-sdk:batch:submitJob"} in targets
        assert {"Fn::GetAtt": ["NightlyQueue", "Arn"]} in targets


def test_a_priority_is_told_to_have_nothing_to_go_before() -> None:
    assert "priority=3: routes have queues of their own" in notes(made(one_route(priority=3)))[0]


def one_route(**policy: Any) -> App:
    app = App("a")

    @app.on(Processed, **policy)
    def work(event: Processed) -> None: ...

    return app


def with_marker() -> App:
    return App("a", sources=[Folder("incoming", marker="_SUCCESS")])


def named(*routes: str) -> App:
    app = App("a")
    for name in routes:
        app.on(Processed, name=name)(handle)
    return app


def handle(event: Processed) -> None: ...


def misnamed(word: str) -> App:
    app = one_route()
    app.on(Trained, **{word: {"tabels"}})(lambda_like)
    return app


def lambda_like(event: Trained) -> None: ...


class Own:
    name = "own"

    def deliveries(self, site: Any) -> Any: ...


def of_several(batch: Batch | All) -> App:
    app = App("a")
    app.on(Processed, batch=batch, name="several")(several)
    return app


def several(events: list[Processed]) -> None: ...


def expecting() -> App:
    app = App("a")
    app.expect(Missing, every="1d")
    return app


def joining() -> App:
    app = App("a")
    app.on(Join(Processed, Trained, by={Processed: "table", Trained: "model"}, within=60), name="both")(both)
    return app


def both(processed: Processed, trained: Trained) -> None: ...


REFUSED = [
    (one_route(share="reports"), "share='reports' cannot be honoured: queues know nothing of each other"),
    (one_route(downstream="warehouse"), "downstream='warehouse' cannot be honoured: queues know nothing of each other"),
    (one_route(key="table", per_key=2), "per_key=2 cannot be honoured: a rule cannot tell a queue the key of an event"),
    (
        one_route(window="22:00-06:00"),
        "window='22:00-06:00 UTC' cannot be honoured: a queue cannot hold a message back",
    ),
    (one_route(price=Prices("p.csv")), "price='p.csv' cannot be honoured: a queue cannot hold a message back until it"),
    (one_route(not_before=60), "not_before='60 s' cannot be honoured: a queue cannot delay one message by more than"),
    (one_route(expires="07:00"), "expires='07:00 UTC' cannot be honoured: a queue cannot say which messages it has"),
    (one_route(overlap="skip"), "overlap='skip' cannot be honoured: a queue cannot drop a run because another one"),
    (one_route(overlap="replace", isolate=True), "overlap='replace' cannot be honoured: a queue cannot end a run"),
    (
        one_route(overlap="newest"),
        "overlap='newest' cannot be honoured: a queue cannot drop what waits because another",
    ),
    (one_route(throttle=Rate(10, per=60)), "throttle=Rate(10, per=60) cannot be honoured: a queue does not count"),
    (one_route(rate_limit=Rate(1, per=5)), "rate_limit=Rate(1, per=5) cannot be honoured: a queue does not count"),
    (one_route(debounce=Debounce(30)), "debounce= cannot be honoured: which events come together is decided from the"),
    (of_several(Batch(10, within=5)), "batch= cannot be honoured"),
    (of_several(All(Processed, within=5)), "batch=All cannot be honoured"),
    (joining(), "Join cannot be honoured"),
    (one_route(concurrency=2000), "concurrency=2000 is more than a queue's 1,000"),
    (one_route(needs={"licence": 1}), "route 'work' needs 'licence', which is shared among the runs of one machine"),
    (one_route(timeout=1000, concurrency=2), "Batch cannot bound its concurrency=2"),
    (one_route(needs={"gpu": 0.5}), "route 'work' needs 0.5 gpu; a Batch job takes whole ones"),
    (with_marker(), "source 'incoming': marker= cannot be honoured"),
    (one_route(in_order="table"), "in_order='table' cannot be honoured: a queue hands out what came first"),
    (expecting(), "app 'a': expect 'Missing' cannot be honoured: nobody there remembers when an event came last"),
    (App("a", policy=by_rank), "app 'a': policy=by_rank cannot be honoured: routes have queues of their own"),
    (App("a", sources=[Own()]), "source 'own' is a Own, which AWS has nothing for; run it with a dispatcher"),
    (named("x", "x-dead"), "would both be called a-x-dead in AWS; give one route or source another name="),
    (named("a,b"), "route 'a,b': functions are told their routes in one variable, between commas"),
    (App("a", sources=[Folder("ü")]), "'ü' would be bound by TRIGGERS_BIND_Ü, and Lambda takes ASCII alone"),
    (App("a", sources=[Queue("x-1"), Queue("x_1")]), "'x-1' and 'x_1' would both be bound by TRIGGERS_BIND_X_1"),
    (misnamed("reads"), "route 'lambda_like': reads= names 'tabels', which is no place of the app"),
    (misnamed("writes"), "route 'lambda_like': writes= names 'tabels', which is no place of the app"),
    (named(*(f"r{number}" for number in range(80))), "resources, and a stack takes 500; make several apps of it"),
]


@pytest.mark.parametrize(("app", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_aws_cannot_honour_is_refused_with_the_reason(app: App, reason: str) -> None:
    with pytest.raises(WiringError) as refused:
        made(app)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("binds", "reason"),
    [
        ({}, "place 'incoming' is a folder here and bound to no bucket; add --bind incoming=s3://BUCKET/PREFIX"),
        ({"incoming": "/data/in"}, "place 'incoming' is bound to '/data/in', which is no bucket"),
        ({"incoming": "s3:///raw"}, "names no bucket"),
        ({"incoming": "s3://acme/a*b"}, "the prefix 'a*b/' holds '*', which a policy reads as a pattern"),
        ({"incomming": "s3://acme"}, "--bind incomming=...: app 'a' has no such place; did you mean 'incoming'?"),
    ],
)
def test_a_place_that_is_bound_to_no_bucket_is_refused(binds: dict[str, str], reason: str) -> None:
    with pytest.raises(WiringError) as refused:
        render(App("a", sources=[Folder("incoming")]), "a:app", binds)
    assert reason in str(refused.value)


def test_an_app_that_is_bound_to_buckets_needs_no_more_binds() -> None:
    app = churn()
    assert render(app.bound(BINDS), "churn:app", {}) == render(app, "churn:app", BINDS)


def test_a_queue_that_is_bound_to_another_one_feeds_the_functions_from_there() -> None:
    template = render(churn(), "churn:app", {**BINDS, "orders": "staging"})
    assert properties(template, "OrdersSource")["EventSourceArn"] == {"Fn::Sub": f"{SQS}:staging"}
    [fed] = [one for one in of_type(template, "AWS::Lambda::Function").values() if "receive" in one["Description"]]
    assert fed["Environment"]["Variables"]["TRIGGERS_BIND_ORDERS"] == "staging"


def test_a_queue_is_bound_to_no_bucket() -> None:
    with pytest.raises(WiringError, match="queue 'orders' cannot be bound to s3://acme; bind it to another queue"):
        render(churn(), "churn:app", {**BINDS, "orders": "s3://acme"})


def test_a_calendar_that_fails_is_refused_as_any_calendar_is() -> None:
    def broken(day: date) -> bool:
        raise OSError("the calendar is away")

    app = App("a")
    app.on(every(minutes=5, exclude=broken), name="often")(plain)
    with pytest.raises(WiringError, match="Scheduler knows no days that are excluded"):
        render(app, "a:app", {}, now=1_800_000_000.0)


def test_all_problems_are_told_at_once() -> None:
    app = one_route(overlap="skip", needs={"licence": 1})
    with pytest.raises(WiringError) as refused:
        render(app, "a:app", {"in": "s3://acme"}, jobs=["word"])
    assert len(str(refused.value).splitlines()) == 4


def test_a_job_cannot_take_the_messages_of_a_queue() -> None:
    app = App("a", sources=[Queue("orders")])

    @app.on(MessageReceived, timeout=1000)
    def receive(event: MessageReceived) -> None: ...

    with pytest.raises(WiringError, match="which the messages of queue 'orders' cannot start"):
        made(app)


@pytest.mark.parametrize("bound", [{"concurrency": 1}, {"overlap": "queue"}])
def test_the_messages_of_a_queue_of_ones_own_cannot_be_run_one_at_a_time(bound: Any) -> None:
    app = App("a", sources=[Queue("orders.fifo")])
    app.on(MessageReceived, name="receive", **bound)(plain)
    app.on(Ordered, name="order", **bound)(plain)
    with pytest.raises(WiringError) as refused:
        made(app)
    receive, order = str(refused.value).splitlines()
    assert "route 'receive': one run at a time (concurrency=1, overlap='queue') cannot be honoured for" in receive
    assert "the messages of queue 'orders', which feeds the function for several at once; let a small route" in receive
    assert order == receive.replace("receive", "order"), "a source= that is no source of the app is no way out"
    app = App("a", sources=[Queue("orders.fifo")])
    app.on(MessageReceived, name="receive")(reordered)
    app.on(Ordered, name="order", **bound)(plain)
    assert properties(made(app), "OrderQueue")["FifoQueue"] is True


def test_a_bound_that_does_not_count_the_messages_of_a_queue_of_ones_own_is_told() -> None:
    app = App("a", sources=[Queue("orders")])
    app.on(MessageReceived, name="receive", concurrency=3)(plain)
    [note] = notes(made(app))
    assert note.startswith("route 'receive': concurrency=3 bounds what comes by its own queue, and not the messages of")


def reordered(event: MessageReceived) -> Ordered: ...


def test_a_queue_whose_messages_start_no_route_themselves_feeds_a_function_that_hands_them_on() -> None:
    app = App("a", sources=[Folder("incoming"), Queue("orders")])

    @app.on(ObjectCreated, name="note")
    def note(event: ObjectCreated) -> Ordered: ...

    app.on(Ordered, name="order", overlap="queue")(plain)
    template = render(app, "a:app", {"incoming": "s3://acme/in"})
    source = properties(template, "OrdersSource")
    assert source["FunctionName"] == {"Ref": "OrderFunction"}
    assert f"{SQS}:orders" in json.dumps(source["EventSourceArn"])
    assert f"{SQS}:orders" in json.dumps(properties(template, "OrderRole")), "it may receive from there"


def test_a_queue_that_no_function_could_read_is_refused() -> None:
    app = App("a", sources=[Queue("orders")])
    app.on(RunFailed, name="tell", timeout=1000)(plain)
    with pytest.raises(WiringError, match="queue 'orders' has no function to feed, since no route of the app is one"):
        made(app)


# --- what holds for any app -----------------------------------------------------------------------

POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "timeout": st.floats(0.1, 900),
        "concurrency": st.integers(1, 1000),
        "needs": st.fixed_dictionaries(
            {},
            optional={
                "cpu": st.floats(0.01, 5.7),
                "memory": st.integers(1, 10 * 2**30),
                "storage": st.integers(1, 10 * 2**30),
            },
        ),
        "retry": st.just(Retry(attempts=2)),
        "reads": st.just({"tables"}),
        "writes": st.just({"models"}),
        "isolate": st.booleans(),
        "overlap": st.sampled_from(["allow", "queue"]),
    },
).filter(lambda policy: policy.get("overlap") != "queue" or policy.get("concurrency", 1) == 1)
TRIGGERS = st.sampled_from([Processed, Trained, ObjectCreated, MessageReceived, RunFailed, every(minutes=5)])


@st.composite
def apps(draw: st.DrawFn) -> App:
    policies = draw(st.lists(POLICIES, min_size=1, max_size=4))
    serial = any(1 in (one.get("concurrency"), one.get("overlap") == "queue") for one in policies)
    app = App(
        "churn",
        sources=[Folder("incoming"), *([] if serial else [Queue("orders.fifo")])],
        outputs=[Folder("tables"), Folder("models")],
        retention=draw(st.floats(0.1, 5000)),
    )
    for number, policy in enumerate(policies):
        handler = awaited if draw(st.booleans()) else plain
        app.on(draw(TRIGGERS), name=f"{draw(st.sampled_from(['a', 'B c', 'ü']))}{number}", **policy)(handler)
    return app


def _queue_of(mapping: Mapping[str, Any], queues: Mapping[str, Any]) -> str:
    """Return the name of the queue that a mapping is from: a route's, or one of the user's own."""
    source = mapping["EventSourceArn"]
    name: str = queues[source["Fn::GetAtt"][0]]["QueueName"] if "Fn::GetAtt" in source else source["Fn::Sub"]
    return name


@settings(max_examples=60)
@given(apps())
def test_sizes_times_and_batches_fit_one_another_in_any_template(app: App) -> None:
    template = made(app)
    functions = of_type(template, "AWS::Lambda::Function")
    queues = of_type(template, "AWS::SQS::Queue")
    for function in functions.values():
        assert 128 <= function["MemorySize"] <= 10_240
        assert 1 <= function["Timeout"] <= 900
        assert 512 <= function.get("EphemeralStorage", {"Size": 512})["Size"] <= 10_240
    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping").values():
        function = functions[mapping["FunctionName"]["Ref"]]
        assert mapping["BatchSize"] in range(1, 11)
        Terms.of(mapping).check(_queue_of(mapping, queues))
        ordered = _queue_of(mapping, queues).endswith(".fifo")
        assert mapping.get("MaximumBatchingWindowInSeconds") == (None if ordered else 0)
        assert mapping.get("ScalingConfig", {"MaximumConcurrency": 2})["MaximumConcurrency"] in range(2, 1001)
        if source := mapping["EventSourceArn"].get("Fn::GetAtt"):
            assert queues[source[0]]["VisibilityTimeout"] >= 6 * function["Timeout"]
    for name, queue in queues.items():
        ordered = queue["QueueName"].endswith(".fifo")
        assert ordered == queue.get("FifoQueue", False) == queue.get("ContentBasedDeduplication", False)
        if "RedrivePolicy" in queue:
            assert (
                queues[queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]].get("FifoQueue", False)
                == ordered
            )
        assert len(queue["QueueName"]) <= 80, name


@settings(max_examples=60)
@given(apps())
def test_no_policy_of_any_template_gives_more_than_it_names(app: App) -> None:
    for statement in statements(made(app)):
        actions = statement["Action"]
        assert not any("*" in action for action in ([actions] if isinstance(actions, str) else actions))
        assert statement.get("Resource") != "*"
        if "Principal" in statement:
            assert "aws:SourceAccount" in statement["Condition"]["StringEquals"]
            if statement["Principal"] != {"Service": "lambda.amazonaws.com"}:
                assert "aws:SourceArn" in statement["Condition"]["ArnLike"]


@settings(max_examples=60)
@given(apps())
def test_what_a_template_refers_to_is_in_it(app: App) -> None:
    template = made(app)
    known = {*template["Resources"], *template["Parameters"]}
    assert set(references(template)) <= known
    assert text(made(app)) == text(template)
    assert json.loads(text(template)) == template


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("Ref"), str) and not value["Ref"].startswith("AWS::"):
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


# --- a dispatcher's, and the tools of others -------------------------------------------------------


def test_a_dispatcher_needs_of_each_bucket_a_rule_and_a_queue() -> None:
    template = polled(churn(), BINDS)
    assert {one["Type"] for one in template["Resources"].values()} == {
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::Events::Rule",
        "AWS::IAM::ManagedPolicy",
    }
    assert properties(template, "IncomingQueue")["QueueName"] == names.source_queue("churn", "incoming")
    pattern = properties(template, "IncomingRule")["EventPattern"]
    assert pattern["detail-type"] == ["Object Created", "Object Deleted"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": "raw/"}]}
    assert properties(template, "ImagesRule")["EventPattern"]["detail-type"] == ["Object Created"]


def test_a_bucket_with_a_queue_of_its_own_needs_none() -> None:
    app = App("a", sources=[Bucket("s3://acme-images/x", name="images", queue="mine")])
    template = polled(app, {})
    assert list(template["Resources"]) == ["Dispatcher"]
    assert may(template)["sqs:ReceiveMessage"] == may(template)["sqs:GetQueueAttributes"] == {f"{SQS}:mine"}


def may(template: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return what the managed policies of a template allow, by action."""
    found: dict[str, set[str]] = {}
    for policy in of_type(template, "AWS::IAM::ManagedPolicy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            for action in statement["Action"]:
                found.setdefault(action, set()).update(one["Fn::Sub"] for one in statement["Resource"])
    return found


SQS = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}"
S3 = "arn:${AWS::Partition}:s3:::"


def test_a_dispatcher_may_do_what_its_app_declares_and_nothing_else() -> None:
    template = polled(churn(), BINDS)
    queues = {f"{SQS}:{name}" for name in ("churn-source-incoming", "churn-source-images", "churn-orders")}
    buckets = {f"{S3}acme-incoming", f"{S3}acme-images"}
    read = {
        f"{S3}{below}/*" for below in ("acme-incoming/raw", "acme-images/x", "acme-data/tables", "acme-data/models")
    }
    written = {f"{S3}acme-data/tables/*", f"{S3}acme-data/models/*"}
    assert may(template) == {
        **dict.fromkeys(("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"), queues),
        "sqs:ChangeMessageVisibility": queues,
        "sqs:GetQueueAttributes": {f"{SQS}:churn-orders"},  # which nothing asks of those that the template makes
        "s3:ListBucket": {*buckets, f"{S3}acme-data"},
        "s3:ListBucketVersions": buckets,
        "s3:GetBucketVersioning": buckets,
        "s3:GetObject": read,
        "s3:GetObjectVersion": read,
        "s3:PutObject": written,
        "s3:AbortMultipartUpload": written,
    }
    assert template["Outputs"]["Dispatcher"]["Value"] == {"Ref": "Dispatcher"}


def test_what_a_dispatcher_lists_is_bounded_by_the_prefixes_that_are_bound() -> None:
    [policy] = of_type(polled(churn(), BINDS), "AWS::IAM::ManagedPolicy").values()
    listing = [one for one in policy["PolicyDocument"]["Statement"] if "List" in one["Action"][0]]
    below = {prefix for one in listing for prefix in one["Condition"]["StringLike"]["s3:prefix"]}
    assert below == {"raw/*", "x/*", "tables/*", "models/*"}


def test_policies_that_would_be_too_long_are_several() -> None:
    app = App("a", sources=[Bucket(f"s3://acme-{number}/raw", name=f"s{number}") for number in range(60)])
    template = polled(app, {})
    policies = of_type(template, "AWS::IAM::ManagedPolicy")
    assert len(policies) > 1
    assert set(template["Outputs"]) == set(policies)
    assert all(len(json.dumps(one["PolicyDocument"])) <= 6_144 for one in policies.values())
    assert len(may(template)["s3:GetObject"]) == 60


def test_a_dispatcher_receives_from_the_queues_that_its_app_is_bound_to() -> None:
    template = polled(churn(), {**BINDS, "orders": "arn:aws:sqs:eu-west-1:210987654321:theirs"})
    theirs = "arn:${AWS::Partition}:sqs:${AWS::Region}:210987654321:theirs"
    received = may(template)["sqs:ReceiveMessage"]
    assert theirs in received
    assert f"{SQS}:churn-orders" not in received


TEMPLATES = {
    "functions": lambda: made(),
    "image": lambda: made(code=Code(image=True)),
    "jobs": lambda: made(one_route(), jobs=["work"]),
    "polled": lambda: polled(churn(), BINDS),
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_cfn_lint_finds_nothing(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text(text(TEMPLATES[kind]()))
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(file)]
    found = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 0)


def test_it_is_deployed_and_carries_an_object_and_an_event_to_their_queues(endpoint: str, unique: str) -> None:
    s3, stacks, sqs = boto3.client("s3"), boto3.client("cloudformation"), boto3.client("sqs")
    for bucket in (f"{unique}-in", f"{unique}-code"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(
        Bucket=f"{unique}-in", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    s3.put_object(Bucket=f"{unique}-code", Key="code.zip", Body=b"PK\x05\x06" + bytes(18))
    sqs.create_queue(QueueName=f"{unique}-orders")
    app = churn(unique)
    binds = {**BINDS, "incoming": f"s3://{unique}-in/raw"}
    stacks.create_stack(
        StackName=names.stack(unique),
        TemplateBody=text(render(app, "churn:app", binds)),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in {
                "CodeBucket": f"{unique}-code",
                "CodeKey": "code.zip",
                "JobQueueArn": "arn:aws:batch:us-east-1:123456789012:job-queue/gpus",
                "JobImage": "registry/churn:1",
            }.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    [stack] = stacks.describe_stacks(StackName=names.stack(unique))["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    s3.put_object(Bucket=f"{unique}-in", Key="raw/a.csv", Body=b"1")
    s3.put_object(Bucket=f"{unique}-in", Key="raw/a.txt", Body=b"1")
    boto3.client("events").put_events(
        Entries=[
            {
                "Source": names.event_source(unique),
                "DetailType": kind,
                "Detail": wire.write(row(kind, data)),
                "EventBusName": names.bus(unique),
            }
            for kind, data in [("Processed", {"table": "t"}), ("Trained", {"model": "a"}), ("Trained", {"model": "b"})]
        ]
    )
    assert [body["detail"]["object"]["key"] for body in bodies(sqs, names.queue(unique, "process"))] == ["raw/a.csv"]
    assert [body["detail"]["data"] for body in bodies(sqs, names.queue(unique, "train", fifo=True))] == [{"table": "t"}]
    assert [body["detail"]["data"] for body in bodies(sqs, names.queue(unique, "announce"))] == [{"model": "a"}]
    table = boto3.client("dynamodb").describe_table(TableName=names.table(unique))["Table"]
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"by-root", "by-state"}
    stacks.delete_stack(StackName=names.stack(unique))


def test_moto_fails_an_event_whose_rule_submits_a_job(endpoint: str, unique: str) -> None:
    events = boto3.client("events", config=Config(retries={"total_max_attempts": 1}))
    events.put_rule(Name=unique, EventPattern=json.dumps({"source": [unique]}))
    target = {
        "Id": "job",
        "Arn": "arn:aws:batch:us-east-1:123456789012:job-queue/gpus",
        "RoleArn": "arn:aws:iam::1:role/r",
    }
    job = {"JobDefinition": "d", "JobName": "n"}
    events.put_targets(Rule=unique, Targets=[{**target, "BatchParameters": job}])
    with pytest.raises(ClientError, match="500"):
        events.put_events(Entries=[{"Source": unique, "DetailType": "Chosen", "Detail": "{}"}])


def row(kind: str, data: dict[str, str]) -> EventRow:
    sent = {"specversion": "1.0", "id": json.dumps(data), "source": "test", "type": kind, "data": data}
    return wire.read(json.dumps(sent).encode(), now=0.0)


def bodies(sqs: Any, queue: str) -> list[Any]:
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]
