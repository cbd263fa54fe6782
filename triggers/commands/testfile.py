"""The text of a test that has a failure happen again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from re import sub
from typing import Final

from triggers.commands.literals import literal
from triggers.commands.origins import Failure, Origins
from triggers.commands.output import count, plain
from triggers.commands.reading import digest
from triggers.commands.script import Script
from triggers.events import moment

SUCCESS: Final = "success"
FAILURE: Final = "failure"
"""What a test may expect."""

STORY = 30
"""Lines of what happened that a test shows."""


@dataclass(frozen=True)
class TestFile:
    """A failure, and the script that has it happen. `target` is `module:app`, `expected` one of the two words."""

    __test__ = False  # it is no test itself

    target: str
    failure: Failure
    origins: Origins
    script: Script
    expected: str

    def text(self) -> str:
        """Return the whole module."""
        run = self.failure.run
        name = sub(r"\W", "_", run.route)
        started = moment(int(self.origins.inputs[0].recorded))
        start = ", ".join(map(str, (*started.timetuple()[:5], started.second)))
        body = [f"pipeline = harness(app, start=datetime({start}, tzinfo=UTC))", *self.script.lines, *self._assertion()]
        lines = "\n".join(body).replace("\n", "\n    ")
        head = "\n".join([*self._docstring(), "", *self._imports(), ""])
        return f"{head}\n\ndef test_{name}_r{run.number}(harness):\n    {lines}\n"

    def _docstring(self) -> Iterator[str]:
        run = self.failure.run
        verdict = f"{run.state} after {count(run.attempt, 'attempt')}" if self.failure.final else run.state
        yield f'"""{_shown(f"r{run.number} of route {run.route!r}, app {self.script.app.name!r}: {verdict}.")}'
        yield ""
        where = "" if self.failure.final else f"attempt {self.failure.attempt} ended with "
        yield _shown(f"    {where}{self._error()}")
        yield ""
        if self.expected == SUCCESS:
            yield "The test fails as long as that happens, and passes when it does not any more."
        else:
            yield "The test passes as long as that happens."
        yield ""
        yield "What happened then:"
        yield ""
        yield from self._story()
        if self.script.missing:
            yield from ("", "Files that are missing:", "")
            yield from (_shown(f"    {words}", 400) for words in self.script.missing)
        if empty := self._empty():
            yield ""
            yield f"It begins with nothing in {', '.join(empty)}: what other runs had left there is not here."
        yield '"""'

    def _story(self) -> Iterator[str]:
        lines = []
        for number in sorted(self.origins.events):
            event = self.origins.events[number]
            data, _ = self.script.masked.data(event)
            about = digest(event._replace(data=json.dumps(data)))
            lines.append(f"    e{number} {event.type} from {event.source}  {about}")
            lines += [f"    r{run.number} {run.route}  {run.state}" for run in self.origins.runs if run.event == number]
        yield from map(_shown, map(self.script.masked.text, lines[:STORY]))
        if len(lines) > STORY:
            yield f"    and {len(lines) - STORY:,} more"

    def _empty(self) -> list[str]:
        """Return the places that the routes on the way work in, and that begin empty."""
        app = self.script.app
        policies = [app.routes[run.route].policy for run in self.origins.runs]
        used = {name for policy in policies for name in policy.reads | policy.writes}
        return sorted(used - app.sources.keys() - self.script.laid_out)

    def _imports(self) -> Iterator[str]:
        ours = "\n".join(self.script.lines)
        yield from ["import shutil"] * ("shutil." in ours)
        yield "from datetime import UTC, datetime"
        yield from ["from pathlib import Path"] * ("FILES" in ours)
        yield ""
        module, _, name = self.target.partition(":")
        names = defaultdict(list, {module: ["app" if name == "app" else f"{name} as app"]})
        for kind, place in self.script.imports.items():
            names[place].append(kind)
        for place in sorted(names):
            yield f"from {place} import {', '.join(sorted(names[place], key=lambda one: (one[0].islower(), one)))}"
        if "FILES" in ours:
            yield from ("", f"FILES = Path(__file__).with_name({literal(self.script.folder)})")

    def _assertion(self) -> Iterator[str]:
        route, final = literal(self.failure.run.route), self.failure.final
        runs = f"for run in pipeline.runs({route})"
        if self.expected == SUCCESS:
            what, well = ("run.state, run.error", '"done", None') if final else (
                "run.state, run.attempt, run.error", '"done", 1, None'
            )  # fmt: skip
            yield f"assert {{({what}) {runs}}} == {{({well})}}"
        elif final:
            yield f'errors = [run.error {runs} if run.state == "dead"]'
            yield f"seen = {literal(self._lasting())}"
            yield "assert any(error.startswith(seen) for error in errors), errors"
        else:
            yield f"assert any(run.attempt > 1 or run.error {runs})"

    def _error(self) -> str:
        return self.script.masked.text(self.failure.error).partition("\n")[0]

    def _lasting(self) -> str:
        """Return how the error begins, up to what is another in each folder and each process."""
        error = self._error()
        places = [str(place.where) for place in self.script.app.places().values()]
        ends = [error.find(mark) for mark in ("0x", "/", *places) if mark in error]
        return error[: min(ends, default=len(error))]


def _shown(line: str, limit: int = 200) -> str:
    """Return a line of a docstring."""
    return plain(line, limit).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
