"""`python -m handlers`: hear the story, drop sample data, and look after the models by hand.

One door for people, apart from the modules: `python -m handlers.registry` would load the registry twice.
"""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from handlers import emulated, sample, story
from handlers.app import HOME, place
from handlers.features import FeatureStore
from handlers.registry import Registry, RegistryError, short
from handlers.runner import Engine, EngineFailed
from handlers.serve import predict

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def demo(args: argparse.Namespace) -> int:
    """Tell the story: drop the sample data, stage by stage, and show what comes of it."""
    engine = _engine(args.home)
    told = story.tell(engine)
    if told:
        story.sum_up(engine, watching=False)
    return 0 if told else 1


def run(args: argparse.Namespace) -> int:
    """Tell the story, then go on watching the folder until Ctrl-C."""
    engine = _engine(args.home)
    story.tell(engine)
    story.sum_up(engine, watching=True)
    print(f"\nWatching {place('incoming', args.home)}; Ctrl-C ends it, and nothing is lost.\n")
    engine.watch()


def aws(args: argparse.Namespace) -> int:
    """Put the sample data into an emulated S3, and see the model promoted."""
    return 0 if emulated.tell(functions=args.functions) else 1


def drop(args: argparse.Namespace) -> None:
    """Drop the next sample files: those that do not lie in the folder yet."""
    incoming = place("incoming", args.home)
    files = sample.bad() if args.bad else sample.drifted() if args.drift else sample.regular()
    left = [item for item in files.items() if not incoming.exists(item[0])]
    count = args.count or (1 if args.drift else len(left))  # the second lab's story is told one file at a time
    for dropped in sample.drop(dict(left[:count]), incoming):
        print(f"dropped {dropped}")
    if not left:
        print(f"all of them lie in {incoming} already")


def show(args: argparse.Namespace) -> None:
    """Print the champion and all models."""
    registry = Registry(place("models", args.home))
    champion = registry.champion()
    for card in registry.cards():
        mark = "*" if card.model == champion else " "
        print(f"{mark} {short(card.model)}  as of {card.as_of:%Y-%m-%d}  {card.trained_on:4d} rows  {card.reason}")
    if champion is None:
        print("no champion yet")


def history(args: argparse.Namespace) -> None:
    """Print every switch of the champion."""
    for entry in Registry(place("models", args.home)).history():
        print(f"{entry.at[:19]}  {entry.action}  {short(entry.model)}  before: {short(entry.previous)}  {entry.reason}")


def rollback(args: argparse.Namespace) -> None:
    """Return to the champion before this one."""
    entry = Registry(place("models", args.home)).rollback(at=datetime.now(UTC))
    print(f"champion is {short(entry.model)} again; {short(entry.previous)} is out of service")


def answer(args: argparse.Namespace) -> None:
    """Print the champion's prediction for samples."""
    store, registry = FeatureStore(place("features", args.home)), Registry(place("models", args.home))
    for item in predict(store, registry, args.samples, args.as_of):
        measured = f"{item.measured_at:%Y-%m-%d %H:%M}"
        print(f"{item.sample}  malignant {item.malignant:.3f}  measured {measured}  by {short(item.model)}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m handlers", description="The reference pipeline, by hand.")
    parser.add_argument(
        "--home", default=HOME, help="the folder, or the s3:// URI, of the places (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=run.__doc__)
        added.set_defaults(run=run)
        return added

    for name, telling in (("demo", demo), ("run", run)):
        command(name, telling)
    command("aws", aws).add_argument("--lambda", dest="functions", action="store_true", help="by its Lambda functions")
    dropping = command("drop", drop)
    dropping.add_argument("--count", type=int, help="how many files at most (default: all; of --drift: one)")
    which = dropping.add_mutually_exclusive_group()
    which.add_argument("--drift", action="store_true", help="files of a second lab whose data has drifted")
    which.add_argument("--bad", action="store_true", help="two files that must be rejected")
    for name, showing in (("show", show), ("history", history), ("rollback", rollback)):
        command(name, showing)
    asked = command("predict", answer)
    asked.add_argument("samples", nargs="+", metavar="SAMPLE", help="a sample id, e.g. S0007")
    asked.add_argument("--as-of", type=_moment, help="read features as of this time, e.g. 2024-03-06T12:00Z")
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except (RegistryError, LookupError, EngineFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _engine(home: Path | str) -> Engine:
    if str(home).startswith("s3://"):
        raise EngineFailed(
            f"the story is told in a folder, and {home} is a bucket; drop files there with"
            f" `python -m handlers --home {home} drop`, and see docs/concepts/aws.md for what runs on them"
        )
    return Engine(Path(home))


def _moment(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
