"""The `ovation` command: a table of commands, each of which reads settings and calls one function.

Exit statuses: 0 done, 1 failed, 2 wrong use or configuration. The module of a command is imported when it is asked for,
so that no command waits for what another needs.
"""

import codecs
import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

COMMANDS: Final = {
    "run": ("run", "Run the bot with the settings from the environment and .env."),
    "demo": (
        "run",
        "Try everything in a browser, without a token: the real bot against a local stand-in for Telegram.",
    ),
    "export": ("results", "Print what is stored, one object a line; works while the bot runs."),
    "doctor": ("data", "Check settings, machine, database, versions and backups; works while the bot runs."),
    "backup": ("data", "Make a backup of the database and print where it is; works while the bot runs."),
    "restore": ("data", "Put a backup in the database's place, while the bot is stopped; the present one is kept."),
    "forget": ("data", "Erase everything of a person from the database and its backups, while the bot is stopped."),
    "train": (
        "train",
        "Train an adapter from a file of ratings, judge it, and say where it and its report are; needs no bot.",
    ),
    "stats": ("results", "Print how texts were liked, by version, kind, day and emoji; works while the bot runs."),
    "generate": ("write", "Write about a topic, at the terminal; works while the bot runs, and nothing is stored."),
    "report": (
        "results",
        "Write a page of what is liked and of every run with its curves, for a browser; works while the bot runs.",
    ),
    "detect": (
        "write",
        "Say whether a text carries the watermark of this installation (WATERMARK=on); works while the bot runs.",
    ),
    "keys": ("data", "The keys of the texts."),
    "kinds": ("write", "What people can ask for (KINDS_FILE)."),
    "models": ("models", "The versions, and models side by side."),
}
"""The module beside this one whose `app` has it, and what the list of commands says: the first sentence of its help."""


def module_of(command: str) -> ModuleType:
    """The module of a command, imported."""
    return import_module(f"bot.cli.{COMMANDS[command][0]}")


class _Commands(TyperGroup):
    """Lists and completes the commands from the table; imports the one that is called, and explains its errors."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - Typer's own
        super().__init__(**attributes)
        for name, (_, says) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=says))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - Typer does not show its types
        """The command that is called, from its module."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        return name, get_group(module_of(name).app).commands[name], rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the same
        """Run the command; what it raises is told in a sentence, if there is one for it."""
        from bot.cli.terminal import explained  # noqa: PLC0415 - the list of commands needs none of it

        with explained():
            return super().invoke(ctx)


app = typer.Typer(name="ovation", cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def ovation() -> None:
    """A Telegram bot that writes for a chat and learns every night from the reactions it gets."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. What the streams cannot show is escaped as in JSON, and one that is closed is no fault.

    What it and its children write is private, whatever umask they were started under.
    """
    os.umask(0o077)  # `engine.process.PRIVATE`, which --help is not to wait for
    _open_streams()
    status: Any = 0
    try:
        app(arguments)
    except SystemExit as end:
        status = end.code
    except OSError as error:  # the help is printed before any command is called
        status = _told(error)
    flushed = _flush()
    sys.exit(status or flushed)


def _open_streams() -> None:
    codecs.register_error(_ESCAPES, _escape)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us; children must not take a file of ours for it
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdin" else _ESCAPES)


_ESCAPES: Final = "ovation.escapes"


def _escape(error: UnicodeError) -> tuple[str, int]:
    """An error handler for codecs: an object of JSON that is printed in any encoding stays what it was."""
    assert isinstance(error, UnicodeEncodeError), "nothing is read with it"
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


def _flush() -> int:
    """Write what is still to be written; the exit status, 1 where nobody takes it."""
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            status = _told(error)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or the interpreter would complain at its end
    return status


def _told(error: OSError) -> int:
    """The exit status, after a sentence: but who reads a pipe no more knows that."""
    if error.errno != errno.EPIPE:
        with suppress(OSError):
            sys.stderr.write(f"The output cannot be written: {error.strerror}.\n")
    return 1


if __name__ == "__main__":
    main()
