from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.errors import HandlerError, Reject, WiringError
from triggers.retry import Retry, kinds_of

PLAIN = Retry(attempts=100, jitter=False)


def from_another_process(error: BaseException) -> HandlerError:
    """What an isolated handler's error is on this side of the pipe."""
    return HandlerError(str(error), kinds=kinds_of(error))


class Worse(Reject):
    """A handler's own kind of rejection."""


def test_the_bound_doubles_from_the_initial_wait_to_the_maximum() -> None:
    waits = [PLAIN.decide(OSError(), attempt, seed="r1") for attempt in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_bound_stays_at_the_maximum_after_any_number_of_attempts() -> None:
    assert Retry(attempts=10**6, jitter=False).decide(OSError(), 100_000, seed="r1") == 60


def test_an_initial_wait_of_zero_retries_at_once() -> None:
    assert Retry(initial=0, maximum=0).decide(OSError(), 1, seed="r1") == 0


@given(seed=st.text(), attempt=st.integers(1, 50))
def test_jitter_stays_within_the_bound_and_is_the_same_for_the_same_seed(seed: str, attempt: int) -> None:
    retry = Retry(attempts=100)
    bound = PLAIN.decide(OSError(), attempt, seed=seed)
    wait = retry.decide(OSError(), attempt, seed=seed)
    assert wait is not None
    assert bound is not None
    assert 0 <= wait <= bound
    assert retry.decide(ValueError(), attempt, seed=seed) == wait


def test_jitter_spreads_evenly_over_the_whole_bound() -> None:
    waits = [Retry(initial=10).decide(OSError(), 1, seed=f"r{n}") or 0.0 for n in range(2000)]
    tenths = [sum(n <= wait < n + 1 for wait in waits) for n in range(10)]
    assert all(150 < tenth < 250 for tenth in tenths)


def test_jitter_differs_from_attempt_to_attempt() -> None:
    retry = Retry(attempts=100, initial=60)
    assert len({retry.decide(OSError(), attempt, seed="r1") for attempt in range(1, 20)}) == 19


def test_jitter_is_the_same_in_another_process() -> None:
    code = "from triggers.retry import Retry; print(Retry().decide(OSError(), 2, seed='r7'))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(shown.stdout) == Retry().decide(OSError(), 2, seed="r7")


@pytest.mark.parametrize(("attempts", "retried"), [(1, []), (2, [1]), (4, [1, 2, 3])])
def test_attempts_counts_the_starts_in_all(attempts: int, retried: list[int]) -> None:
    retry = Retry(attempts=attempts)
    assert [n for n in range(1, 10) if retry.decide(OSError(), n, seed="r1") is not None] == retried


@pytest.mark.parametrize(("elapsed", "starts"), [(0.0, True), (29.9, True), (30.0, False), (99.0, False)])
def test_no_attempt_starts_within_seconds_after_the_first_or_later(elapsed: float, starts: bool) -> None:
    assert Retry(within=30).starts(elapsed) is starts
    assert Retry().starts(elapsed)


@pytest.mark.parametrize("ship", [lambda error: error, from_another_process], ids=["here", "isolated"])
@pytest.mark.parametrize(
    ("on", "error", "again"),
    [
        (Exception, ValueError(), True),
        (OSError, OSError(), True),
        (OSError, TimeoutError(), True),
        (OSError, ValueError(), False),
        ((OSError, ValueError), UnicodeDecodeError("utf-8", b"", 0, 1, ""), True),
        ((OSError, ValueError), KeyError(), False),
        (Exception, KeyboardInterrupt(), False),
        (BaseException, KeyboardInterrupt(), True),
        (Exception, Reject("no"), False),
        (BaseException, Worse("no"), False),
        (Reject, Reject("no"), False),
        (Exception, WiringError("returned int"), False),
        (WiringError, WiringError("returned int"), False),
    ],
)
def test_only_the_named_errors_are_retried_and_a_rejection_never(
    on: type[BaseException], error: BaseException, again: bool, ship: object
) -> None:
    assert callable(ship)
    assert (Retry(on=on).decide(ship(error), 1, seed="r1") is not None) is again


def test_an_isolated_error_is_matched_as_what_it_was_and_not_as_what_carries_it() -> None:
    assert Retry(on=HandlerError).decide(from_another_process(OSError()), 1, seed="r1") is None


def test_a_handler_error_of_its_own_is_matched_as_itself() -> None:
    assert Retry(on=HandlerError).decide(HandlerError("died"), 1, seed="r1") is not None
    assert Retry(on=OSError).decide(HandlerError("died"), 1, seed="r1") is None


def test_only_a_handler_error_may_speak_for_another() -> None:
    class Boastful(ValueError):
        kinds = ("builtins.OSError",)

    assert Retry(on=OSError).decide(Boastful(), 1, seed="r1") is None


def test_kinds_are_the_qualified_names_of_the_classes() -> None:
    assert kinds_of(TimeoutError()) == (
        "builtins.TimeoutError",
        "builtins.OSError",
        "builtins.Exception",
        "builtins.BaseException",
        "builtins.object",
    )
    assert kinds_of(Worse())[:2] == (f"{__name__}.Worse", "triggers.errors.Reject")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attempts": 0}, r"Retry\(attempts=0\): .*write 1 for no retry"),
        ({"attempts": 1.5}, r"Retry\(attempts=1.5\)"),
        ({"initial": -1}, "Retry: initial=-1 is no span of time; write seconds"),
        ({"initial": math.nan}, "Retry: initial=nan"),
        ({"initial": 61}, r"Retry\(maximum=60.0\): .*at least initial=61"),
        ({"maximum": math.inf}, "Retry: maximum=inf"),
        ({"maximum": math.nan}, "Retry: maximum=nan"),
        ({"within": 0}, "Retry: within=0 is no span of time above 0"),
        ({"on": ()}, r"Retry\(on=\(\)\): not an exception type"),
        ({"on": "OSError"}, r"Retry\(on='OSError'\): not an exception type"),
        ({"on": (OSError, 5)}, r"not an exception type; write e\.g\. on="),
        ({"on": int}, r"Retry\(on=<class 'int'>\)"),
    ],
)
def test_values_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        Retry(**arguments)  # type: ignore[arg-type]  # that is the point
