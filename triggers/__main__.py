"""The command line: `triggers` and `python -m triggers`."""

from __future__ import annotations

from triggers.commands import cli


def main() -> None:
    """Run the command line and exit with its code."""
    cli(prog_name="triggers")


if __name__ == "__main__":
    main()
