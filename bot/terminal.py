"""What the commands of `ovation` share: giving up with a sentence and a status, and asking before anything is lost.

Knows the terminal, no command.
"""

import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer
from rich.console import Console

from bot.errors import OvationError, SettingsError, StartError
from storage.errors import StorageError

T = TypeVar("T")


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


def or_give_up(action: Callable[[], T]) -> T:
    """What `action` returns; where it cannot be had, its sentence and its status."""
    try:
        return action()
    except SettingsError as error:
        give_up(str(error), status=2)
    except StartError as error:
        give_up(str(error), status=error.exit_status)
    except (OvationError, StorageError) as error:
        give_up(str(error), status=1)
    except OSError as error:
        give_up(f"{error.filename}: {error.strerror}. See `ovation doctor`.", status=1)
