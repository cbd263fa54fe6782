"""From an outcome to rows: what a commit must hold when a run leaves its attempt otherwise than well.

Pure building of rows, kept apart from the loop that decides when.
"""

from __future__ import annotations

from triggers.attempt import Again, Dead, Done, Run
from triggers.journal import DEAD, DELAYED, WAITING, AttemptRow, SettleRow


def settled(run: Run, outcome: Again | Dead, epoch: int, wall: float, monotonic: float) -> SettleRow:
    """Return the new state of a run that did not end well."""
    if isinstance(outcome, Dead):
        return SettleRow(
            run.number, run.attempt, epoch, DEAD, run.attempt, wall, error=str(outcome.failure), memory=run.wants
        )
    return SettleRow(
        run=run.number,
        attempt=run.attempt,
        epoch=epoch,
        state=DELAYED if outcome.delay > 0 or outcome.counted else WAITING,  # given back: for the next owner to find
        counted=run.attempt if outcome.counted else run.attempt - 1,
        ended=None,
        due=monotonic + outcome.delay,
        due_time=wall + outcome.delay,
        error=str(outcome.failure) if outcome.failure else None,
        memory=run.wants,
    )


def remembered(run: Run, outcome: Again | Dead, epoch: int, wall: float) -> AttemptRow:
    """Return the attempt as history."""
    word = outcome.word if isinstance(outcome, Again) else "dead"
    text, trace = (str(outcome.failure), outcome.failure.traceback) if outcome.failure else (None, None)
    return AttemptRow(run.number, run.attempt, epoch, run.started, wall, word, text, trace)


def in_part(run: Run, done: Done, epoch: int, wall: float) -> AttemptRow:
    """Return the attempt as history in which some events of a batch failed."""
    place, why = done.failed[0]
    first = f"e{run.members[place].number}" if len(done.failed) == 1 else f"first e{run.members[place].number}"
    text = f"{len(done.failed)} of {len(run.members)} events failed, {first}: {why}"
    return AttemptRow(run.number, run.attempt, epoch, run.started, wall, "in part", text, None)
