"""Running a page's examples, in order, in a folder of their own.

- `python` blocks share one namespace. One that begins with `# app.py`, or has `<!-- file: app.py -->` above it, is
  written to that file and imported. Functions named `test_...` are called, with `harness` and `tmp_path` if they ask.
- `<!-- raises -->` above a python block says that it ends with an error; its output is then `Type: message`.
- `console` blocks are sessions: each line `$ command` is run by bash, what follows is its output. `bash` blocks are
  scripts. Both must exit with 0, or with what `<!-- exit: 1 -->` says. `<!-- until: text -->` interrupts the last
  command as soon as it has printed the text.
- `<!-- output -->` above a console block, or above a text block that follows an executed one, has the output compared;
  `...` stands for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.docs.pages import Block

PATIENCE = 30.0
"""Seconds that a command may take."""

_CHECKER = doctest.OutputChecker()
_HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class ExampleError(AssertionError):
    """An example does not do what the page says."""


class Session:
    """One page's examples at work. `fixtures` makes what its tests may ask for."""

    def __init__(self, folder: Path, fixtures: Mapping[str, Callable[[], object]]) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.output = ""
        self._fixtures = fixtures
        self._imported: set[str] = set()

    def run(self, blocks: Iterable[Block]) -> None:
        """Run the blocks that are to be run, and compare what is to be compared."""
        try:
            for block in blocks:
                if block.language == "python":
                    self._python(block)
                elif block.language == "console":
                    self._console(block)
                elif block.language == "bash":
                    self.output = self._command(block, block.text)
                elif block.file:
                    (self.folder / block.file).write_text(block.text)
                elif "output" in block.directives:
                    _compare(block, block.text, self.output)
        finally:
            for name in self._imported:
                sys.modules.pop(name, None)

    def _python(self, block: Block) -> None:
        out = io.StringIO()
        error: BaseException | None = None
        with contextlib.redirect_stdout(out):
            try:
                self._execute(block)
            except Exception as raised:
                error = raised
        self.output = out.getvalue()
        if "raises" not in block.directives:
            if error:
                raise ExampleError(f"{block}: {type(error).__name__}: {error}") from error
        elif error is None:
            raise ExampleError(f"{block}: no error was raised")
        else:
            self.output += f"{type(error).__name__}: {error}\n"

    def _execute(self, block: Block) -> None:
        before = dict(self.names)
        if block.file:
            self.names.update(self._import(block.file, block.text))
        else:
            code = "\n" * (block.line - 1) + block.text  # so that a traceback shows the page's line
            exec(compile(code, str(block.page), "exec"), self.names)
        for name, value in list(self.names.items()):
            if name.startswith("test_") and before.get(name) is not value:
                value(**{wanted: self._fixtures[wanted]() for wanted in inspect.signature(value).parameters})

    def _import(self, file: str, text: str) -> dict[str, Any]:
        (self.folder / file).write_text(text)
        name = file.removesuffix(".py")
        sys.modules.pop(name, None)  # a page may show a file again as it grows
        self._imported.add(name)
        importlib.invalidate_caches()
        return {key: value for key, value in vars(importlib.import_module(name)).items() if not key.startswith("__")}

    def _console(self, block: Block) -> None:
        self.output = ""
        commands = _commands(block)
        for number, (command, shown) in enumerate(commands, 1):
            output = self._command(block, command, last=number == len(commands))
            if "output" in block.directives:
                _compare(block, shown, output)
            self.output += output

    def _command(self, block: Block, command: str, *, last: bool = True) -> str:
        wanted = int(block.directives.get("exit", 0)) if last else 0
        until = block.directives.get("until") if last else None
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", command if until is None else f"exec {command}"],
            cwd=self.folder, env=_environment(), text=True, errors="replace", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            early = _read_until(process, until) if until else ""
            late, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise ExampleError(f"{block}: `{command.strip()}` did not end within {PATIENCE:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        output = early + late
        if until and until not in output:
            raise ExampleError(f"{block}: `{command.strip()}` ended without {until!r}:\n{output}")
        if process.returncode != wanted and not until:
            raise ExampleError(f"{block}: `{command.strip()}` exited with {process.returncode}:\n{output}")
        return output


def _read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read lines until one holds the text, then press Ctrl-C."""
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            process.send_signal(signal.SIGINT)
            break
    return seen


def _commands(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a session, each with the output that is shown for it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + line[2:], "")
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
        else:
            raise ExampleError(f"{block}: a session begins with `$ `")
    return found


def _compare(block: Block, shown: str, output: str) -> None:
    if not _CHECKER.check_output(shown, output, _HOW):
        raise ExampleError(f"{block}: the page shows\n{shown}\nbut the example prints\n{output}")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIGGERS_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "NO_COLOR": "1", "COLUMNS": "110", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
