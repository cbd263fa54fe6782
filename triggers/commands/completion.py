"""`triggers completion`: what makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from triggers.commands.output import say


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete our commands.

    \b
      eval "$(triggers completion bash)"                       in ~/.bashrc
      eval "$(triggers completion zsh)"                        in ~/.zshrc
      triggers completion fish > ~/.config/fish/completions/triggers.fish
    """
    from triggers.commands import cli  # the root imports this module

    made = get_completion_class(shell)
    assert made is not None  # the choice above is click's own list
    say(made(cli, {}, "triggers", "_TRIGGERS_COMPLETE").source())
