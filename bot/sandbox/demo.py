"""`ovation demo`: the stand-in, a real bot, a web chat for people, and if wanted an audience for some nights.

Everything is on loopback and in a temporary folder, which stays only where something goes wrong. Knows the order of the
show; the bot is the very code of `ovation run`, in a process of its own.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bot.common.errors import DemoError, StartError
from bot.reporting.charts import draw_satisfaction
from bot.sandbox.child import BotChild
from bot.sandbox.observer import Observer
from bot.sandbox.people.crowds import Audience
from bot.sandbox.people.judges import Temper
from bot.sandbox.people.tastes import TASTES, Taste
from bot.sandbox.season import Season
from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import SandboxError, Standstill

ADMIN_ID = 42
ROOM = "Tea room"

_SETTINGS = {
    "ADMIN_IDS": str(ADMIN_ID),
    "MIN_RATINGS": "20",
    "TENURE_DAYS": "0",  # everybody in the demo is new
    "PROMPTS_PER_HOUR": "0",
    "TRAIN_NICENESS": "0",  # the audience waits for the night to end
    "PACING": "off",  # the stand-in holds nobody back, and an evening would last hours
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the demo is to do."""

    audience: int
    nights: int
    port: int
    once: bool
    chart: Path
    seed: int
    taste: str | None = None
    """The name of the audience's taste; None lets the seed choose."""
    silence: float = 0.0
    """The share of people who never react."""
    train_minutes: float = 20.0
    """How long each night may train."""
    train_steps: int = 14
    """How many steps each stage of a night may take; 0: as many as in any bot's."""


def run_demo(plan: Plan) -> None:
    """Run the demo: to the end of the last night, or until Ctrl-C where somebody sits at a terminal or no night comes.

    Raises:
        StartError: there is no such taste, or the port is taken.
        DemoError: the bot does not start, ends by itself, or stands still.
    """
    _taste_of(plan)  # a wrong name is told before anything starts
    try:
        asyncio.run(_demo(plan))
    except SandboxError as error:
        raise StartError(str(error)) from error


async def _demo(plan: Plan) -> None:
    console = Console(highlight=False, soft_wrap=True)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    show = asyncio.create_task(_show(plan, console, stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((show, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not show.done():
        console.print("\nStopping.")
        show.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await show


async def _show(plan: Plan, console: Console, stop: asyncio.Event) -> None:
    stays = not plan.once and (sys.stdout.isatty() or not plan.audience)
    async with _stage(plan) as (bot, observer):
        sandbox = bot.sandbox
        console.print(f"The bot is ready. Open [bold]{sandbox.url}[/] in a browser; every tab is another person.")
        console.print(f"To /retrain, open {sandbox.url}/?as=admin and write to the bot in private.")
        console.print(f"Its data is there until it ends: DATA_DIR={observer.data_dir} ovation stats")
        if plan.audience:
            await _while_it_lives(bot, _play(plan, console, sandbox, observer))
        if stays:
            console.print("Ctrl-C ends the demo.")
            await _while_it_lives(bot, stop.wait())


async def _while_it_lives(bot: BotChild, show: Awaitable[object]) -> None:
    """See the show through.

    Raises:
        Standstill: the bot has ended meanwhile, or the show says so.
    """
    showing, ending = asyncio.ensure_future(show), asyncio.create_task(bot.ended())
    try:
        await asyncio.wait({showing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            raise Standstill(ending.result())
        await showing
    finally:
        showing.cancel()
        ending.cancel()
        await asyncio.gather(showing, ending, return_exceptions=True)


@asynccontextmanager
async def _stage(plan: Plan) -> AsyncIterator[tuple[BotChild, Observer]]:
    """A ready bot in a sandbox, and a panel that is kept up to date."""
    async with Sandbox(port=plan.port, admin_id=ADMIN_ID, room=ROOM) as sandbox:
        with _folder() as folder:
            bot = BotChild(sandbox, folder, _SETTINGS | _budget(plan))
            observer = Observer(sandbox, folder / "data")
            try:
                await bot.start()
                watching = asyncio.create_task(observer.watch())
                try:
                    yield bot, observer
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
            finally:
                if bot.process is not None:
                    await bot.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder; what goes wrong in it leaves it behind, to be looked at.

    Raises:
        DemoError: what went wrong, and where it can be looked at.
    """
    folder, is_kept = Path(tempfile.mkdtemp(prefix="ovation-demo-")), False
    try:
        yield folder
    except (SandboxError, StartError) as error:
        is_kept = True
        raise DemoError(
            f"{error} The data is kept: see {folder / 'bot.log'}, or DATA_DIR={folder / 'data'} ovation stats."
        ) from error
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


async def _play(plan: Plan, console: Console, sandbox: Sandbox, observer: Observer) -> None:
    """An audience comes and uses the bot for some nights; the chart shows how they liked it."""
    assert sandbox.room is not None, "the demo's sandbox has a room"
    taste, temper = _taste_of(plan), Temper(lurkers=plan.silence)
    audience = Audience(sandbox.world, sandbox.room, size=plan.audience, taste=taste, seed=plan.seed, temper=temper)
    await audience.opt_in()
    console.print(f"{plan.audience} people with a taste that the bot is not told are in the group “{ROOM}”.")
    admin = sandbox.world.add_person("Admin", id=ADMIN_ID)
    season = Season(audience=audience, admin=admin, sandbox=sandbox, observer=observer, console=console)
    await season.play(plan.nights)
    title = f"{plan.audience} simulated people, {plan.nights} nights: how they like what the bot writes"
    draw_satisfaction(observer.evenings, plan.chart, title=title)
    console.print(f"The chart is in {plan.chart}; the hidden taste was “{taste.name}”.")


def _budget(plan: Plan) -> dict[str, str]:
    """What a night may take, as the bot's settings."""
    return {"TRAIN_MINUTES": str(plan.train_minutes), "TRAIN_STEPS": str(plan.train_steps)}


def _taste_of(plan: Plan) -> Taste:
    name = plan.taste or list(TASTES)[plan.seed % len(TASTES)]
    if name not in TASTES:
        raise StartError(f"There is no taste “{name}”: choose one of {', '.join(TASTES)}.")
    return TASTES[name]
