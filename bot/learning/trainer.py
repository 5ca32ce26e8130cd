"""The trainer as a child process: a run folder in, a report out. Knows files and exit statuses, no model.

A trainer that says nothing for `STALL_SECONDS` is ended; one whose bot was killed ends by itself.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bot.common.child_process import kill_child, ran_out_of_memory, stop_child
from bot.common.kinds import MIN_P, TEMPERATURE, TOP_P, load_kinds
from bot.common.settings import computing_environment
from engine.errors import RunError
from engine.runs.config import RunConfig
from engine.runs.run_dir import METRICS_FILE, Progress, RunReport, read_progress, read_report

logger = logging.getLogger(__name__)

STALL_SECONDS = 3600.0
"""Longest time between two lines of progress. On a slow CPU the longest step of a large model, writing hundreds of
texts for the judge, takes many minutes."""

FEWEST_EXAMPLES = 10
"""Rated texts; with fewer the trainer skips a run, however low MIN_RATINGS is."""

Objective = Literal["taste", "kto"]
"""`taste` follows the rated texts with the on-policy stage; `kto` trains on the rated texts alone."""

_POLL_SECONDS = 1.0
_TOKENS_PER_MIB = 4
"""Of a limit to the memory: so 4 GiB let as many tokens through the model at once as no limit does."""


class Stalled(RunError):
    """The trainer made no progress for too long and was ended."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What examples must pass beside the shipped words."""

    words: Path | None = None
    """The operator's file of words."""
    guard: str | None = None
    """A guard model."""


NO_SCREEN = Screen()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a run may take."""

    minutes: float = 20.0
    steps: int = 0
    """Of each of its two stages, whatever has been rated; 0: as many as they ask for."""
    memory_mb: int = 0
    """0: no limit."""
    niceness: int = 10
    """How far the trainer stands back behind those who prompt meanwhile."""


USUAL_BUDGET = Budget()


def run_config(
    base: str,
    *,
    champion: Path | None = None,
    seed: int = 0,
    objective: Objective = "taste",
    budget: Budget = USUAL_BUDGET,
    screen: Screen = NO_SCREEN,
) -> RunConfig:
    """A run as the bot makes it: it samples as serving does, and keeps to the operator's choices and budgets."""
    plain = RunConfig()
    tokens = _TOKENS_PER_MIB * budget.memory_mb or plain.max_batch_tokens
    return RunConfig(
        base=base,
        champion=None if champion is None else str(champion.absolute()),
        words_file=None if screen.words is None else str(screen.words.absolute()),
        guard=screen.guard,
        seed=seed,
        max_rated_steps=budget.steps,
        policy_steps=min(plain.policy_steps, budget.steps or plain.policy_steps) if objective == "taste" else 0,
        threads=os.cpu_count() or 1,
        niceness=budget.niceness,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        min_p=MIN_P,
        max_new_tokens=load_kinds().longest,
        min_ratings=FEWEST_EXAMPLES,
        max_minutes=budget.minutes,
        max_batch_tokens=max(plain.max_length, min(tokens, plain.max_batch_tokens)),
        max_memory_mb=budget.memory_mb,
    )


async def train(run_dir: Path, dataset: bytes, *, on_progress: Callable[[Progress], None]) -> RunReport:
    """Run `python -m engine.train RUN_DIR` to its end; cancelling this ends the child.

    The ratings go through a pipe, and so never rest on a disk.

    Raises:
        MemoryError: the child ran out of memory, or was killed as one that takes too much is.
        Stalled: it made no progress for `STALL_SECONDS`.
        RunError: it failed; the sentence says how.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "engine.train", str(run_dir), "--dataset", "/dev/stdin", "--parent-pid", str(os.getpid()),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        start_new_session=True, env=computing_environment(),
    )  # fmt: skip
    ending = asyncio.create_task(child.communicate(dataset))
    watching = asyncio.create_task(_watch(run_dir / METRICS_FILE, on_progress))
    try:
        await asyncio.wait({ending, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            await kill_child(child)
            watching.result()
        _, stderr = await ending
    finally:
        watching.cancel()
        await stop_child(child)
        await asyncio.gather(ending, watching, return_exceptions=True)
    lines = stderr.decode(errors="replace").strip().splitlines()
    for line in lines:
        logger.info("trainer: %s", line)
    status = child.returncode
    assert status is not None, "it has ended"
    if ran_out_of_memory(status, lines):
        raise MemoryError("the trainer ran out of memory, or was killed")
    if status != 0:
        said = lines[-1] if lines else ""
        raise RunError(f"The trainer ended with status {status}. {said}".strip())
    return read_report(run_dir)


async def _watch(metrics: Path, on_progress: Callable[[Progress], None]) -> None:
    """Pass progress on for as long as there is any; what counts is time awake, not time asleep with the machine."""
    last, silent = None, 0.0
    while silent < STALL_SECONDS:
        await asyncio.sleep(_POLL_SECONDS)
        silent += _POLL_SECONDS
        progress = read_progress(metrics)
        if progress is not None and progress != last:
            last, silent = progress, 0.0
            on_progress(progress)
    raise Stalled(f"The trainer made no progress for {STALL_SECONDS / 60:.0f} minutes and was ended.")
