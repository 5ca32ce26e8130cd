"""The operator's command for learning by hand: train, outside the bot. The same rules as in `bot.cli`."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bot.cli.terminal import give_up
from bot.common.i18n import say
from bot.learning.trainer import run_config, train
from bot.reporting.run_messages import reason_sentence, share_done
from engine.data.dataset import dump_dataset
from engine.data.trl_format import read_ratings
from engine.errors import RunError
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER, REPORT_PAGE, SKIPPED, RunReport
from engine.runs.run_dir import Progress as Step

app = typer.Typer()


@app.command(name="train")
def train_by_hand(
    source: Annotated[
        Path,
        typer.Option("--from", help="Ratings: a run's dataset.jsonl, or unpaired preferences as TRL's KTO has them."),
    ],
    out: Annotated[Path | None, typer.Option(help="A new folder for the run; runs/<time> without it.")] = None,
    model: Annotated[str, typer.Option(help="starter, a folder with a Hugging Face model, or a hub id.")] = "starter",
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long to train at most.")] = 20.0,
) -> None:
    """Train an adapter from a file of ratings, judge it, and say where it and its report are; needs no bot."""
    folder = out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        rows = read_ratings(source)
    except RunError as error:
        give_up(str(error), status=2)
    try:
        folder.mkdir(parents=True)
        write_config(folder, run_config(model, minutes=minutes))
    except FileExistsError:
        give_up(f"{folder} exists already: name a new folder with --out.", status=2)
    except OSError as error:
        give_up(f"{folder} cannot be written: {error.strerror}.", status=1)
    try:
        report = asyncio.run(_train(folder, dump_dataset(rows)))
    except KeyboardInterrupt:
        give_up(f"Stopped. What there is of the run lies in {folder}.", status=1)
    except MemoryError:
        give_up(say("en", "reason-memory"), status=1)
    except RunError as error:
        give_up(str(error), status=1)
    _tell(report, folder)


async def _train(folder: Path, dataset: bytes) -> RunReport:
    """Train, with a bar that follows."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(say("en", "stage-starting"), total=1.0, loss="")

        def show(step: Step) -> None:
            loss = "" if step.loss is None else f"loss {step.loss:.3f}"
            bar.update(task, completed=share_done(step), description=say("en", f"stage-{step.stage}"), loss=loss)

        report = await train(folder, dataset, on_progress=show)
        bar.update(task, completed=1.0)
        return report


def _tell(report: RunReport, folder: Path) -> None:
    code = report.reason.code
    verdict = "Passed" if report.passed else "Skipped" if code in SKIPPED else "Rejected"
    numbers = {**report.reason.numbers, "ratings": float(report.counts.get("ratings", 0))}
    typer.echo(f"{verdict}. {reason_sentence(code, numbers, 'en')}")
    typer.echo(f"Report: {folder / REPORT_PAGE}")
    if (folder / ADAPTER_FOLDER).is_dir():
        typer.echo(f"Adapter: {folder / ADAPTER_FOLDER}")
