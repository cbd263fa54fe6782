"""One execution environment of a function: a process of AWS's own runtime client, as Lambda would start it.

It finds the function's files, what Lambda has installed besides (the runtime client and boto3) and the standard
library; nothing else of this machine's Python. So what is missing in a zip is missing here, too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from triggers.aws.distributions import NotInstalled, closure
from triggers.aws.runtime_api import Answer, RuntimeApi, Work, fault
from triggers.errors import TriggersError, WiringError
from triggers.executor.groups import Groups
from triggers.kernel import end_of

INITIALIZATION: Final = 60.0
"""Seconds that a process may take until it asks for work. Lambda gives 10, where nothing else needs the processor."""
LONGEST_LINE: Final = 256 * 1024
"""Bytes of a line of the log, as in CloudWatch; what is longer is cut in pieces."""

_INSTALLED: Final = ("awslambdaric", "boto3")


class Environment:
    """A process that carries out one invocation after the other. Made by `start`."""

    def __init__(self, process: subprocess.Popen[bytes], api: RuntimeApi, lines: Lines, groups: Groups) -> None:
        self._process = process
        self._api = api
        self._lines = lines
        self._groups = groups
        self._end = asyncio.ensure_future(end_of(process.pid))
        self._killed = False

    @classmethod
    async def start(cls, handler: str, variables: Mapping[str, str], folder: Path, groups: Groups) -> Environment:
        """Start a process in the folder. Raises `TriggersError` where the machine has no room for one."""
        api = RuntimeApi()
        address = await api.open()
        lines = Lines()
        try:
            process = _start(handler, {**variables, "AWS_LAMBDA_RUNTIME_API": address}, folder, lines.writing)
        except OSError as error:
            api.close()
            lines.close()
            raise TriggersError(f"no process could be started for handler {handler!r}: {error.strerror}") from error
        finally:
            os.close(lines.writing)
        environment = cls(process, api, lines, groups)
        groups.add(process.pid)
        return environment

    async def ready(self) -> Answer | None:
        """Wait until the process asks for work. Return an error if it does not, after which it is of no more use."""
        if not self.alive():
            return Answer(error=self._epitaph())
        asked = asyncio.ensure_future(self._api.asked.wait())
        answer = await self._first(INITIALIZATION, asked, asyncio.ensure_future(self._api.answer()))
        if answer is None:
            seconds = f"{INITIALIZATION:.2f} seconds"
            return Answer(error=fault("Sandbox.Timedout", f"Error: Initialization timed out after {seconds}"))
        return None if asked.done() and not asked.cancelled() else answer

    async def carry_out(self, work: Work, seconds: float) -> Answer:
        """Have work done by a process that is ready; what takes longer is ended, and the process with it."""
        self._api.give(work)
        answer = await self._first(seconds, asyncio.ensure_future(self._api.answer()))
        if answer is not None:
            return answer
        self.kill()
        message = f"RequestId: {work.request} Error: Task timed out after {seconds:.2f} seconds"
        return Answer(error=fault("Sandbox.Timedout", message))

    def alive(self) -> bool:
        """Say whether the process is there."""
        return self._process.poll() is None

    def log(self) -> list[str]:
        """Return the lines that the process has written since the last call."""
        return self._lines.take()

    def kill(self) -> None:
        """End the process and everything that it has started."""
        if self._killed:  # its number may be another's by now
            return
        self._killed = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._groups.discard(self._process.pid)
        self._process.wait()
        self._end.cancel()
        self._api.close()

    def close(self) -> None:
        """End the process, and let go of what it wrote."""
        self.kill()
        self._lines.close()

    async def _first(self, seconds: float, *awaited: asyncio.Future[Any]) -> Answer | None:
        """Return the first answer, or how the process ended instead; None where both take longer than `seconds`."""
        try:
            done, _ = await asyncio.wait({*awaited, self._end}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in awaited:
                if not one.done():
                    one.cancel()
        for one in awaited:
            if one in done:
                found = one.result()
                return found if isinstance(found, Answer) else Answer()
        return Answer(error=self._epitaph()) if done else None

    def _epitaph(self) -> Mapping[str, str]:
        code = self._process.wait()
        if code == 0:
            return fault("Runtime.ExitError", "Error: Runtime exited without providing a reason")
        how = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code) or -code}".lower()
        return fault("Runtime.ExitError", f"Error: Runtime exited with error: {how}")


class Lines:
    """What a process writes to the end `writing` of a pipe, line by line."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._lines: list[bytes] = []
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    def take(self) -> list[str]:
        """Return what was written until now: an incomplete line stays."""
        self._read()
        lines, self._lines = self._lines, []
        return [line.decode("utf-8", "replace").replace("\r", "\n") for line in lines]  # as AWS's client has tracebacks

    def close(self) -> None:
        """Listen no longer."""
        self._loop.remove_reader(self._reading)
        with suppress(OSError):
            os.close(self._reading)

    def _read(self) -> None:
        with suppress(BlockingIOError, OSError):
            while found := os.read(self._reading, LONGEST_LINE):
                *lines, self._rest = (self._rest + found).split(b"\n")
                self._lines += lines
                if len(self._rest) >= LONGEST_LINE:
                    self._break()
            self._loop.remove_reader(self._reading)  # nobody is left who could write
            if self._rest:
                self._break()

    def _break(self) -> None:
        self._lines.append(self._rest)
        self._rest = b""


def _start(handler: str, variables: Mapping[str, str], folder: Path, output: int) -> subprocess.Popen[bytes]:
    """Start a process without the site-packages of ours, at the head of a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-S", "-m", "awslambdaric", handler],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def install(folder: Path) -> None:
    """Put links to what Lambda has installed into a folder. Raises `WiringError` where it is not installed here."""
    try:
        distributions = closure(_INSTALLED)
    except NotInstalled as error:
        way = "install it with: pip install 'triggers-ml[emulation]'"
        raise WiringError(f"functions are run here by {error.name}, which is not installed; {way}") from None
    for one in distributions:
        for name in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            (folder / name).symlink_to(Path(str(one.locate_file(name))).resolve())


__all__ = ["Environment", "install"]
