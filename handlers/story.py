"""The story that `make demo` and `make run` tell: data arrives as in life, and the pipeline does the rest.

A stage drops files, lets the app run until it is quiet, and says what can be seen then. A stage whose outcome can be
seen already is not told again, so a story that was broken off goes on where it was, and nothing is dropped twice.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from handlers import account, sample
from handlers.account import Places
from handlers.drift import THRESHOLD
from handlers.evaluate import MARGIN
from handlers.runner import Engine
from handlers.sample import MAGNIFIED
from handlers.train import MIN_ROWS, RETRAIN_ROWS

FIRST = 3
"""How many of the regular files make the first model."""
BROKEN = ("bad-value.csv", "bad-columns.csv")


@dataclass(frozen=True, slots=True)
class Stage:
    """Files that arrive together, the rule that they meet, and how to see that it came out as it should."""

    title: str
    rule: str
    files: Callable[[], dict[str, str]]
    told: Callable[[Places], bool]


def stages() -> list[Stage]:
    """Return the story. The files are made when their stage is told, because that loads scikit-learn."""
    return [
        Stage(
            "Three days of readings arrive",
            f"{MIN_ROWS} samples make the first model",
            lambda: dict(list(sample.regular().items())[:FIRST]),
            lambda places: any(entry.previous is None for entry in places.registry.history()),
        ),
        Stage(
            "Two more days",
            f"{RETRAIN_ROWS} new samples make a challenger, who must be better by {MARGIN} in AUC",
            lambda: dict(list(sample.regular().items())[FIRST:]),
            lambda places: any(one["champion_model"] and not one["approved"] for one in places.evaluations().values()),
        ),
        Stage(
            "Two files that are broken",
            "a file is taken whole or not at all; what is rejected waits in the dead letters",
            sample.bad,
            lambda places: all(any(name in line for line in places.failures()) for name in BROKEN),
        ),
        Stage(
            f"A second lab, whose microscope reads lengths {MAGNIFIED - 1:.0%} longer",
            f"a feature whose PSI is above {THRESHOLD}, and above chance, has drifted; that retrains at once",
            lambda: dict(list(sample.drifted().items())[:1]),
            lambda places: any(
                entry.previous and places.registry.card(entry.model).reason.startswith("drift")
                for entry in places.registry.history()
            ),
        ),
    ]


def tell(engine: Engine) -> bool:
    """Tell what is left of the story; return whether it came out as it should."""
    places, started = Places(engine.home), time.monotonic()
    for folder in places.folders():
        folder.mkdir(parents=True, exist_ok=True)
    story = stages()
    left = [stage for stage in story if not stage.told(places)]
    print(f"Readings of cell nuclei go in, a model that serves comes out. Data: {engine.home}, journal: {engine.state}")
    if not left:
        print(f"The story was told before; `rm -r {engine.home} {engine.state}`, and it is told anew.")
    elif len(left) < len(story):
        print(f"It was broken off before; {len(left)} of its {len(story)} parts are left.")
    for number, stage in enumerate(story, 1):
        if stage in left and not _tell(engine, places, f"{number}  {stage.title}", stage):
            return False
    if left:
        print(f"\nThe story took {time.monotonic() - started:.1f} s.")
    return True


def sum_up(engine: Engine, *, watching: bool) -> None:
    """Say what is there now, and what to try next."""
    dead = engine.ask("dead", "list")
    drift = engine.ask("events", "--type", "DriftDetected")
    print(f"\n{_bold('What is there now')}")
    _print(account.inventory(Places(engine.home), len(dead), engine.command("dead")))
    tries = [
        (engine.own("predict S0007 S0008"), "ask the champion"),
        (engine.own("history"), "every switch of the champion, and why"),
        (engine.own("rollback"), "return to the champion before"),
        (engine.own("drop --drift"), "the second lab's next file: no second alarm within a week"),
        (engine.command("runs"), "every run"),
    ]
    if dead:
        tries.append((engine.command(f"dead show {dead[-1]['run']}"), "a rejected file, in full"))
    if drift:
        tries.append((engine.command(f"trace {drift[-1]['event']}"), "from the file to the new champion, as a tree"))
    if not watching:
        tries.append((engine.own("run"), "go on watching, until Ctrl-C"))
    print(f"\n{_bold('Try next' + (', in another terminal' if watching else ''))}")
    width = max(len(command) for command, _ in tries)
    for command, what in tries:
        print(f"   {command:{width}}  {what}")


def _tell(engine: Engine, places: Places, title: str, stage: Stage) -> bool:
    print(f"\n{_bold(title)}\n   {'rule':10} {stage.rule}")
    before, started = account.look(places), time.monotonic()
    missing = {name: text for name, text in stage.files().items() if not places.incoming.exists(name)}
    for dropped in sample.drop(missing, places.incoming):
        print(f"   {'dropped':10} {dropped}")
    sys.stdout.flush()
    _drain(engine)
    took = time.monotonic() - started
    _print(account.differences(places, engine, before, account.look(places)))
    _print([("took", f"{took:.1f} s")])
    if stage.told(places):
        return True
    print(
        f"   This is not how the story goes: other data lay in {engine.home} before, or the pipeline was changed."
        f"\n   {engine.command('runs')} says what ran; `rm -r {engine.home} {engine.state}` lets it begin anew."
    )
    return False


def _drain(engine: Engine) -> None:
    if not sys.stdout.isatty():
        engine.drain()
        return
    print("   working ...", end="", flush=True)
    try:
        engine.drain()
    finally:
        print("\r\033[K", end="", flush=True)


def _print(lines: Iterable[account.Line]) -> None:
    last = ""
    for word, text in lines:
        print(f"   {'' if word == last else word:10} {text}")
        last = word
    sys.stdout.flush()


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
