"""`ovation train`: learning by hand, outside the bot."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.terminal import give_up, make_folder, progress_bar, ready_model
from bot.common.i18n import say
from bot.common.settings import DataSettings
from bot.learning.trainer_process import run_config, train
from bot.reporting.run_messages import reason_sentence, share_done
from engine.data.dataset import dump_dataset
from engine.data.trl_format import read_ratings
from engine.errors import RunError
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER, REPORT_PAGE, SKIPPED, Progress, RunReport

app = typer.Typer()


@app.command(name="train")
def train_by_hand(
    source: Annotated[
        Path,
        typer.Option("--from", help="Ratings: a run's dataset.jsonl, or unpaired preferences as TRL's KTO has them."),
    ],
    out: Annotated[Path | None, typer.Option(help="A new folder for the run; runs/<time> without it.")] = None,
    model: Annotated[
        str, typer.Option(help="smollm2, starter, a folder with a Hugging Face model, a .gguf file, or a hub id.")
    ] = "starter",
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long to train at most.")] = 20.0,
) -> None:
    """Train an adapter from a file of ratings, judge it, and say where it and its report are; needs no bot."""
    folder = out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        rows = read_ratings(source)
    except RunError as error:
        give_up(str(error), status=2)
    base = ready_model(DataSettings.load().model_copy(update={"model": model})).model
    make_folder(folder)
    write_config(folder, run_config(base, minutes=minutes))
    try:
        report = asyncio.run(_train(folder, dump_dataset(rows)))
    except KeyboardInterrupt:
        give_up(f"Stopped. What there is of the run is in {folder}.", status=1)
    except MemoryError:
        give_up(say("en", "reason-memory"), status=1)
    code = report.reason.code
    verdict = "Passed" if report.passed else "Skipped" if code in SKIPPED else "Rejected"
    numbers = {**report.reason.numbers, "ratings": float(report.counts.get("ratings", 0))}
    typer.echo(f"{verdict}. {reason_sentence(code, numbers, 'en')}")
    typer.echo(f"Report: {folder / REPORT_PAGE}")
    if (folder / ADAPTER_FOLDER).is_dir():
        typer.echo(f"Adapter: {folder / ADAPTER_FOLDER}")


async def _train(folder: Path, dataset: bytes) -> RunReport:
    with progress_bar(say("en", "stage-starting"), tells_time_left=True) as move:

        def show(step: Progress) -> None:
            loss = "" if step.loss is None else f"loss {step.loss:.3f}"
            move(completed=share_done(step), description=say("en", f"stage-{step.stage}"), note=loss)

        report = await train(folder, dataset, on_progress=show)
        move(completed=1.0)
        return report
