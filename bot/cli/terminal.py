"""What the commands of `ovation` share: giving up with a sentence and a status, asking before anything is lost, and a
sign of life while something takes long.

Knows the terminal, no command.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from bot.common.errors import OvationError, Refusal, SettingsError, StartError
from bot.common.i18n import say
from engine.errors import EngineError
from storage.db.errors import StorageError

T = TypeVar("T")


def say_on_stderr(sentence: str) -> None:
    """Print a sentence to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, markup=False)


def give_up(sentence: str, *, status: int) -> NoReturn:
    """Print a sentence to stderr and end."""
    say_on_stderr(sentence)
    raise typer.Exit(status)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only with a yes: from the option, or from somebody at the terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        give_up(f"{question} Nobody is there to answer: repeat the command with --yes.", status=2)
    if not typer.confirm(question):
        give_up("Nothing has changed.", status=1)


@contextmanager
def busy(words: str) -> Iterator[None]:
    """Turn a spinner on stderr, where somebody looks at it; "" is none."""
    if words and sys.stderr.isatty():
        with Console(stderr=True).status(Text(words)):
            yield
    else:
        yield


def or_give_up(action: Callable[[], T], meanwhile: str = "") -> T:
    """What `action` returns; where it cannot be had, its sentence and its status. `meanwhile` stands by a spinner."""
    try:
        with busy(meanwhile):
            return action()
    except SettingsError as error:
        give_up(str(error), status=2)
    except StartError as error:
        give_up(str(error), status=error.exit_status)
    except Refusal as refusal:
        give_up(say("en", refusal.text, **refusal.values), status=1)
    except (OvationError, StorageError, EngineError) as error:
        give_up(str(error), status=1)
    except OSError as error:
        give_up(f"{error.filename}: {error.strerror}. See `ovation doctor`.", status=1)
