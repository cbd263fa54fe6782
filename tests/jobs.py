"""Handlers that run in processes of their own: what good and bad ones do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from triggers import Context, Event, Later, Reject


class Job(Event):
    n: int = 0
    text: str = ""


class Result(Event):
    n: int
    text: str = ""


def good(event: Job, ctx: Context) -> Result:
    print("what a handler prints is no answer")
    return Result(n=os.getpid(), text=f"{ctx.effect_key} {ctx.attempt} {ctx.run}")


async def good_coroutine(event: Job) -> Result:
    return Result(n=event.n)


_variable: ContextVar[int] = ContextVar("_variable", default=0)


def remembers(event: Job) -> Result:
    before = _variable.get()
    _variable.set(event.n)
    return Result(n=before)


def large(event: Job) -> list[Result]:
    return [Result(n=n, text="x" * 200_000) for n in range(20)]


def writes(event: Job, ctx: Context) -> None:
    with ctx.place("out").output("a.txt") as file:
        file.write(event.text.encode())


def leaves(event: Job) -> None:
    os._exit(3)


def killed(event: Job) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashes(event: Job) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(event: Job) -> None:
    sys.exit("bye")


def leaves_a_child(event: Job) -> None:
    """End at once, but not the child, which has inherited everything; its number is written down."""
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    Path(event.text).write_text(str(child))
    os._exit(3)


def closes_everything(event: Job) -> None:
    os.closerange(3, 256)


def hides(event: Job) -> None:
    """Close the connection, and never end."""
    os.closerange(3, 256)
    threading.Event().wait()


def fails(event: Job) -> None:
    raise FileNotFoundError(event.text)


def fails_with_bytes(event: Job) -> None:
    raise ValueError("a\udcff.csv")


def rejects(event: Job) -> None:
    raise Reject("never")


def puts_off(event: Job) -> None:
    raise Later("busy", minutes=5)


def returns_a_number(event: Job) -> Any:
    return 7


returns_a_number.__annotations__["return"] = "None"


def hangs(event: Job) -> None:
    """Write the process' number, with a child of its own, and never end."""
    child = os.fork()
    if child == 0:
        signal.pause()
    unfinished = Path(event.text).with_suffix(".tmp")
    unfinished.write_text(f"{os.getpid()} {child}")
    unfinished.rename(event.text)
    threading.Event().wait()


def grows(event: Job, ctx: Context) -> Result:
    """Have `n` MiB of memory, for a moment, and tell the attempt."""
    held = bytearray(b"x") * (event.n << 20)
    threading.Event().wait(float(event.text or 0))
    return Result(n=len(held) >> 20, text=f"{ctx.attempt} {os.getpid()}")


def grows_in_a_child(event: Job) -> Result:
    """Have `n` MiB of memory in a child."""
    code = f"x = bytearray(b'x') * ({event.n} << 20); import time; time.sleep(30)"
    subprocess.run([sys.executable, "-c", code], check=True)
    return Result(n=event.n)


def shares(event: Job) -> Result:
    """Have `n` MiB of memory that three children share."""
    held = bytearray(b"x") * (event.n << 20)
    for _ in range(3):
        if os.fork() == 0:
            threading.Event().wait(1.0)
            os._exit(0)
    for _ in range(3):
        os.wait()
    return Result(n=len(held) >> 20)


def holds(event: Job, ctx: Context) -> Result:
    """Have `n` MiB of memory until there is a file, and tell the attempt."""
    held = bytearray(b"x") * (event.n << 20)
    while not Path(event.text).exists():
        threading.Event().wait(0.01)
    return Result(n=len(held) >> 20, text=f"{ctx.attempt} {os.getpid()}")


def dies_near_its_limit(event: Job, ctx: Context) -> Result:
    """Be killed from outside, as the kernel does it, after there was much in memory; but not the second time."""
    result = holds(event, ctx)
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def keeps(event: Job) -> Result:
    """Leave `n` MiB behind."""
    _kept.append(bytearray(b"x") * (event.n << 20))
    return Result(n=os.getpid())


_kept: list[bytearray] = []


def burns(event: Job) -> None:
    """Have some CPU time, some of it in a child."""
    subprocess.run([sys.executable, "-c", _BURN], check=True)
    exec(_BURN)


_BURN = "import time; begun = time.process_time()\nwhile time.process_time() < begun + 0.2: pass"


def score(event: Job) -> Result:
    """Tell how soon the kernel ends this process where memory runs out, and one that it starts."""
    child = subprocess.check_output(["cat", "/proc/self/oom_score_adj"], text=True)
    return Result(n=int(Path("/proc/self/oom_score_adj").read_text()), text=child.strip())


def counts(event: Job, ctx: Context) -> Result:
    """Go through `n` items, each with a checkpoint; fail or die once half of them are done, and tell where it began."""
    begun = ctx.restored or 0
    for item in range(begun, event.n):
        ctx.checkpoint(item + 1, done=item + 1, total=event.n)
        if not begun and item + 1 == event.n // 2:
            if event.text == "die":
                threading.Event().wait(0.3)
                os._exit(1)
            raise OSError("half of it")
    return Result(n=begun)


async def counts_on_the_loop(event: Job, ctx: Context) -> Result:
    """Do the same as a coroutine."""
    return counts(event, ctx)
