"""A season of the demo: evening after evening people use the bot, and in each night between it learns.

Knows the order of evenings and nights, and the table of them. Knows nothing of how the bot is started.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.reporting.charts import Satisfaction
from bot.sandbox.observer import Observer
from bot.sandbox.patience import PATIENCE_SECONDS, unchanging, while_moving
from bot.sandbox.people.crowds import Audience, Evening
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Person, SeenMessage

PROMPTS_A_PERSON = 12
RATERS_A_TEXT = 4
_AT_ONCE = 12
_VERDICTS = ("promoted.", "canary.", "rejected.", "skipped.", "failed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """One audience, and the admin who sends the bot to school; what happens is printed as it happens."""

    audience: Audience
    admin: Person
    sandbox: Sandbox
    observer: Observer
    console: Console
    patience_seconds: float = PATIENCE_SECONDS
    """How long nothing may move."""
    evenings: list[tuple[Satisfaction, Evening]] = field(default_factory=list)

    async def play(self, nights: int) -> None:
        """One evening more than there are nights; the evenings stand on the observer's panel, at the end in a table.

        However it ends, the table shows the evenings that there were.

        Raises:
            Standstill: the bot does not answer any more, or a night does not go on.
        """
        try:
            with _bars(self.console) as bars:
                for number in range(1, nights + 2):
                    await self._evening(number, bars)
                    if number <= nights:
                        await self._night(number, bars)
        finally:
            if self.evenings:
                self.console.print(self._table())

    async def _evening(self, number: int, bars: Progress) -> None:
        label, prompts = f"Evening {number}", PROMPTS_A_PERSON * len(self.audience.judges)
        bar = self._begin(bars, f"{label}: people prompt and rate", total=prompts)
        evening = await self.audience.evening(
            prompts=prompts, raters_per_message=RATERS_A_TEXT, at_once=_AT_ONCE, progress=partial(_advance, bars, bar)
        )
        shown = Satisfaction(label, await self._serving(), evening.likes, evening.dislikes)
        self.observer.evenings.append(shown)
        self.evenings.append((shown, evening))
        bars.remove_task(bar)
        self._tell(f"{label}: {evening.generations} texts, {evening.satisfaction:.0%} liked (version {shown.version})")

    async def _night(self, number: int, bars: Progress) -> None:
        bar = self._begin(bars, f"Night {number}: the bot learns", total=1)

        def has_ended(answer: SeenMessage) -> bool:
            """Asked whenever something has happened, so that the bar follows the run."""
            bars.update(bar, completed=self.observer.share)
            return any(word in answer.text for word in _VERDICTS)

        self.observer.share = 0.0
        verdict = await self._answer(
            "/retrain", has_ended, pulse=self.observer.pulse, still="The night has not gone on"
        )
        bars.remove_task(bar)
        self._tell(f"Night {number}: {verdict.text}")

    async def _serving(self) -> str:
        """The version that answers now, as the admin reads it from a footer."""
        answer = await self._answer(
            "/title the state of things", lambda answer: answer.button("up:") is not None,
            still="The bot has not answered its admin",
        )  # fmt: skip
        return answer.text.rpartition("\n\n")[2].split(" · ")[-2]

    async def _answer(
        self,
        command: str,
        is_it: Callable[[SeenMessage], bool],
        *,
        pulse: Callable[[], object] = unchanging,
        still: str,
    ) -> SeenMessage:
        """What the bot answers its admin in the end."""
        world = self.sandbox.world
        asked = world.say(self.admin, world.private_chat(self.admin), command)
        return await while_moving(
            world, lambda: next(filter(is_it, world.answers(asked)), None),
            pulse=pulse, patience_seconds=self.patience_seconds, still=still,
        )  # fmt: skip

    def _begin(self, bars: Progress, label: str, *, total: int) -> TaskID:
        """A bar, or a line where nobody can see a bar."""
        if bars.disable:
            self._tell(f"{label} …")
        return bars.add_task(label, total=total)

    def _tell(self, line: str) -> None:
        self.console.print(line, markup=False)

    def _table(self) -> Table:
        table = Table("", "version", "ratings", "satisfaction", "hidden liking", "diversity")
        for shown, evening in self.evenings:
            shares = (f"{share:.0%}" for share in (evening.satisfaction, evening.true_liking, evening.distinct_2))
            table.add_row(shown.label, shown.version, str(evening.ratings), *shares)
        table.caption = (
            "Satisfaction: likes among the ratings. Hidden liking: the share of people who like such texts; the bot is"
            " not told. Diversity: different pairs of words among 1,000."
        )
        return table


def _advance(bars: Progress, bar: TaskID, done: int, _total: int) -> None:
    bars.update(bar, completed=done)


def _bars(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)
