"""What the Lambda entry costs: its import, each record, and a cold start under AWS's own runtime client.

Table and bus are stubs that answer at once: in memory for the warm figures, behind HTTP for the cold start, so that
they are asked as they are in AWS. What a function would have packed is compiled beforehand, as `triggers package` does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Sequence
from compileall import compile_dir
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from py_compile import PycInvalidationMode
from statistics import median
from typing import Any

from triggers import App, Event
from triggers.aws import names, wire
from triggers.aws.arrivals import Arrivals
from triggers.aws.bus import Bus
from triggers.aws.handback import Deployment, HandBack
from triggers.aws.logs import set_up
from triggers.aws.records import Records
from triggers.aws.runs import Runs
from triggers.aws.serverless import Function
from triggers.events import encode
from triggers.lineage import BUDGET, EventRow
from triggers.routing import Router

Result = dict[str, Any]

BATCH = 10
ARN = "arn:aws:lambda:us-east-1:123456789012:function:made"
CLAIMED = {"Attributes": {"attempt": {"N": "1"}, "counted": {"N": "1"}, "first": {"N": "1"}}}

BARE = """
from pydantic import BaseModel
class Made(BaseModel):
    n: int
def handler(event, context):
    return {"n": Made.model_validate({"n": 1}).n}
"""
APP = """
from triggers import App, Event
class Made(Event):
    n: int
app = App("made")
@app.on(Made)
def take(event: Made) -> None:
    pass
"""
LIBRARIES = (
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions.py", "typing_inspection"),
    *("tenacity", "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"),
)
"""What a function of ours has beside `triggers` and the runtime client: what is packed, and Lambda's own boto3."""


class Made(Event):
    n: int


class Stub:
    """Table and bus in memory, which take everything."""

    def update_item(self, **asked: Any) -> Result:
        return CLAIMED

    def put_item(self, **asked: Any) -> Result:
        return {}

    def put_events(self, Entries: Sequence[object]) -> Result:
        return {"FailedEntryCount": 0}


class Invocation:
    aws_request_id = "5b6c"
    invoked_function_arn = ARN

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def imports(folder: Path, rounds: int) -> Result:
    """Import pydantic with one model, then the entry and an app with one, and return the milliseconds of each.

    AWS's runtime client is there before, as in Lambda, in whose process handlers are imported. The app's model is
    built as the other one is, though a function builds it only when it is made ready: `ready` is the import with that
    initialization, which leaves little for a first event to wait for.
    """
    _pack(folder)
    code = {
        "pydantic": "from pydantic import BaseModel\nclass Made(BaseModel):\n    n: int",
        "entry": "import triggers.aws.serverless\nimport made_app\nmade_app.Made.model_rebuild()",
        "ready": "import triggers.aws.serverless as it\nit.handler",
    }
    timed = (
        "import time; import awslambdaric.bootstrap; begin = time.perf_counter()\n"
        "{}\nprint(1000 * (time.perf_counter() - begin))"
    )
    variables = {**os.environ, "TRIGGERS_APP": "made_app:app", "PYTHONPATH": str(folder)}
    found: dict[str, list[float]] = {name: [] for name in code}
    for _ in range(rounds + 1):  # in the first one the files are not in memory
        for name, text in code.items():
            command = [sys.executable, "-c", timed.format(text)]
            # in that folder, or else the package of the working folder comes first
            done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
            found[name].append(float(done.stdout))
    return {name: times[1:] for name, times in found.items()}


def warm(folder: Path, batches: int, emits: bool) -> Result:
    """Return the microseconds for each record beside its handler: of the median batch, and of the fastest tenth."""
    app = App("made")
    if emits:

        @app.on(Made, name="take")
        def forward(event: Made) -> Made:
            return event
    else:

        @app.on(Made, name="take")
        def take(event: Made) -> None: ...

    with (folder / "log").open("w") as file:
        logging.getLogger().handlers[:] = [logging.StreamHandler(file)]
        function = _function(app)
        payloads = [{"Records": [_record(n) for n in range(first, first + BATCH)]} for first in range(batches)]
        events = [Made(n=n) for n in range(BATCH)]
        handler, times = app.routes["take"].handler, []
        for payload in payloads:
            begin = time.perf_counter()
            answer = function(payload, Invocation())
            between = time.perf_counter()
            for event in events:
                handler(event)
            times.append(1e6 * (2 * between - begin - time.perf_counter()) / BATCH)
            assert answer == {"batchItemFailures": []}
    times.sort()
    return {"median": median(times), "fastest": times[len(times) // 10]}


def cold(folder: Path, rounds: int) -> Result:
    """Return the milliseconds from the start of a process to its first result, bare and with the entry."""
    return asyncio.run(_cold(folder, rounds))


async def _cold(folder: Path, rounds: int) -> Result:
    for name in LIBRARIES:
        (folder / name).symlink_to(Path(sysconfig.get_path("platlib")) / name)
    _pack(folder)
    found: dict[str, list[float]] = {"bare": [], "entry": []}
    with _endpoint() as endpoint:
        for _ in range(rounds + 1):
            found["bare"].append(await _started(folder, "bare.handler", {}))
            variables = {
                "TRIGGERS_APP": "made_app:app",
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": "stub",
                "AWS_SECRET_ACCESS_KEY": "stub",
            }
            found["entry"].append(await _started(folder, "triggers.aws.serverless.handler", variables))
    return {name: times[1:] for name, times in found.items()}


def _pack(folder: Path) -> None:
    """Lay out the package and the two apps as the zip holds them: compiled, as nothing can be written in Lambda."""
    (folder / "made_app.py").write_text(APP)
    (folder / "bare.py").write_text(BARE)
    shutil.copytree(Path.cwd() / "triggers", folder / "triggers", ignore=shutil.ignore_patterns("__pycache__"))
    assert compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


async def _started(folder: Path, handler: str, variables: dict[str, str]) -> float:
    from triggers.aws.runtime import Function as Lambda
    from triggers.aws.runtime import Settings

    async with Lambda(folder, Settings(handler, variables, timeout=30, name="made")) as function:
        begin = time.perf_counter()
        result = await function.invoke({"Records": [_record(1)]})
        took = 1000 * (time.perf_counter() - begin)
    assert result.ok, result
    assert result.payload in ({"n": 1}, {"batchItemFailures": []}), result
    return took


@contextmanager
def _endpoint() -> Iterator[str]:
    """Yield the address of a DynamoDB that takes everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the body of each answer waits 40 ms for its header to be acknowledged

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        text = json.dumps(CLAIMED).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


def _function(app: App) -> Function:
    stub, router, lines = Stub(), Router(app.routes.values()), set_up()
    records = Records(stub, names.table(app.name), 30)
    deployment = Deployment.of(app.name, ARN, None)
    runs = Runs(app, router, records, Bus(lambda: stub, app.name), deployment.journal, lines)
    return Function(Arrivals(app, router), runs, records, HandBack(Stub, Stub, deployment), lines)


def _record(n: int) -> Result:
    """Return an event of the app's bus as a queue's record."""
    number = wire.number_of("made/other", f"e{n}")
    event = EventRow(number, f"e{n}", "made/other", "Made", 1, None, 1e9, 1e9, encode(Made(n=n)), 7, 3, 2, BUDGET)
    entry = {
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "Made",
        "source": "triggers.made", "account": "123456789012", "time": "2027-01-15T08:00:00Z", "region": "us-east-1",
        "resources": [], "detail": json.loads(wire.write(event)),
    }  # fmt: skip
    return {
        "messageId": f"059f36b4-87a3-44ab-83d2-{n:012d}", "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": json.dumps(entry), "messageAttributes": {}, "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "attributes": {
            "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185",
        },
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:made-take",
        "awsRegion": "us-east-1",
    }  # fmt: skip
