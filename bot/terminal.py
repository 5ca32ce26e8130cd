"""What the commands of `ovation` share: giving up with a sentence and a status, and asking before anything is lost.

Knows the terminal, no command.
"""

import sys
from typing import NoReturn

import typer
from rich.console import Console


def give_up(sentence: str, *, status: int) -> NoReturn:
    """Print a sentence to stderr and end."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, markup=False)
    raise typer.Exit(status)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only with a yes: from the option, or from somebody at the terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        give_up(f"{question} Nobody is there to answer: repeat the command with --yes.", status=2)
    if not typer.confirm(question):
        give_up("Nothing has changed.", status=1)
