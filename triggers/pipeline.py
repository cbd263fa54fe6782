"""The group commit: one turn fills while the one before it is being committed.

Nothing here polls. Whoever puts something into the pending turn calls `touch`; the turn is handed to the journal when
the loop has finished its present round and the journal is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from triggers.errors import TriggersError
from triggers.executor import Run
from triggers.journal import Change, Journal, Result, transient
from triggers.scheduling.flows import Flow, Head

log = logging.getLogger("triggers.dispatcher")

RETRY_COMMIT = 1.0
"""Seconds between two tries of a commit that the disk refused."""

Question = Callable[[apsw.Connection], Any]


@dataclass(slots=True)
class Turn:
    """A change, and what is to happen once it is durable."""

    change: Change
    starts: list[Run] = field(default_factory=list)
    """Runs that are claimed in the very commit that inserts them."""
    claims: list[tuple[Flow, Head]] = field(default_factory=list)
    """Runs that were waiting and are claimed in this commit."""
    fresh: list[tuple[Flow, Head]] = field(default_factory=list)
    """New runs that wait, as they are held in memory."""
    waiters: list[tuple[asyncio.Future[list[int]], list[int]]] = field(default_factory=list)
    ended: int = 0
    order_answers: list[Callable[[Any], None]] = field(default_factory=list)
    answers: list[Callable[[Any], None]] = field(default_factory=list)
    asked: list[asyncio.Future[Any]] = field(default_factory=list)

    def give_up(self, error: BaseException) -> None:
        """Tell everyone who waits for this turn that they will not hear that it is durable."""
        told = error
        if isinstance(error, StopIteration) or not isinstance(error, Exception):  # no future takes it; it ends the loop
            told = TriggersError(f"the app ends by {type(error).__name__}, and commits nothing more")
        for future in (*(future for future, _ in self.waiters), *self.asked):
            if not future.done():
                future.set_exception(told)
                future.exception()  # it is told elsewhere, too: nobody has to look at it


class Pipeline:
    """Hands turns to the journal, one at a time.

    `prepare` completes a turn just before it is handed over; `committed` is called with it and the result after it.
    `waits` says whether `prepare` may have something to put into a turn that is empty.
    """

    def __init__(
        self,
        journal: Journal,
        prepare: Callable[[Turn], None],
        committed: Callable[[Turn, Result], None],
        waits: Callable[[], bool],
    ) -> None:
        self.fatal: BaseException | None = None
        self.refused: str | None = None
        """Why the disk refuses commits at present, or None."""
        self._journal = journal
        self._prepare = prepare
        self._after = committed
        self._waits = waits
        self.turn = Turn(Change(journal.epoch))
        self._committing: Turn | None = None
        self._scheduled = False
        self._changed: list[asyncio.Future[None]] = []
        self._retrying: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Say whether anything is on its way to the disk, or never will get there because of an error of ours."""
        under_way = self._committing is not None or self._scheduled
        return under_way or self.fatal is not None or not self.turn.change.empty()

    def touch(self) -> None:
        """See to it that the pending turn is handed over."""
        if not self._scheduled and not self._committing:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def ask(self, question: Question, answer: Callable[[Any], None]) -> None:
        """Have a question answered right after the pending turn is durable."""
        self.turn.change.questions.append(question)
        self.turn.answers.append(answer)
        self.touch()

    def order(self, order: Question, answer: Callable[[Any], None]) -> None:
        """Have a rare change made by hand in the pending turn's transaction."""
        self.turn.change.orders.append(order)
        self.turn.order_answers.append(answer)
        self.touch()

    async def asked(self, question: Question) -> Any:
        """Return the answer to a question, asked after everything that was handed in before."""
        future = self._promise()
        self.ask(question, lambda reply: _tell(future, reply))
        return await future

    async def ordered(self, order: Question) -> Any:
        """Carry out an order, and return what it returns once it is durable."""
        future = self._promise()
        self.order(order, lambda reply: _tell(future, reply))
        return await future

    def _promise(self) -> asyncio.Future[Any]:
        """Return a future of the pending turn, which has the error where that is never committed."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.turn.asked.append(future)
        return future

    async def changed(self) -> None:
        """Wait until something has happened: a commit, or nothing left to commit."""
        if self.fatal:
            raise self.fatal
        future = asyncio.get_running_loop().create_future()
        self._changed.append(future)
        await future
        if self.fatal:
            raise self.fatal

    def close(self) -> None:
        """Give up a commit that the disk still refuses: nothing of it was acknowledged."""
        if self._retrying:
            self._retrying.cancel()
        if self.refused is not None:
            log.error("ended while the journal cannot be written: what ended since then is not in it, and runs again")

    def wake(self) -> None:
        """Wake everyone who waits in `changed`."""
        changed, self._changed = self._changed, []
        for future in changed:
            if not future.done():
                future.set_result(None)

    def _flush(self) -> None:
        self._scheduled = False
        if self.fatal:
            self.turn.give_up(self.fatal)
            return
        if self._committing:
            return
        turn = self.turn
        try:
            self._prepare(turn)
        except BaseException as error:  # a bug of ours, or of a plugin's: stop, rather than stand still
            self.fail(error)
            return
        if turn.change.empty():
            self.wake()
            return
        self.turn = Turn(Change(self._journal.epoch))
        self._committing = turn
        self._commit(turn)

    def _commit(self, turn: Turn) -> None:
        self._journal.commit(turn.change, lambda result: self._committed(turn, result))

    def _committed(self, turn: Turn, result: Result | BaseException) -> None:
        if self.fatal:  # it came while this was at the disk: what is durable begins with the next start
            return
        if isinstance(result, BaseException):
            self._refuse(turn, result)
            return
        self._committing = None
        if self.refused is not None:
            log.warning("the journal can be written again; work goes on")
        self.refused = None
        try:
            for future, numbers in turn.waiters:
                if not future.done():
                    future.set_result([number for number in numbers if number not in result.duplicates])
            self._after(turn, result)
            for answer, reply in zip(turn.order_answers + turn.answers, result.replies, strict=True):
                answer(reply)
        except BaseException as error:  # a bug of ours, or of a plugin's: stop, rather than stand still
            turn.give_up(error)
            self.fail(error)
            return
        if self._waits() or not self.turn.change.empty():
            self.touch()
        self.wake()

    def fail(self, error: BaseException) -> None:
        """Stop for good: an error of our own, after which going on would be a guess. It is raised in `changed`."""
        if not isinstance(
            error, Exception | KeyboardInterrupt | SystemExit
        ):  # who awaits would take it for his own end
            error = TriggersError(f"{error!r} came out of the midst of a turn")
        self.fatal = self.fatal or error  # what comes after it comes of it
        if self._retrying:
            self._retrying.cancel()
        if self._committing:
            self._committing.give_up(error)
        self._committing = None
        self.turn.give_up(error)
        self.wake()

    def verify(self) -> None:
        """Stop for good where the journal is no longer at its place, and what is done would be lost."""
        if error := self._journal.lost():
            self.fail(error)

    def _refuse(self, turn: Turn, error: BaseException) -> None:
        """Try a commit again that the disk refused: nothing of it is acknowledged, so waiting loses nothing."""
        if not transient(error):
            self.fail(error)
            return
        if self.refused is None:
            why = self._journal.explain(error)
            log.error("the journal cannot be written: %s; work stands still, trying every %g s", why, RETRY_COMMIT)
        self.refused = str(error)

        async def again() -> None:
            await self._journal.clock.sleep(RETRY_COMMIT)
            self._commit(turn)

        self._retrying = asyncio.get_running_loop().create_task(again())
        self.wake()


def _tell(future: asyncio.Future[Any], reply: object) -> None:
    if not future.done():  # who asked may have been cancelled meanwhile
        future.set_result(reply)
