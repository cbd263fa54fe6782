"""The entry under AWS's own runtime client, over moto: what Lambda starts, is what is packed."""

from __future__ import annotations

import asyncio
import json
import sysconfig
from pathlib import Path

from tests.aws.deployed import on_the_bus, row
from tests.aws.test_serverless_moto import Emulated, Processed
from triggers import App, Event
from triggers.aws.runtime import Function, Result, Settings
from triggers.aws.server import environment

CODE = """
import asyncio, logging
from triggers import App, Context, Event
class Processed(Event):
    n: int
class Trained(Event):
    n: int
app = App({name!r})
@app.on(Processed)
async def train(event: Processed, context: Context) -> Trained:
    await asyncio.sleep(0)
    context.log.info("training %d", event.n)
    return Trained(n=event.n + 1)
@app.on(Trained)
def deploy(event: Trained) -> None:
    logging.getLogger("mine").warning("deployed")
"""


class Trained(Event):
    n: int


def test_the_entry_carries_a_chain_through_and_logs_it(endpoint: str, unique: str, tmp_path: Path) -> None:
    (tmp_path / "made_app.py").write_text(CODE.format(name=unique))
    (tmp_path / "triggers").symlink_to(Path(__file__).parents[2] / "triggers")
    for found in Path(sysconfig.get_path("platlib")).iterdir():
        if not (tmp_path / found.name).exists() and not found.name.startswith("awslambdaric"):
            (tmp_path / found.name).symlink_to(found)
    app = App(unique)
    app.on(Processed, name="train")(_take)
    aws = Emulated(app)
    url = aws.queue("train")
    aws.queue("deploy", Trained)
    aws.sqs.send_message(QueueUrl=url, MessageBody=on_the_bus(row(Processed(n=1))))
    variables = {"TRIGGERS_APP": "made_app:app", **environment(endpoint)}
    results = asyncio.run(_chain(aws, Settings("triggers.aws.serverless.handler", variables, timeout=30), tmp_path))
    assert [result.payload for result in results] == [{"batchItemFailures": []}] * 2, results
    assert {record["route"]: record["state"] for record in aws.records()} == {"train": "done", "deploy": "done"}
    logged = [json.loads(line) for result in results for line in result.logs if line.startswith("{")]
    assert [(line["route"], line["message"]) for line in logged if "route" in line] == [
        ("train", "training 1"), ("train", "done"), ("deploy", "deployed"), ("deploy", "done")
    ]  # fmt: skip
    assert {line["request"] for line in logged if "route" in line} == {result.request for result in results}


async def _chain(aws: Emulated, settings: Settings, folder: Path) -> list[Result]:
    async with Function(folder, settings) as function:
        return [await function.invoke({"Records": aws.received(route)}) for route in ("train", "deploy")]


def _take(event: Processed) -> None: ...
