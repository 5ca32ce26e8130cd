"""`ovation demo`: the stand-in, a real bot, a web chat for people, and if wanted an audience for some nights.

Everything is on loopback and in a temporary folder, which stays only where something goes wrong. The bot is the very
code of `ovation run`, in a process of its own.
"""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.common.errors import DemoError, StartError
from bot.common.tasks import cancel
from bot.reporting.charts import Satisfaction, draw_satisfaction
from bot.sandbox.bot_process import BotChild
from bot.sandbox.observer import Observer
from bot.sandbox.people.audience import Audience, Evening
from bot.sandbox.people.raters import Temper
from bot.sandbox.people.tastes import TASTES, Taste
from bot.sandbox.server import Sandbox, in_background
from bot.sandbox.world.errors import NoProgress, SandboxError
from bot.sandbox.world.records import SeenMessage

ADMIN_ID = 42
ROOM = "Tea room"
PROMPTS_A_PERSON = 12
RATERS_A_TEXT = 4
_AT_ONCE = 12
_VERDICTS = ("promoted.", "canary.", "rejected.", "skipped.", "failed.")
_SETTINGS = {
    "ADMIN_IDS": str(ADMIN_ID),
    "MIN_RATINGS": "20",
    "TENURE_DAYS": "0",  # everybody in the demo is new
    "PROMPTS_PER_HOUR": "0",
    "TRAIN_NICENESS": "0",  # the audience waits for the night to end
    "PACING": "off",  # the stand-in holds nobody back, and an evening would last hours
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What the demo is to do."""

    audience: int
    nights: int
    port: int
    once: bool
    chart: Path
    seed: int
    model: str
    """As MODEL names it, ready to load; a folder by its absolute path."""
    taste: str | None = None
    """The name of the audience's taste; None lets the seed choose."""
    silence: float = 0.0
    """The share of people who never react."""
    train_minutes: float = 20.0
    """How long each night may train."""
    train_steps: int = 14
    """How many steps each stage of a night may take; 0: as many as in any bot's."""

    def hidden_taste(self) -> Taste:
        """What the audience likes.

        Raises:
            StartError: there is no such taste.
        """
        name = self.taste or list(TASTES)[self.seed % len(TASTES)]
        if name not in TASTES:
            raise StartError(f"There is no taste “{name}”: choose one of {', '.join(TASTES)}.")
        return TASTES[name]


def run_demo(plan: DemoPlan) -> None:
    """Run the demo: to the end of the last night, or until Ctrl-C where somebody sits at a terminal or no night comes.

    Raises:
        StartError: there is no such taste, or the port is taken.
        DemoError: the bot does not start, ends by itself, or stands still.
    """
    plan.hidden_taste()  # a wrong name is told before anything starts
    try:
        asyncio.run(_demo(plan))
    except SandboxError as error:
        raise StartError(str(error)) from error


async def _demo(plan: DemoPlan) -> None:
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


async def _show(plan: DemoPlan, console: Console, stop: asyncio.Event) -> None:
    stays = not plan.once and (sys.stdout.isatty() or not plan.audience)
    async with _running_bot(plan) as (bot, observer):
        sandbox = bot.sandbox
        console.print(f"The bot is ready. Open [bold]{sandbox.url}[/] in a browser; every tab is another person.")
        console.print(f"To /retrain, open {sandbox.url}/?as=admin and write to the bot in private.")
        console.print(f"Its data is there until it ends: DATA_DIR={observer.data_dir} ovation stats")
        if plan.audience:
            await _unless_bot_ends(bot, _play(plan, console, sandbox, observer))
        if stays:
            console.print("Ctrl-C ends the demo.")
            await _unless_bot_ends(bot, stop.wait())


async def _unless_bot_ends(bot: BotChild, show: Coroutine[object, object, object]) -> None:
    """See the show through.

    Raises:
        NoProgress: the bot has ended meanwhile, or the show says so.
    """
    showing, ending = asyncio.create_task(show), asyncio.create_task(bot.ended())
    try:
        await asyncio.wait({showing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            raise NoProgress(ending.result())
        await showing
    finally:
        await cancel(showing, ending)


@contextlib.asynccontextmanager
async def _running_bot(plan: DemoPlan) -> AsyncIterator[tuple[BotChild, Observer]]:
    """A ready bot in a sandbox, and a panel that is kept up to date."""
    budget = {"TRAIN_MINUTES": str(plan.train_minutes), "TRAIN_STEPS": str(plan.train_steps)}
    async with Sandbox(port=plan.port, admin_id=ADMIN_ID, room=ROOM) as sandbox:
        with _folder() as folder:
            bot = BotChild(sandbox, folder, _SETTINGS | budget | {"MODEL": plan.model})
            observer = Observer(sandbox, folder / "data")
            try:
                await bot.start()
                async with in_background(observer.watch()):
                    yield bot, observer
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


async def _play(plan: DemoPlan, console: Console, sandbox: Sandbox, observer: Observer) -> None:
    """An audience comes and uses the bot for some nights; the chart shows how they liked it."""
    assert sandbox.room is not None, "the demo's sandbox has a room"
    taste, temper = plan.hidden_taste(), Temper(lurkers=plan.silence)
    audience = Audience(sandbox.world, sandbox.room, size=plan.audience, taste=taste, seed=plan.seed, temper=temper)
    await audience.opt_in()
    console.print(f"{plan.audience} people with a taste that the bot is not told are in the group “{ROOM}”.")
    await Simulation(audience, sandbox, observer, console).run(plan.nights)
    title = f"{plan.audience} simulated people, {plan.nights} nights: how they like what the bot writes"
    draw_satisfaction(observer.evenings, plan.chart, title=title)
    console.print(f"The chart is in {plan.chart}; the hidden taste was “{taste.name}”.")


class Simulation:
    """Evening after evening the audience uses the bot, and in each night between it learns, sent by its admin.

    What happens is printed as it happens.
    """

    def __init__(self, audience: Audience, sandbox: Sandbox, observer: Observer, console: Console) -> None:
        self._audience = audience
        self._world = sandbox.world
        self._admin = sandbox.world.add_person("Admin", id=ADMIN_ID)
        self._observer = observer
        self._console = console
        self._evenings: list[tuple[Satisfaction, Evening]] = []

    async def run(self, nights: int) -> None:
        """One evening more than there are nights; the evenings stand on the observer's panel, at the end in a table.

        However it ends, the table shows the evenings that there were.

        Raises:
            NoProgress: the bot does not answer any more, or a night does not go on.
        """
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        try:
            with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
                for number in range(1, nights + 2):
                    await self._evening(number, bars)
                    if number <= nights:
                        await self._night(number, bars)
        finally:
            if self._evenings:
                self._console.print(self._table())

    async def _evening(self, number: int, bars: Progress) -> None:
        label, prompts = f"Evening {number}", PROMPTS_A_PERSON * len(self._audience.raters)
        bar = self._begin(bars, f"{label}: people prompt and rate", total=prompts)
        evening = await self._audience.evening(
            prompts=prompts, raters_per_message=RATERS_A_TEXT, at_once=_AT_ONCE,
            progress=lambda done: bars.update(bar, completed=done),
        )  # fmt: skip
        shown = Satisfaction(label, await self._serving(), evening.likes, evening.dislikes)
        self._observer.evenings.append(shown)
        self._evenings.append((shown, evening))
        bars.remove_task(bar)
        self._tell(f"{label}: {evening.generations} texts, {evening.satisfaction:.0%} liked (version {shown.version})")

    async def _night(self, number: int, bars: Progress) -> None:
        bar = self._begin(bars, f"Night {number}: the bot learns", total=1)

        def has_ended(answer: SeenMessage) -> bool:
            """Asked whenever something has happened, so that the bar follows the run."""
            bars.update(bar, completed=self._observer.share)
            return any(word in answer.text for word in _VERDICTS)

        self._observer.share = 0.0
        verdict = await self._answer(
            "/retrain", has_ended, activity=self._observer.activity, complaint="The night has not gone on"
        )
        bars.remove_task(bar)
        self._tell(f"Night {number}: {verdict.text}")

    async def _serving(self) -> str:
        """The version that answers now, as the admin reads it from a footer."""
        answer = await self._answer(
            "/title the state of things", lambda answer: answer.button("up:") is not None,
            complaint="The bot has not answered its admin",
        )  # fmt: skip
        return answer.text.rpartition("\n\n")[2].split(" · ")[-2]

    async def _answer(
        self,
        command: str,
        is_it: Callable[[SeenMessage], bool],
        *,
        activity: Callable[[], object] = lambda: None,
        complaint: str,
    ) -> SeenMessage:
        """What the bot answers its admin in the end."""
        world = self._world
        asked = world.say(self._admin, world.private_chat(self._admin), command)
        return await world.until_or_stalled(
            lambda: next(filter(is_it, world.answers(asked)), None), activity=activity, complaint=complaint
        )

    def _begin(self, bars: Progress, label: str, *, total: int) -> TaskID:
        """A bar, or a line where nobody can see a bar."""
        if bars.disable:
            self._tell(f"{label} …")
        return bars.add_task(label, total=total)

    def _tell(self, line: str) -> None:
        self._console.print(line, markup=False)

    def _table(self) -> Table:
        table = Table("", "version", "ratings", "satisfaction", "hidden liking", "diversity")
        for shown, evening in self._evenings:
            shares = (f"{share:.0%}" for share in (evening.satisfaction, evening.true_liking, evening.distinct_2))
            table.add_row(shown.label, shown.version, str(evening.ratings), *shares)
        table.caption = (
            "Satisfaction: likes among the ratings. Hidden liking: the share of people who like such texts; the bot is"
            " not told. Diversity: different pairs of words among 1,000."
        )
        return table
