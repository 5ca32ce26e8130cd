"""`ovation demo`: everything in a browser. The same rules as in `bot.cli`."""

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.terminal import give_up
from bot.common.errors import OvationError
from bot.sandbox.demo import Plan, run_demo
from storage.db.errors import StorageError

app = typer.Typer()


@app.command()
def demo(  # noqa: PLR0913, PLR0917 - one argument for each option
    audience: Annotated[int, typer.Option(min=0, max=200, help="Simulated people with a hidden taste.")] = 0,
    nights: Annotated[int, typer.Option(min=1, max=30, help="How many nights they use the bot.")] = 3,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the web chat; 0 takes a free one.")] = 8080,
    once: Annotated[bool, typer.Option("--once", help="End after the last night, also in a terminal.")] = False,
    chart: Annotated[Path, typer.Option(help="Where the chart of satisfaction per night is written.")] = Path(
        "satisfaction.png"
    ),
    seed: Annotated[int, typer.Option(help="Another seed, another audience.")] = 1,
    taste: Annotated[
        str | None, typer.Option(help="What they like, such as brief or poetic; else by the seed.")
    ] = None,
    silence: Annotated[float, typer.Option(min=0, max=0.95, help="The share of them who never react.")] = 0.0,
    train_minutes: Annotated[float, typer.Option(min=0.1, max=60, help="How long each night may train.")] = 20.0,
    train_steps: Annotated[int, typer.Option(min=0, help="And how many steps in each stage; 0: as a bot's.")] = 14,
) -> None:
    """Try everything in a browser, without a token: the real bot against a local stand-in for Telegram."""
    try:
        run_demo(
            Plan(
                audience=audience, nights=nights, port=port, once=once, chart=chart, seed=seed, taste=taste,
                silence=silence, train_minutes=train_minutes, train_steps=train_steps,
            )
        )  # fmt: skip
    except (OvationError, StorageError) as error:
        give_up(str(error), status=getattr(error, "exit_status", 1))
