"""How a claimed run is carried out: on the loop, in a thread of our own pool, or in a process that can be killed."""

from __future__ import annotations

from triggers.attempt import GIVEN_BACK, REPLACED, Again, Dead, Done, Failure, Finished, Outcome, Run, describe
from triggers.clock import Clock
from triggers.executor.coroutines import Coroutines
from triggers.executor.isolated import Isolated
from triggers.executor.meter import Measured, unmeasured
from triggers.executor.threads import Threads
from triggers.routing import COROUTINE, PROCESS


class Executor:
    """Starts runs where their routes belong, and says for each what came of it, on the loop."""

    def __init__(self, finished: Finished, *, threads: int, clock: Clock, measured: Measured = unmeasured) -> None:
        self._coroutines = Coroutines(finished, clock)
        self._threads = Threads(threads, finished, clock)
        self._isolated = Isolated(finished, measured)

    def start(self, run: Run) -> None:
        """Start the run's handler. The caller keeps to the number of slots."""
        kind = run.route.kind
        if kind == COROUTINE:
            self._coroutines.start(run)
        elif kind == PROCESS:
            self._isolated.start(run)
        else:
            self._threads.start(run)

    def cancel(self) -> None:
        """Stop what can be stopped: coroutines and processes. Their runs are given back."""
        self._coroutines.cancel()
        self._isolated.cancel()

    def close(self) -> None:
        """Let go of idle threads and processes."""
        self._coroutines.close()
        self._threads.close()
        self._isolated.close()


__all__ = ["GIVEN_BACK", "REPLACED", "Again", "Dead", "Done", "Executor", "Failure", "Outcome", "Run", "describe"]
