"""What the commands of `ovation` share: sentences and statuses at the end, questions, and signs of life meanwhile."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from bot.common.errors import OvationError, Refusal, SettingsError
from bot.common.i18n import say
from bot.common.settings import DataSettings
from engine.errors import EngineError
from storage.db.errors import StorageError

S = TypeVar("S", bound=DataSettings)


@contextmanager
def explained() -> Iterator[None]:
    """End the command with one sentence and its status for what people can do something about; the rest is a bug."""
    try:
        yield
    except KeyboardInterrupt:
        give_up("Stopped.", status=1)
    except Refusal as refusal:
        give_up(say("en", refusal.text, **refusal.values), status=1)
    except (OvationError, StorageError, EngineError) as error:
        give_up(str(error), status=2 if isinstance(error, SettingsError) else getattr(error, "exit_status", 1))
    except OSError as error:
        if error.errno == errno.EPIPE:  # nobody reads any more, who need not be told
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        give_up(f"{where}{error.strerror or error}. See `ovation doctor`.", status=1)


def give_up(sentence: str, *, status: int) -> NoReturn:
    """Print a sentence to stderr and end."""
    say_on_stderr(sentence)
    raise typer.Exit(status)


def say_on_stderr(sentence: str) -> None:
    """Print a sentence to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(sentence, markup=False)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only with a yes: from the option, or from somebody at the terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        give_up(f"{question} Nobody is there to answer: repeat the command with --yes.", status=2)
    if not typer.confirm(question):
        give_up("Nothing has changed.", status=1)


def make_folder(folder: Path) -> None:
    """Make the new folder that --out names."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        give_up(f"{folder} exists already: name a new folder with --out.", status=2)
    except OSError as error:
        give_up(f"{folder} cannot be written: {error.strerror}.", status=1)


@contextmanager
def busy(words: str) -> Iterator[None]:
    """Turn a spinner on stderr, where somebody looks at it; "" is none."""
    if words and sys.stderr.isatty():
        with Console(stderr=True).status(Text(words)):
            yield
    else:
        yield


@contextmanager
def progress_bar(words: str, *, tells_time_left: bool = False) -> Iterator[Callable[..., None]]:
    """Show a bar on stderr, where somebody looks at it.

    Yields what moves it: `completed` is a share, `description` the words before it, `note` those behind.
    """
    from rich import progress  # noqa: PLC0415 - few commands need it

    columns = [
        progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[note]}"), progress.TimeElapsedColumn(),
    ]  # fmt: skip
    if tells_time_left:
        columns += [progress.TextColumn("left"), progress.TimeRemainingColumn()]
    with progress.Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        yield partial(bar.update, bar.add_task(words, total=1.0, note=""))


def ready_model(settings: S, tell: Callable[[str], object] = say_on_stderr) -> S:
    """The settings with models that can be loaded at once; a bar shows how far a conversion is.

    Raises:
        StartError, StorageError: as `bot.serving.base_model.ready`.
    """
    from bot.serving.base_model import ready  # noqa: PLC0415 - few commands need it

    with ExitStack() as stack:
        bar: list[Callable[..., None]] = []

        def show(share: float) -> None:
            if not bar:  # most have nothing to convert
                bar.append(stack.enter_context(progress_bar("Converting the model")))
            bar[0](completed=share)

        return ready(settings, tell, show)
