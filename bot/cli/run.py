"""`ovation run`: the bot itself. `ovation demo`: everything in a browser, without a token."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.terminal import ready_model
from bot.common.log import set_up_logging
from bot.common.settings import AUTO, DataSettings, Settings
from bot.common.timing import USUAL, Timing
from bot.start import run as run_bot
from engine.api.models import SHIPPED, STARTER

app = typer.Typer()


@app.command()
def run() -> None:
    """Run the bot with the settings from the environment and .env."""
    start_bot()


def start_bot(timing: Timing = USUAL) -> None:
    """Run the bot until it is told to end."""
    settings = Settings.load()
    set_up_logging(settings.log_level, token=settings.telegram_bot_token.get_secret_value())
    asyncio.run(run_bot(ready_model(settings, logging.getLogger(__name__).info), timing))


@app.command()
def demo(
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
    train_minutes: Annotated[
        float | None,
        typer.Option(min=0.1, max=60, help="How long each night may train; else 20, and 4 where nobody but you waits."),
    ] = None,
    train_steps: Annotated[int, typer.Option(min=0, help="And how many steps in each stage; 0: as a bot's.")] = 14,
    model: Annotated[
        str | None,
        typer.Option(
            help="Which model writes, as MODEL names it; else MODEL, or with an audience the starter, whose nights take"
            " minutes."
        ),
    ] = None,
) -> None:
    """Try everything in a browser, without a token: the real bot against a local stand-in for Telegram."""
    from bot.sandbox.demo import DemoPlan, run_demo  # noqa: PLC0415 - a stand-in that a bot in earnest has no use for

    plan = DemoPlan(
        audience=audience, nights=nights, port=port, once=once, chart=chart, seed=seed, taste=taste, silence=silence,
        train_minutes=train_minutes or (20.0 if audience else 4.0), train_steps=train_steps,
        model=_demo_model(model, has_audience=audience > 0),
    )  # fmt: skip
    run_demo(plan)


def _demo_model(named: str | None, *, has_audience: bool) -> str:
    """The model for the demo, ready to load from any folder; converted ones stay in the usual data folder."""
    settings = DataSettings.load()
    if named is None:
        named = STARTER if has_audience and settings.model == AUTO else settings.model
    model = ready_model(settings.model_copy(update={"model": named})).model
    folder = Path(model)
    return str(folder.absolute()) if model not in SHIPPED and folder.is_dir() else model
