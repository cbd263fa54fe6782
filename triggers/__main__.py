"""The command line: `triggers` and `python -m triggers`."""

from __future__ import annotations

import os
import sys

from triggers.commands import cli


def main() -> None:
    """Run the command line and exit with its code."""
    _open_streams()
    cli(prog_name="triggers")


def _open_streams() -> None:
    """Give /dev/null to the standard streams that are closed (`2>&-`): the next file opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            if null != number:
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    main()
