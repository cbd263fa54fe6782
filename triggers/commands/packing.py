"""What the commands that pack an app share: the options that say how, and the packing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import click

from triggers.commands.parameters import F
from triggers.sources.folder import Folder

if TYPE_CHECKING:
    from triggers.app import App
    from triggers.aws.bundle import Bundle

_A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_A_PATH = click.Path(exists=True, path_type=Path)

PLATFORM: Final = (
    click.option(
        "--python", type=click.Choice(["3.11", "3.12", "3.13"]), default="3.13", show_default=True,
        help="The functions' Python.",
    ),
    click.option("--arch", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True),
)  # fmt: skip
"""Which Python a function has, and which processor: those that Lambda has and that this library is for."""
PACKED: Final = (
    click.option(
        "--requirement", "requirements", type=_A_FILE, multiple=True, metavar="FILE",
        help="A requirements file with the libraries that the app needs.",
    ),
    click.option(
        "--include", type=_A_PATH, multiple=True, metavar="PATH",
        help="A module or package of yours that the app imports from elsewhere.",
    ),
    click.option("--provided", multiple=True, metavar="NAME", help="A package that a layer of the function has."),
    *PLATFORM,
)  # fmt: skip
"""What `Packing` is made of."""


def with_options(options: Iterable[Callable[[F], F]], command: F) -> F:
    """Add options to a command, in the order in which its help shows them."""
    for option in reversed([*options]):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Packing:
    """How an app is packed, as the options `PACKED` say it."""

    requirements: tuple[Path, ...]
    include: tuple[Path, ...]
    provided: tuple[str, ...]
    python: str
    arch: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return what a command was told, from among its options."""
        return cls(**{name: options[name] for name in cls.__slots__})

    def __call__(self, app: App, target: str) -> Bundle:
        """Return what goes into the zip of an app, `module:app`, without the folders of data that it declares.

        Raises `WiringError` as `bundle` does.
        """
        from triggers.aws import libraries
        from triggers.aws.bundle import bundle

        return bundle(
            target,
            libraries.Platform(self.python, self.arch),
            libraries.requirements(self.requirements),
            include=[path.resolve() for path in self.include],
            provided=self.provided,
            leave_out=data_of(app),
        )


def data_of(app: App) -> list[Path]:
    """Return the folders of data that an app declares: what lies in them is none of its code."""
    return [one.path for one in {**app.sources, **app.outputs}.values() if isinstance(one, Folder)]
