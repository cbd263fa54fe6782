"""How much work something is, whatever the machine: the bytecode instructions that our package executes for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import triggers

OURS = str(Path(triggers.__file__).parent)


def steps(work: Callable[[], object]) -> int:
    """Return how many instructions of the package the work takes. What C code does in one of them is not seen."""
    count = 0

    def local(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "opcode"
        return local

    def called(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    before = sys.gettrace()
    sys.settrace(called)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def is_linear(work: Callable[[int], object], size: int) -> bool:
    """Say whether the work grows with the size, and not with its square.

    What is done once cancels out in the differences. The second is twice the first where the work is linear; five
    instructions for each pair of things, where there are some thousand for each thing, already pass the bound.
    """
    work(2)  # what is done once in a process
    one, two, four = (steps(lambda n=n: work(n)) for n in (size, 2 * size, 4 * size))  # type: ignore[misc]
    return four - two < 1.1 * 2 * (two - one)
