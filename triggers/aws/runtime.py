"""A Lambda function on this machine: its unpacked zip, run by AWS's own runtime client against a Runtime API of ours.

::

    async with Function(folder, "triggers.aws.serverless.handler", variables, timeout=30) as function:
        result = await function.invoke({"Records": [...]})

As in Lambda, an environment has one invocation at a time and is used again while it is warm; what exceeds its time, or
ends its process, costs it. Unlike there, an environment goes on between invocations, and who calls when all
environments are at work waits where AWS would answer that it is throttled. `memory` only sets what the function is
told: a limit of the address space would end processes that Lambda lets be, since what is only reserved counts towards
it (threads, mapped files, allocators), and one of the memory in use takes a cgroup, which a user may seldom make.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from triggers.aws.environment import Environment, install
from triggers.aws.runtime_api import LIMIT, Answer, Fault, Work, fault
from triggers.aws.server import ACCOUNT, REGION
from triggers.clock import Clock, SystemClock
from triggers.errors import EventError, WiringError
from triggers.executor.groups import Groups

CONCURRENCY: Final = 10
"""Environments at once, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an invocation.

    `payload` is what the handler returned, None where there is an `error` as Lambda words it. `duration` are the
    seconds from handing it over to the answer, without the initialization of a `cold` environment, the lines of which
    are among the `logs`.
    """

    request: str
    payload: Any
    error: Fault | None
    duration: float
    logs: Sequence[str]
    cold: bool

    @property
    def ok(self) -> bool:
        """Say whether the handler returned."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a function is, apart from its files: `timeout` in seconds, `memory` in MB.

    `environment` are its variables as they are when this is made: what becomes of the mapping later changes nothing.
    """

    handler: str
    environment: Mapping[str, str]
    timeout: float = 3.0
    memory: int = 128
    concurrency: int = CONCURRENCY
    name: str = "function"
    region: str = REGION

    def __post_init__(self) -> None:
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))

    @property
    def arn(self) -> str:
        """Return the function's ARN, in the emulation's account."""
        return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.name}"

    def variables(self, folder: Path, runtime: Path, day: datetime) -> dict[str, str]:
        """Return the environment variables of a process: those of Lambda, and above them the function's own.

        None is taken over from this process, so that a function finds here what it finds in AWS.
        """
        return {
            "_HANDLER": self.handler,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{day:%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}",
            "AWS_REGION": self.region,
            "LAMBDA_RUNTIME_DIR": str(runtime),
            "LAMBDA_TASK_ROOT": str(folder),
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",  # a function's files cannot be written to
            "PYTHONPATH": f"{folder}:{runtime}",
            "TZ": ":UTC",
            **self.environment,
        }


class Function:
    """A function that can be invoked, several times at once, within an `async with`.

    `folder` holds the unpacked zip. Raises `WiringError` where there is no such folder or no runtime client.
    """

    def __init__(self, folder: Path, settings: Settings, *, clock: Clock | None = None) -> None:
        if not folder.is_dir():
            raise WiringError(
                f"there is no folder {folder} with a function's files; unpack the zip of `triggers package`"
            )
        self.settings = settings
        self._folder = folder.resolve()
        self._clock = clock or SystemClock()
        self._room = asyncio.Semaphore(settings.concurrency)
        self._warm: list[Environment] = []
        self._all: set[Environment] = set()

    async def __aenter__(self) -> Self:
        self._groups = Groups()
        self._runtime = tempfile.TemporaryDirectory(prefix="triggers-runtime-")
        try:
            install(Path(self._runtime.name))
        except BaseException:
            self._runtime.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for environment in list(self._all):
            self._discard(environment)
        self._groups.close()
        self._runtime.cleanup()

    async def invoke(self, payload: object) -> Result:
        """Invoke the function with what can be written as JSON. Raises `EventError` for what Lambda would not take."""
        text = _written(payload)
        async with self._room:
            while True:
                environment, cold = await self._environment()
                try:
                    result = await self._invoke(environment, text, cold)
                except BaseException:  # who called has gone, and nobody waits for the rest
                    environment.kill()
                    raise
                finally:
                    self._keep(environment)
                if result:
                    return result

    async def _environment(self) -> tuple[Environment, bool]:
        """Return the environment that was used last, or a new one, and whether it is one."""
        while self._warm:
            if (environment := self._warm.pop()).alive():
                return environment, False
            self._discard(environment)
        runtime = Path(self._runtime.name)
        day = datetime.fromtimestamp(self._clock.now(), UTC)
        variables = self.settings.variables(self._folder, runtime, day)
        environment = await Environment.start(self.settings.handler, variables, self._folder, self._groups)
        self._all.add(environment)
        return environment, True

    async def _invoke(self, environment: Environment, text: bytes, cold: bool) -> Result | None:
        """Return what came of an invocation; None where a warm environment has ended before it could take it."""
        request = str(uuid.uuid4())
        if (failed := await environment.ready()) is not None:
            environment.kill()
            return self._result(request, failed, 0.0, environment, cold) if cold else None
        begun = self._clock.monotonic()
        answer = await environment.carry_out(self._work(request, text), self.settings.timeout)
        return self._result(request, answer, self._clock.monotonic() - begun, environment, cold)

    def _work(self, request: str, text: bytes) -> Work:
        deadline = self._clock.now() + self.settings.timeout
        headers = {
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.settings.arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(deadline):08x}-{secrets.token_hex(12)};Sampled=0",
        }
        return Work(request, headers, text)

    def _result(self, request: str, answer: Answer, duration: float, environment: Environment, cold: bool) -> Result:
        payload, error = None, answer.error
        if error is None:
            try:
                payload = json.loads(answer.payload, parse_constant=_refuse)
            except ValueError as found:
                error = fault("InvalidJson", f"the response is no JSON ({found}); Lambda hands it over as it is")
        return Result(request, payload, error, duration, environment.log(), cold)

    def _keep(self, environment: Environment) -> None:
        """Keep an environment warm, if it is still of use."""
        if environment.alive() and environment in self._all:
            self._warm.append(environment)
        else:
            self._discard(environment)

    def _discard(self, environment: Environment) -> None:
        self._all.discard(environment)
        environment.close()


def _written(payload: object) -> bytes:
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise EventError(f"a payload must be written as JSON: {error}") from error
    if len(text) > LIMIT:
        raise EventError(
            f"a payload has {len(text):,} bytes, over Lambda's limit of {LIMIT:,}; send fewer records at once"
        )
    return text


def _refuse(word: str) -> None:
    raise ValueError(f"it has {word}, which JSON has not")


__all__ = ["Function", "Result", "Settings"]
