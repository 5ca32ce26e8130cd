"""`ovation kinds`: what can be asked for, and whether a file of kinds is right. The same rules as in `bot.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.terminal import give_up
from bot.common.kinds import SHIPPED, KindsUnusable, load_kinds

app = typer.Typer()
kinds = typer.Typer(help="What people can ask for (KINDS_FILE).", no_args_is_help=True)
app.add_typer(kinds, name="kinds")


@kinds.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file of kinds; without it, the shipped one.")] = SHIPPED,
) -> None:
    """Say what is wrong in a file of kinds, with lines; nothing is changed."""
    try:
        read = load_kinds(file)
    except KindsUnusable as error:
        give_up("\n".join(error.faults), status=1)
    names = ", ".join(f"/{name}" for name in read.by_name)
    typer.echo(f"{file} is right: {names}. Plain text is for /{read.default.name}.")
