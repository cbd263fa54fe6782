"""The commands of `triggers`. Each group is a module of its own, imported when one of its commands is called.

So `--version`, `--help` and the shell's completion load click and nothing else of weight.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from triggers import __version__
from triggers.commands.failures import ABORTED, USAGE, complain
from triggers.errors import did_you_mean

GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Work": {
        "new": ("new", "Make a small project that runs."),
        "run": ("run", "Run an app: listen to its sources and carry out its routes."),
        "send": ("send", "Hand in events; they are durable when it returns."),
    },
    "Look at an app": {
        "check": ("wiring", "Find what is wrong with an app's wiring."),
        "graph": ("wiring", "Draw what flows where."),
        "schedule": ("schedule", "List the next firings; pause and resume a schedule."),
    },
    "Take it to AWS": {
        "template": ("template", "Write the CloudFormation template of an app."),
        "parity": ("parity", "Carry scenarios out here and in AWS, and compare."),
        "package": ("package", "Pack an app as a zip for Lambda."),
        "deploy": ("deploying", "Put an app into AWS, or change it there."),
        "diff": ("deploying", "Show what deploy would change."),
        "destroy": ("deploying", "Remove an app from AWS."),
        "exec": ("execution", "Carry out one message, as a Batch job does."),
    },
    "Look at what happened": {
        "events": ("history", "List events."),
        "runs": ("history", "List runs."),
        "trace": ("trace", "Show the causes and effects of an event or a run as a tree."),
        "why": ("why", "Say in a line what something waits for, or how it ended."),
        "profile": ("profiling", "Show what runs used, and propose what needs= should say."),
        "plan": ("planning", "Show the next hours: what runs, what is expected, what fires."),
        "simulate": ("simulating", "Replay it under another policy or on another machine."),
        "export-test": ("exporting", "Write a failure as a test that has it happen again."),
        "calibrate": ("calibrate", "Show how good the predictions of run times were."),
    },
    "Operate": {
        "dead": ("dead", "The dead letters: list, show, redrive, drop."),
        "retry": ("dead", "Run a dead or delayed run again, now."),
        "pause": ("pausing", "Let nothing of some routes, or of the app, start."),
        "resume": ("pausing", "Let paused routes, or the app, go on."),
        "drain": ("pausing", "Pause and wait until what runs has ended."),
        "replay": ("replay", "Give events to their routes again."),
        "backfill": ("backfill", "Fire a schedule for a past range."),
        "backup": ("backup", "Copy a state folder while its app goes on."),
        "doctor": ("doctor", "Examine this machine and a state folder."),
        "completion": ("completion", "Print what makes a shell complete our commands."),
    },
}
"""Every command: its module, and the line that `--help` shows without importing it."""

_COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}


class Commands(click.Group):
    """The root of the commands: imports a command when it is called, and turns errors into messages and codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order in which `--help` shows them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"triggers.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; an unknown one is a usage error that names a near one."""
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            ctx.fail(f"no command {args[0]!r}{did_you_mean(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group, from the table."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(10), text) for name, (_, text) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names from the table."""
        found = [
            CompletionItem(name, help=text) for name, (_, text) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command and exit. Errors that we know become `error: ...` and a code; others keep their traceback."""
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(USAGE)
        except click.Abort:
            sys.exit(ABORTED)
        except Exception as error:
            sys.exit(complain(error))
        sys.exit(result if isinstance(result, int) else 0)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"triggers {__version__}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Drop a file, and a durable chain of typed steps runs.

    \b
      triggers new churn                    a project that runs
      triggers run app.py                   listen and work until Ctrl-C
      triggers why r7                       what it waits for, or how it ended

    An ID is e12 (an event), r7 (a run) or an event's full id. Reading commands take --state DIR, or TRIGGERS_STATE, or
    the one state folder in .triggers/. Data goes to stdout (--json where there is data), all else to stderr.

    Exit codes: 0 all is well, 1 a run failed or a problem was found, 2 wrong usage, 3 not found, 4 wiring or data is
    not valid, 5 the state folder is in use, 130, 143 and 129 ended by SIGINT, SIGTERM and SIGHUP.
    """
