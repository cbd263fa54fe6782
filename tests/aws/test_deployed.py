"""The commands that look, over the run records of a deployed app."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from tests.aws.deployed import create_table, row
from tests.aws.memory import EventBus, Killed, Life, Mortal
from triggers import App, Event, ObjectCreated, Retry
from triggers.aws import checkup, entrance, names, wire
from triggers.aws.bus import Bus
from triggers.aws.deployed import Deployed, declared
from triggers.aws.records import Claim, Records
from triggers.aws.runs import Runs
from triggers.aws.template import jobs
from triggers.commands import cli
from triggers.commands.failures import NOT_FOUND
from triggers.errors import TriggersError
from triggers.lineage import EventRow
from triggers.routing import Router, describe_route

FAR = 1e11
"""A moment that no invocation lasts to."""


class Processed(Event):
    table: str


class Trained(Event):
    model: str


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Churn:
    """An app whose records lie in a table and whose routes have queues; what is run is run here, at once."""

    def __init__(self, name: str) -> None:
        self.app = app = App(name, retry=Retry(attempts=1))

        @app.on(Processed)
        def train(event: Processed) -> Trained:
            if event.table == "bad":
                raise ValueError("this table is bad")
            return Trained(model=event.table)

        @app.on(Trained, where={"model": ["good"]})
        def deploy(event: Trained) -> None: ...

        self.client = boto3.client("dynamodb")
        self.sqs = boto3.client("sqs")
        self.bus = EventBus()
        create_table(self.client, name)
        self.client.put_item(
            TableName=names.table(name),
            Item=declared(name, [describe_route(route) for route in app.routes.values()], ["incoming"]),
        )
        self.queues = {
            route: self.sqs.create_queue(QueueName=names.queue(name, route))["QueueUrl"] for route in app.routes
        }
        router = Router(app.routes.values())
        self.records = Records(self.client, names.table(name), 30)
        bus = Bus(lambda: self.bus, name, sleep=lambda seconds: None)
        self.runs = Runs(app, router, self.records, bus, name)

    def feed(self, *events: EventRow) -> None:
        """Run what the events trigger, and what comes of it."""
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            for route in Router(self.app.routes.values()).match(event.type, event.source, None, event.data):
                self.runs.carry_out(event, route, "request", FAR)
            waiting += [wire.read(entry["Detail"].encode(), 0.0) for entry in self.bus.entries]
            self.bus.entries.clear()

    def run_of(self, id: str, route: str = "train") -> str:
        """Return the run of a route on an event of the tests."""
        return f"r{wire.number_of('test', id, route)}"

    def receive(self, route: str) -> list[EventRow]:
        """Return what the queue of a route holds, and carry it out."""
        messages = self.sqs.receive_message(QueueUrl=self.queues[route], MaxNumberOfMessages=10).get("Messages", [])
        events = [wire.read(message["Body"].encode(), 0.0) for message in messages]
        for event in events:
            self.runs.carry_out(event, self.app.routes[route], "request", FAR)
        return events

    def __call__(self, *words: str) -> Answer:
        result = CliRunner().invoke(cli, [*words, "--aws", self.app.name], prog_name="triggers")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def churn(endpoint: str, unique: str) -> Iterator[Churn]:
    churn = Churn(unique)
    churn.feed(row(Processed(table="good"), "1"), row(Processed(table="bad"), "2"))
    yield churn
    churn.runs.close()


def ids(text: str, letter: str = "r") -> list[str]:
    return re.findall(rf"\b{letter}\d+", text)


def test_runs_lists_the_newest_last(churn: Churn) -> None:
    found = churn("runs", "--json").data
    assert [(run["route"], run["state"]) for run in found][:1] == [("train", "done")]
    assert sorted((run["route"], run["state"], run["attempt"]) for run in found) == [
        ("deploy", "done", 1),
        ("train", "dead", 1),
        ("train", "done", 1),
    ]
    assert [run["state"] for run in churn("runs", "--state", "dead", "--json").data] == ["dead"]
    assert churn("runs", "--limit", "1", "--json").data == found[-1:]
    assert {run["route"] for run in churn("runs", "--route", "deploy", "--json").data} == {"deploy"}


def test_trace_shows_the_whole_chain_from_any_of_its_ids(churn: Churn) -> None:
    [deploy] = [run for run in churn("runs", "--json").data if run["route"] == "deploy"]
    for id in (deploy["run"], deploy["event"], "1"):
        tree = churn("trace", id, "--json").data["tree"]
        [train] = tree["runs"]
        [trained] = train["emitted"]
        assert (tree["type"], train["route"], trained["type"]) == ("Processed", "train", "Trained")
        assert [run["run"] for run in trained["runs"]] == [deploy["run"]]


def test_an_event_that_nothing_takes_stands_in_its_chain(churn: Churn) -> None:
    churn.feed(row(Processed(table="other"), "3"))
    tree = churn("trace", "3", "--json").data["tree"]
    assert [event["type"] for event in tree["runs"][0]["emitted"]] == ["Trained"]
    trained = tree["runs"][0]["emitted"][0]
    assert trained["runs"] == []
    assert "deploy does not take it: model" in churn("why", trained["event"]).out


def test_why_says_how_a_run_ended(churn: Churn) -> None:
    runs = {run["state"]: run["run"] for run in churn("runs", "--json").data if run["route"] == "train"}
    assert "train ended well" in churn("why", runs["done"]).out
    assert "train failed for good after 1 attempt: ValueError: this table is bad" in churn("why", runs["dead"]).out


def test_an_object_that_a_run_wrote_is_told_by_its_source_and_was_not_emitted(churn: Churn) -> None:
    root = row(Processed(table="good"), "1")
    told = row(ObjectCreated(key="model", uri="s3://a/model", size=1, version="v"), "model@v", "models")
    told = told._replace(root=root.number, cause=int(churn.run_of("1")[1:]), depth=1)
    text, number = wire.write(told), wire.run_number(told, "load")
    claim = churn.records.claim(number, "load", told, text, "one", time.time(), FAR)
    assert isinstance(claim, Claim)
    churn.records.done(claim, 0, time.time())
    assert f"e{told.number} ObjectCreated from models" in churn("trace", f"r{number}").out
    said = churn("why", churn.run_of("1")).out
    assert re.search(rf"it emitted e\d+ Trained and wrote what came as e{told.number} ObjectCreated$", said.strip())


def test_a_dead_letter_is_shown_with_its_traceback_and_runs_again(churn: Churn) -> None:
    [dead] = ids(churn("dead").out)
    assert 'raise ValueError("this table is bad")' in churn("dead", "show", dead).out
    answer = churn("dead", "redrive", dead)
    assert answer.out == f"redriven {dead}; now 1 delayed\n"
    [event] = churn.receive("train")
    assert event.id == "2"
    [run] = [run for run in churn("runs", "--json").data if run["run"] == dead]
    assert (run["state"], run["attempt"]) == ("dead", 1)  # it failed again, having had all its attempts before it


def test_a_dead_letter_that_is_dropped_is_one_no_more_and_can_be_taken_back(churn: Churn) -> None:
    [dead] = ids(churn("dead").out)
    assert churn("dead", "drop", dead).out == f"dropped {dead}; now 1 dropped\n"
    assert "no dead letters" in churn("dead").err
    assert churn("dead", "drop", dead).code != 0
    assert churn("dead", "redrive", dead).code == 0


def test_a_dead_letter_whose_end_nobody_was_told_of_is_told_before_it_begins_again(churn: Churn) -> None:
    churn.bus.failing = [1] * 6
    with pytest.raises(TriggersError, match="did not take 1 of the events"):
        churn.feed(row(Processed(table="bad"), "3"))
    dead = churn.run_of("3")
    rule = boto3.client("events")
    bus = rule.create_event_bus(Name=names.bus(churn.app.name))["EventBusArn"]
    rule.put_rule(Name="all", EventBusName=bus, EventPattern='{"detail-type": ["triggers.RunFailed", "RunFailed"]}')
    url = churn.sqs.create_queue(QueueName=f"{churn.app.name}-told")["QueueUrl"]
    arn = churn.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])
    assert churn("dead", "redrive", dead).code == 0
    [told] = churn.sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(told["Body"])["detail"]["data"]["run"] == dead


def test_a_run_whose_route_is_gone_stays_a_dead_letter(churn: Churn) -> None:
    [dead] = ids(churn("dead").out)
    churn.sqs.delete_queue(QueueUrl=churn.queues["train"])
    answer = churn("dead", "redrive", dead)
    assert "route 'train'" in answer.err
    assert "has no queue in AWS; is it deployed?" in answer.err
    assert ids(churn("dead").out) == [dead]


def test_a_run_that_begins_again_and_whose_event_cannot_be_sent_is_named_with_the_way_out(churn: Churn) -> None:
    churn.feed(row(Processed(table="bad"), "k" * 1024))
    dead = churn.run_of("k" * 1024)
    churn.sqs.set_queue_attributes(QueueUrl=churn.queues["train"], Attributes={"MaximumMessageSize": "1024"})
    told = " ".join(churn("dead", "redrive", dead).err.split())
    assert "the queue of route 'train': " in told
    assert f"{dead} is delayed and has no message: `triggers retry {dead} --aws {churn.app.name}`" in told
    churn.sqs.set_queue_attributes(QueueUrl=churn.queues["train"], Attributes={"MaximumMessageSize": "262144"})
    assert churn("retry", dead).code == 0
    assert len(churn.receive("train")) == 1


def test_a_redrive_that_is_killed_before_its_message_is_named_by_a_doctor_and_healed_by_another(
    churn: Churn, monkeypatch: pytest.MonkeyPatch
) -> None:
    [dead] = ids(churn("dead").out)
    with monkeypatch.context() as dying:
        dying.setattr(entrance, "client", lambda service: Mortal(boto3.client(service), NoMessage()))
        with pytest.raises(Killed):
            churn("dead", "redrive", dead)
    assert churn.receive("train") == []
    assert "due for long" not in churn("doctor").out  # its message might still come
    monkeypatch.setattr(checkup, "LATE", 0.0)
    told = churn("doctor").out
    assert f" UTC or later: {dead}; where no message" in told
    words = re.search(r"`triggers (dead redrive [r0-9 ]+) --aws", told)
    assert words
    assert churn(*words[1].split()).code == 0
    assert [event.id for event in churn.receive("train")] == ["2"]
    assert "due for long" not in churn("doctor").out


def test_a_run_that_was_killed_and_that_no_message_brings_back_is_named_with_the_way_out(
    churn: Churn, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, now = row(Processed(table="good"), "3"), time.time()
    run, text = wire.run_number(event, "train"), wire.write(event)
    churn.records.claim(run, "train", event, text, "one", now - 90, now - 60)
    assert "interrupted" not in churn("doctor").out  # its message might still come
    assert (
        f"where neither will be, as after an invocation that waited for its answer, `triggers retry r{run} --aws"
        in (churn("why", f"r{run}").out)
    )
    monkeypatch.setattr(checkup, "LATE", 0.0)
    told = churn("doctor").out
    assert f"1 interrupted, and left for long, since {datetime.fromtimestamp(now - 60, UTC):%Y-%m-%d %H:%M} UTC" in told
    assert f"`triggers dead redrive r{run} --aws {churn.app.name}` sends it again" in told
    assert churn("retry", f"r{run}").out == f"retried r{run}; now 1 delayed\n"
    assert [event.id for event in churn.receive("train")] == ["3"]
    assert "train ended well" in churn("why", f"r{run}").out


def test_a_run_that_somebody_is_at_work_on_is_neither_retried_nor_named(
    churn: Churn, monkeypatch: pytest.MonkeyPatch
) -> None:
    event, now = row(Processed(table="good"), "3"), time.time()
    churn.records.claim(3, "train", event, wire.write(event), "one", now, now + 60)
    monkeypatch.setattr(checkup, "LATE", 0.0)
    assert "interrupted" not in churn("doctor").out
    assert "r3 is running; only what is dead or delayed or interrupted can be retried" in churn("retry", "r3").err
    with pytest.raises(TriggersError, match="r3 is no longer dead or dropped or delayed or interrupted; look again"):
        Deployed(churn.app.name).redrive([3])
    assert churn.receive("train") == []


class NoMessage(Life):
    """A life that ends where a message would be sent."""

    def call(self, name: str) -> Any:
        if name == "send_message":
            raise Killed
        return super().call(name)


def test_what_may_be_long_and_no_list_shows_is_in_no_index(churn: Churn) -> None:
    [dead] = ids(churn("dead").out)
    event = churn.client.get_item(TableName=names.table(churn.app.name), Key={"run": {"S": dead}, "part": {"S": "run"}})
    assert {"traceback", "checkpoint"} <= set(event["Item"])
    for index in ("root", "state"):
        found = churn.client.query(
            TableName=names.table(churn.app.name),
            IndexName=f"by-{index}",
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": index},
            ExpressionAttributeValues={":value": event["Item"][index]},
        )["Items"]
        assert [one["run"]["S"] for one in found] == [dead]
        assert set(found[0]) & {"traceback", "checkpoint", "holder"} == set()


def test_a_doctor_names_no_run_that_is_not_due(churn: Churn, monkeypatch: pytest.MonkeyPatch) -> None:
    event = row(Processed(table="good"), "3")
    claim = churn.records.claim(3, "train", event, wire.write(event), "one", time.time(), FAR)
    assert isinstance(claim, Claim)
    churn.records.wait(claim, None, time.time() + 60, time.time(), counted=False)
    monkeypatch.setattr(checkup, "LATE", 0.0)
    assert "due for long" not in churn("doctor").out


def test_the_time_that_retry_allows_counts_anew_from_a_redrive(churn: Churn) -> None:
    [dead] = ids(churn("dead").out)
    begun = time.time()
    churn("dead", "redrive", dead)
    key = {"run": {"S": dead}, "part": {"S": "run"}}
    kept = churn.client.get_item(TableName=names.table(churn.app.name), Key=key)["Item"]
    event = wire.read(kept["event"]["S"].encode(), 0.0)
    claim = churn.records.claim(int(dead[1:]), "train", event, kept["event"]["S"], "one", begun + 60, begun + 120)
    assert isinstance(claim, Claim)
    assert claim.first >= begun - 1e-6
    assert float(kept["first"]["N"]) < begun


def test_a_copy_of_an_event_whose_id_is_as_long_as_may_be_has_an_id_of_its_own(churn: Churn) -> None:
    churn.feed(row(Processed(table="good"), "k" * 1024))
    assert churn("replay", "--event", f"e{wire.number_of('test', 'k' * 1024)}", "--yes").code == 0
    [event] = churn.receive("train")
    assert len(event.id) == 1024
    assert event.id.startswith("k" * 900)


def test_what_is_done_cannot_be_redriven(churn: Churn) -> None:
    [done] = [run["run"] for run in churn("runs", "--json").data if run["route"] == "deploy"]
    answer = churn("dead", "redrive", done)
    assert answer.code != 0
    assert f"{done} is done; only what is dead or delayed or dropped or interrupted can run again" in answer.err


def test_a_replayed_event_runs_again_in_its_chain(churn: Churn) -> None:
    root = churn("trace", "1", "--json").data["root"]
    assert "would start 1 run" in churn("replay", "--event", root).err
    assert churn.receive("train") == []
    answer = churn("replay", "--event", root, "--yes")
    assert answer.out == "replayed 1 event: 1 copy sent to the queues of their routes\n"
    [copy] = churn.receive("train")
    assert (f"e{copy.root}", copy.data) == (root, '{"table":"good"}')
    assert len([run for run in churn("runs", "--json").data if run["route"] == "train"]) == 3


def test_what_is_redriven_or_replayed_to_an_ordered_queue_goes_into_the_group_of_all_that_comes_there(
    churn: Churn,
) -> None:
    churn.sqs.delete_queue(QueueUrl=churn.queues["train"])
    made = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = churn.sqs.create_queue(QueueName=names.queue(churn.app.name, "train", fifo=True), Attributes=made)["QueueUrl"]
    [dead] = ids(churn("dead").out)
    assert churn("dead", "redrive", dead).code == 0
    root = churn("trace", "1", "--json").data["root"]
    assert churn("replay", "--event", root, "--yes").code == 0
    told = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["MessageGroupId"]}
    groups = [one["Attributes"]["MessageGroupId"] for one in churn.sqs.receive_message(**told)["Messages"]]
    assert groups == 2 * ["all"]


class Jobs:
    """A Batch job queue that takes jobs of a route and, moto having no Docker here, ends them at once."""

    def __init__(self, churn: Churn, route: str, endpoint: str) -> None:
        self.client, self.name = boto3.client("batch"), names.function(churn.app.name, route)
        _configure(endpoint, {"batch": {"use_docker": False}})
        trust = boto3.client("iam").create_role(RoleName=self.name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        machines = self.client.create_compute_environment(
            computeEnvironmentName=self.name, type="UNMANAGED", state="ENABLED", serviceRole=trust
        )
        order = [{"order": 1, "computeEnvironment": machines["computeEnvironmentArn"]}]
        made = self.client.create_job_queue(
            jobQueueName=self.name, state="ENABLED", priority=1, computeEnvironmentOrder=order
        )
        self.queue = made["jobQueueArn"]
        churn.sqs.tag_queue(QueueUrl=churn.queues[route], Tags=for_job(self.queue))

    def define(self) -> None:
        container = {"image": "churn", "vcpus": 1, "memory": 100}
        self.client.register_job_definition(
            jobDefinitionName=self.name, type="container", containerProperties=container
        )

    @property
    def submitted(self) -> list[str]:
        """Return the definitions of the jobs that were submitted."""
        found = self.client.list_jobs(jobQueue=self.queue)["jobSummaryList"]
        return [job["jobDefinition"].rpartition("/")[2] for job in found]


def for_job(queue: str) -> dict[str, str]:
    """Return the tags that the template gives to the queue of a route that is a job."""
    return {tag["Key"]: queue for tag in jobs.for_job()["Tags"]}


def _configure(endpoint: str, what: object) -> None:
    asked = urllib.request.Request(f"{endpoint}/moto-api/config", json.dumps(what).encode(), method="POST")
    asked.add_header("Content-Type", "application/json")
    urllib.request.urlopen(asked, timeout=60).close()


@pytest.fixture
def trained(churn: Churn, endpoint: str) -> Jobs:
    """Make the route that trains a Batch job."""
    return Jobs(churn, "train", endpoint)


def test_a_job_is_submitted_for_what_is_redriven_or_replayed(churn: Churn, trained: Jobs) -> None:
    trained.define()
    [dead] = ids(churn("dead").out)
    assert churn("dead", "redrive", dead).code == 0
    assert trained.submitted == [f"{trained.name}:1"]
    root = churn("trace", "1", "--json").data["root"]
    assert churn("replay", "--event", root, "--yes").code == 0
    assert trained.submitted == 2 * [f"{trained.name}:1"]
    assert [event.id.partition("~")[0] for event in churn.receive("train")] == ["2", "1"]


def test_where_no_job_can_be_submitted_the_event_waits_and_the_words_that_do_it_are_told(
    churn: Churn, trained: Jobs
) -> None:
    [dead] = ids(churn("dead").out)
    answer = churn("dead", "redrive", dead)
    assert answer.code != 0
    told = " ".join(answer.err.split())
    assert "the event is in the queue of 'train' and waits for a job: aws batch submit-job" in told
    assert f"--job-name {trained.name} --job-queue {trained.queue} --job-definition {trained.name}" in told
    assert len(churn.receive("train")) == 1


def test_an_app_that_is_not_deployed_is_named(endpoint: str) -> None:
    result = CliRunner().invoke(cli, ["runs", "--aws", "nobody"], prog_name="triggers")
    assert result.exit_code == NOT_FOUND
    assert "error: no app 'nobody' is deployed in us-east-1" in result.stderr


def test_an_unknown_id_is_named(churn: Churn) -> None:
    name = churn.app.name
    said = f"no run r1 in the records of {name!r} in AWS; `triggers runs --aws {name}` lists them"
    assert said in churn("why", "r1").err


# --- what was rejected ---------------------------------------------------------------------------

REASON = "no route takes or emits events of the type 'Procesed'; did you mean 'Processed'?"


def reject(churn: Churn, number: int = 77, route: str = "train") -> None:
    """Keep a message that could be no event, as a function does."""
    records = Records(churn.client, names.table(churn.app.name), 30)
    records.reject(number, route, "orders", "m-1", '{"type": "Procesed"}', REASON, 1_800_000_000.0)


def test_what_was_rejected_stands_beside_the_dead_letters_with_the_reason(churn: Churn) -> None:
    reject(churn)
    answer = churn("dead")
    [line] = [line for line in answer.out.splitlines() if line.startswith("r77")]
    assert "train" in line
    assert "orders" in line
    assert '{"type": "Procesed"}' in line
    assert line.endswith(REASON)
    assert f"`triggers dead show r77 --aws {churn.app.name}` shows it and the way out" in answer.err
    assert len(ids(churn("dead").out)) == 2


def test_what_was_rejected_is_among_the_dead_letters_as_json(churn: Churn) -> None:
    reject(churn)
    [dead, rejected] = churn("dead", "--json").data
    assert set(dead) < set(rejected)
    assert (dead["state"], rejected["state"]) == ("dead", "rejected")
    assert (rejected["run"], rejected["route"], rejected["event"], rejected["error"]) == ("r77", "train", None, REASON)
    assert (rejected["source"], rejected["id"], rejected["body"]) == ("orders", "m-1", '{"type": "Procesed"}')


def test_only_what_came_to_the_route_that_is_asked_for_is_listed(churn: Churn) -> None:
    reject(churn, 77, "train")
    reject(churn, 78, "deploy")
    reject(churn, 79, "")
    assert [one["run"] for one in churn("dead", "list", "--route", "deploy", "--json").data] == ["r78"]
    assert [one["run"] for one in churn("dead", "list", "--limit", "1", "--json").data][1:] in (
        ["r77"],
        ["r78"],
        ["r79"],
    )


def test_what_was_rejected_is_shown_whole_with_the_way_out(churn: Churn) -> None:
    reject(churn)
    answer = churn("dead", "show", "r77")
    assert 'message m-1 from orders: {"type": "Procesed"}' in answer.out
    assert f"rejected: {REASON}" in answer.out
    assert "mend what sends it, or deploy an app that takes it, and send it again" in answer.err
    assert churn("dead", "show", "r77", "--json").data["body"] == '{"type": "Procesed"}'


def test_of_a_long_message_that_was_rejected_the_reason_comes_first_and_then_its_beginning(churn: Churn) -> None:
    churn.records.reject(77, "train", "orders", "m-1", "x" * 300_000, REASON, 1_800_000_000.0)
    answer = churn("dead", "show", "r77")
    head, _, body = answer.out.partition("message m-1 from orders: ")
    assert f"rejected: {REASON}" in head
    assert body.startswith("xxx")
    assert len(body) < 3_000
    assert "send it again" in answer.err
    assert "it has 300,000 characters; `triggers dead show r77 --json --aws" in answer.err


def test_a_rejected_message_that_a_record_has_no_room_for_is_shown_to_its_end(churn: Churn) -> None:
    churn.records.reject(77, "train", "orders", "m-1", "x" * 350_000 + " the end", REASON, 1_800_000_000.0)
    assert churn("dead", "show", "r77", "--json").data["body"] == "x" * 350_000 + " the end"


def test_what_was_rejected_is_put_aside_beside_a_dead_letter_and_can_be_shown_still(churn: Churn) -> None:
    reject(churn)
    [dead] = [one["run"] for one in churn("runs", "--state", "dead", "--json").data]
    assert f"`triggers dead drop r77 --aws {churn.app.name}` puts it aside" in churn("dead").err
    assert churn("dead", "drop", "r77").code == 0
    assert churn("dead", "drop", "r77", dead).out == f"dropped {dead} and r77; now 2 dropped\n"  # once is enough
    assert churn("dead", "--json").data == []
    assert "nothing is dead or rejected" in churn("doctor").out
    assert "r77 train  dropped  2027-01-15" in churn("dead", "show", "r77").out


def test_nothing_can_be_asked_of_what_was_rejected_and_it_says_why(churn: Churn) -> None:
    reject(churn)
    for words in ("why r77", "trace r77", "retry r77", "dead redrive r77"):
        answer = churn(*words.split())
        assert answer.code == 1, words
        assert f"r77 is no run: it came from orders and was rejected, so nothing ran ({REASON})" in answer.err
        assert f"`triggers dead show r77 --aws {churn.app.name}` shows it" in answer.err


def test_all_dead_letters_run_again_beside_what_was_rejected(churn: Churn) -> None:
    reject(churn)
    [dead] = [one["run"] for one in churn("runs", "--state", "dead", "--json").data]
    assert churn("dead", "redrive", "--all").out == f"redriven {dead}; now 1 delayed\n"


def test_a_doctor_counts_what_is_dead_and_what_was_rejected(churn: Churn) -> None:
    reject(churn)
    assert f"may be read; 1 dead, 1 rejected: see `triggers dead --aws {churn.app.name}`" in churn("doctor").out


# --- what cannot be read -------------------------------------------------------------------------


def test_records_that_cannot_be_read_are_named_and_the_others_are_looked_at(churn: Churn) -> None:
    [dead] = [one["run"] for one in churn("runs", "--state", "dead", "--json").data]
    broken = {"#event": {"S": '{"specversion": "9"}'}, "#started": {"N": "1E+50"}, "#source": {"N": "1"}}
    for number, (name, value) in enumerate(broken.items(), 71):
        churn.feed(row(Processed(table="bad"), f"{number}"))
        churn.client.update_item(
            TableName=names.table(churn.app.name),
            Key={"run": {"S": churn.run_of(f"{number}")}, "part": {"S": "run"}},
            UpdateExpression=f"SET {name} = :value",
            ExpressionAttributeNames={name: name[1:]},
            ExpressionAttributeValues={":value": value},
        )
    answer = churn("runs", "--state", "dead", "--json")
    assert [one["run"] for one in answer.data] == [dead]
    for number in (71, 72, 73):
        id = churn.run_of(f"{number}")
        said = f"{id} is left out: its record in the table {names.table(churn.app.name)!r} cannot be read ("
        assert f"warning: {said}" in answer.err
        assert said in churn("doctor").out
    assert f"error: {churn.run_of('71')}: its record in the table" in churn("why", churn.run_of("71")).err
    assert churn("trace", "1").code == 0


def test_a_rejection_that_cannot_be_read_is_named(churn: Churn) -> None:
    reject(churn)
    churn.client.update_item(
        TableName=names.table(churn.app.name),
        Key={"run": {"S": "r77"}, "part": {"S": "run"}},
        UpdateExpression="SET started = :value",
        ExpressionAttributeValues={":value": {"S": "never"}},
    )
    assert "warning: r77 is left out: its record in the table" in churn("dead").err
    for command in ("show", "drop"):
        answer = churn("dead", command, "r77")
        assert answer.err.startswith(
            f"error: r77: its record in the table {names.table(churn.app.name)!r} cannot be read ("
        )


# --- events --------------------------------------------------------------------------------------


def test_events_are_those_that_ran_something_and_those_that_were_emitted(churn: Churn) -> None:
    found = [(one["type"], *one["data"].values()) for one in churn("events", "--json").data]
    about = sorted((kind, first) for kind, first, *_ in found if kind != "RunFailed")
    assert about == [("Processed", "bad"), ("Processed", "good"), ("Trained", "good")]
    assert len(found) == 4
    assert [one["type"] for one in churn("events", "--type", "Trained", "--json").data] == ["Trained"]
    assert len(churn("events", "--limit", "1", "--json").data) == 1


def test_events_are_filtered_by_the_sources_that_the_app_has(churn: Churn) -> None:
    assert churn("events", "--source", "incoming").err.startswith("no events like that")
    said = f"no source 'incomin' in the records of {churn.app.name!r} in AWS; did you mean 'incoming'?"
    assert said in churn("events", "--source", "incomin").err


def test_several_events_are_replayed_by_their_ids(churn: Churn) -> None:
    roots = [one["event"] for one in churn("events", "--type", "Processed", "--json").data]
    answer = churn("replay", "--event", roots[0], "--event", roots[1].removeprefix("e"))
    assert "2 events would start 2 runs" in answer.err


# --- elsewhere -----------------------------------------------------------------------------------


def test_what_is_advised_looks_at_the_same_app(churn: Churn) -> None:
    name = churn.app.name
    [dead] = ids(churn("dead").out)
    assert f"`triggers dead show {dead} --aws {name}`" in churn("why", dead).out
    assert f"`triggers dead redrive {dead} --aws {name}` runs it again" in churn("dead", "show", dead).err
    assert f"`triggers runs --aws {name}` lists them" in churn("why", "r1").err
    assert f"`triggers dead redrive {dead} --aws {name}`" in churn("dead", "--aws", name, "show", dead).err


def test_what_waits_in_a_queue_is_no_run_yet(churn: Churn) -> None:
    assert "a message in its route's queue, and no run yet" in churn("runs", "--state", "waiting").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("send", "Processed"),
            "`triggers send` is for an app with a dispatcher; an app in AWS takes events as CloudEvents",
        ),
        (
            ("schedule", "pause", "nightly"),
            "EventBridge Scheduler, in the group of the app's name: pause and resume them",
        ),
        (("schedule", "app"), "EventBridge Scheduler, in the group of the app's name"),
        (("plan",), "in AWS nobody sees what waits in queues"),
        (("simulate",), "in AWS nobody chooses what is next"),
        (("backfill", "nightly", "--from", "3d"), "let a dispatcher do it, or invoke the function with a Tick"),
    ],
)
def test_what_is_for_a_dispatcher_alone_says_what_to_do_in_aws(words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(cli, [*words, "--aws", "churn"], prog_name="triggers")
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_place_is_either_here_or_in_aws(churn: Churn) -> None:
    assert "give one of them" in churn("trace", "r1", "--state", "x").err
    assert "give one of them" in churn("doctor", "--state", "x").err
