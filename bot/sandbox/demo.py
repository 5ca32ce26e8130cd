"""`ovation demo`: the stand-in, a real bot, a web chat for people, and if wanted an audience for some nights.

Everything is in a temporary folder and on loopback. Knows the order of the show; the bot is the very code of
`ovation run`, in a process of its own.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.charts import Satisfaction, draw_satisfaction
from bot.errors import StartError
from bot.sandbox.audience import Audience
from bot.sandbox.child import BotChild
from bot.sandbox.errors import SandboxError
from bot.sandbox.observer import Observer
from bot.sandbox.server import Sandbox
from bot.sandbox.tastes import TASTES

ADMIN_ID = 42
ROOM = "Tea room"
RUN_SECONDS = 600.0
PROMPTS_A_PERSON = 16
RATERS_A_TEXT = 4
_AT_ONCE = 12

_SETTINGS = {
    "ADMIN_IDS": str(ADMIN_ID),
    "MIN_RATINGS": "20",
    "TENURE_DAYS": "0",  # everybody in the demo is new
    "PROMPTS_PER_HOUR": "0",
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


def run_demo(plan: Plan) -> None:
    """Run the demo: to the end of the last night, or until Ctrl-C where somebody sits at a terminal.

    Raises:
        StartError: the port is taken, or the bot does not start.
    """
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
    stays = not plan.once and sys.stdout.isatty()
    async with _stage(plan) as (sandbox, observer):
        console.print(f"The bot is ready. Open [bold]{sandbox.url}[/] in a browser; every tab is another person.")
        console.print(f"To /retrain, open {sandbox.url}/?as=admin and write to the bot in private.")
        if plan.audience:
            await _season(plan, console, sandbox, observer)
        if stays:
            console.print("Ctrl-C ends the demo.")
            await stop.wait()


@asynccontextmanager
async def _stage(plan: Plan) -> AsyncIterator[tuple[Sandbox, Observer]]:
    """A sandbox with a ready bot and a panel that is kept up to date."""
    with tempfile.TemporaryDirectory(prefix="ovation-demo-") as name:
        folder = Path(name)
        async with Sandbox(port=plan.port, admin_id=ADMIN_ID, room=ROOM) as sandbox:
            bot = BotChild(sandbox, folder, _SETTINGS)
            observer = Observer(sandbox, folder / "data")
            try:
                await bot.start()
                watching = asyncio.create_task(observer.watch())
                try:
                    yield sandbox, observer
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
            finally:
                if bot.process is not None:
                    await bot.stop()


async def _season(plan: Plan, console: Console, sandbox: Sandbox, observer: Observer) -> None:
    """An audience uses the bot evening after evening; between two evenings it learns."""
    assert sandbox.room is not None, "the demo's sandbox has a room"
    taste = list(TASTES.values())[plan.seed % len(TASTES)]
    audience = Audience(sandbox.world, sandbox.room, size=plan.audience, taste=taste, seed=plan.seed)
    await audience.opt_in()
    console.print(f"{plan.audience} people with a taste that the bot is not told are in the group “{ROOM}”.")
    prompts = PROMPTS_A_PERSON * plan.audience
    verdicts = []
    with _progress(console) as bars:
        for night in range(plan.nights + 1):
            label = f"Evening {night + 1}"
            bar = bars.add_task(f"{label}: people prompt and rate", total=prompts)
            evening = await audience.evening(
                prompts=prompts, raters_per_message=RATERS_A_TEXT, at_once=_AT_ONCE,
                progress=partial(_advance, bars, bar),
            )  # fmt: skip
            version = await _serving(sandbox)
            observer.evenings.append(Satisfaction(label, version, evening.likes, evening.dislikes))
            if night < plan.nights:
                bar = bars.add_task(f"Night {night + 1}: the bot learns", total=None)
                verdicts.append(await _retrain(sandbox))
                bars.update(bar, total=1, completed=1)
    _report(console, observer.evenings, verdicts)
    title = f"{plan.audience} simulated people, {plan.nights} nights: how they like what the bot writes"
    draw_satisfaction(observer.evenings, plan.chart, title=title)
    console.print(f"The chart is in {plan.chart}; the hidden taste was “{taste.name}”.")


async def _serving(sandbox: Sandbox) -> str:
    """The version that answers now, as the admin reads it from a footer."""
    admin = sandbox.world.add_person("Admin", id=ADMIN_ID)
    asked = sandbox.world.say(admin, sandbox.world.private_chat(admin), "/title the state of things")
    answer = await sandbox.world.until(
        lambda: next((each for each in sandbox.world.answers(asked) if each.button("up:")), None), RUN_SECONDS
    )
    return answer.text.rpartition("\n\n")[2].split(" · ")[-2]


async def _retrain(sandbox: Sandbox) -> str:
    """The admin sends /retrain; returns the verdict as the admin reads it."""
    admin = sandbox.world.add_person("Admin", id=ADMIN_ID)
    asked = sandbox.world.say(admin, sandbox.world.private_chat(admin), "/retrain")
    verdicts = ("promoted.", "canary.", "rejected.", "skipped.", "failed.")
    answer = await sandbox.world.until(
        lambda: next(
            (each for each in sandbox.world.answers(asked) if any(word in each.text for word in verdicts)), None
        ),
        RUN_SECONDS,
    )
    return answer.text


def _advance(bars: Progress, bar: TaskID, done: int, _total: int) -> None:
    bars.update(bar, completed=done)


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console)


def _report(console: Console, evenings: list[Satisfaction], verdicts: list[str]) -> None:
    table = Table("", "version", "ratings", "satisfaction", "that night")
    for index, evening in enumerate(evenings):
        verdict = verdicts[index] if index < len(verdicts) else ""
        table.add_row(evening.label, evening.version, str(evening.ratings), f"{evening.share:.0%}", verdict)
    console.print(table)
