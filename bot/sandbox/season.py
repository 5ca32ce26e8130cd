"""A season of the demo: evening after evening people use the bot, and in each night between it learns.

Knows the order of evenings and nights, and the table of them. Knows nothing of how the bot is started.
"""

from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bot.charts import Satisfaction
from bot.sandbox.audience import Audience, Evening
from bot.sandbox.observer import Observer
from bot.sandbox.records import Person
from bot.sandbox.server import Sandbox

RUN_SECONDS = 600.0
PROMPTS_A_PERSON = 16
RATERS_A_TEXT = 4
_AT_ONCE = 12


async def play_season(
    audience: Audience, *, nights: int, admin: Person, sandbox: Sandbox, observer: Observer, console: Console
) -> None:
    """One evening more than there are nights; the evenings stand on the observer's panel, at the end in a table.

    Then the verdict of each night is printed, as the admin reads it.

    Raises:
        TimeoutError: the bot does not answer, or a night does not end.
    """
    evenings, verdicts = [], []
    prompts = PROMPTS_A_PERSON * len(audience.judges)
    with _progress(console) as bars:
        for night in range(nights + 1):
            label = f"Evening {night + 1}"
            bar = bars.add_task(f"{label}: people prompt and rate", total=prompts)
            evening = await audience.evening(
                prompts=prompts, raters_per_message=RATERS_A_TEXT, at_once=_AT_ONCE,
                progress=partial(_advance, bars, bar),
            )  # fmt: skip
            shown = Satisfaction(label, await _serving(sandbox, admin), evening.likes, evening.dislikes)
            observer.evenings.append(shown)
            evenings.append((shown, evening))
            if night < nights:
                bar = bars.add_task(f"Night {night + 1}: the bot learns", total=None)
                verdicts.append(await _retrain(sandbox, admin))
                bars.update(bar, total=1, completed=1)
    console.print(_table(evenings))
    for night, verdict in enumerate(verdicts, start=1):
        console.print(f"Night {night}: {verdict}", markup=False)


async def _serving(sandbox: Sandbox, admin: Person) -> str:
    """The version that answers now, as the admin reads it from a footer."""
    asked = sandbox.world.say(admin, sandbox.world.private_chat(admin), "/title the state of things")
    answer = await sandbox.world.until(
        lambda: next((each for each in sandbox.world.answers(asked) if each.button("up:")), None), RUN_SECONDS
    )
    return answer.text.rpartition("\n\n")[2].split(" · ")[-2]


async def _retrain(sandbox: Sandbox, admin: Person) -> str:
    """The admin sends /retrain; returns the verdict as the admin reads it."""
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


def _table(evenings: Sequence[tuple[Satisfaction, Evening]]) -> Table:
    table = Table("", "version", "ratings", "satisfaction", "hidden liking", "diversity")
    for shown, evening in evenings:
        shares = (f"{share:.0%}" for share in (evening.satisfaction, evening.true_liking, evening.distinct_2))
        table.add_row(shown.label, shown.version, str(evening.ratings), *shares)
    table.caption = (
        "Satisfaction: likes among the ratings. Hidden liking: the share of people who like such texts; the bot is not"
        " told. Diversity: different pairs of words among 1,000."
    )
    return table
