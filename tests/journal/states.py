"""A state of an app in the middle of its work, as each version of the journal's schema left it: `versions/N.sql`.

Before a version of the schema is released, `python -m tests.journal.states` writes its state; from then on the file
stays as it is. What is in it: runs that are done, dead, delayed by a failure and by `Later`, waiting for a place, and
at work when the process died; identities; a schedule's last firing.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import apsw

from tests.kit import Life, delivery
from triggers import App, Context, Event, Later, Reject, Retry, Tick, every
from triggers.state import APPLICATION_ID, SCHEMA_VERSION

FOLDER = Path(__file__).parent / "versions"
ROOT = Path(__file__).parents[2]


class Arrived(Event):
    n: int


class Cleaned(Event):
    n: int


class Work:
    """The app, and what its handlers did, by the effect key. While it is `broken`, little of its work ends."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.done: dict[str, str] = {}
        self.app = App("upgraded")
        self.app.on(Arrived, retry=Retry(attempts=9, initial=3600, maximum=3600, jitter=False))(self.clean)
        self.app.on(Cleaned, concurrency=1, priority=5)(self.train)
        self.app.on(every(hours=1))(self.report)

    async def clean(self, event: Arrived, ctx: Context) -> Cleaned:
        if event.n == 2 and self.broken:
            raise OSError("the warehouse is away")
        if event.n == 3 and self.broken:
            raise Later("not yet", seconds=3600)
        if event.n == 4:
            raise Reject("it will never do")
        return self._did(ctx, Cleaned(n=event.n))

    async def train(self, event: Cleaned, ctx: Context) -> None:
        if self.broken and event.n != 1:
            await asyncio.Event().wait()
        self._did(ctx, event)

    async def report(self, event: Tick, ctx: Context) -> None:
        self.done[ctx.effect_key] = f"report {event.due.hour}"

    def _did(self, ctx: Context, event: Cleaned) -> Cleaned:
        self.done[ctx.effect_key] = f"{ctx.route} {event.n}"
        return event


def main() -> None:
    """Live a life until little more can be done, die, and write down what is left."""
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Work(broken=True).app, Path(folder))
        life.accept(*(delivery(Arrived(n=n), id=f"a{n}") for n in range(1, 5)))
        life.advance(3600 + 1800)
        life.append(*(delivery(Arrived(n=n), id=f"a{n}") for n in range(5, 9)))
        life.run(asyncio.sleep(1))  # all that can be done is, and the rest holds its place
        life.crash()
        text = dump(life.folder / "journal.db")
    head = f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {SCHEMA_VERSION};\n"
    (FOLDER / f"{SCHEMA_VERSION}.sql").write_text(f"{head}{text}".replace(str(ROOT), "/srv/upgraded"))


def dump(journal: Path) -> str:
    """Return a journal as SQL text, with the zero bytes that identities hold."""
    connection = apsw.Connection(str(journal))
    schema = list(connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"))
    lines = [f"{sql};\n" for _, _, sql in schema]
    for table in (name for kind, name, _ in schema if kind == "table"):
        rows = connection.execute(f"SELECT * FROM {table}")
        lines += [f"INSERT INTO {table} VALUES ({', '.join(map(apsw.format_sql_value, row))});\n" for row in rows]
    connection.close()
    return "".join(lines)


def load(version: int, folder: Path) -> None:
    """Make a state folder as that version of the schema left it."""
    folder.mkdir()
    connection = apsw.Connection(str(folder / "journal.db"))
    connection.execute(f"BEGIN; {(FOLDER / f'{version}.sql').read_text()} COMMIT")
    connection.close()


if __name__ == "__main__":
    main()
