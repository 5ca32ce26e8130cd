"""The trainer as a child process: a run folder in, a report out.

A trainer that makes no progress for `STALL_SECONDS` is ended; one whose bot was killed ends by itself.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from bot.common.child_process import kill_child, ran_out_of_memory, stop_child
from bot.common.kinds import MIN_P, TEMPERATURE, TOP_P, Kinds, load_kinds
from bot.common.settings import computing_environment
from engine.api.models import names_of
from engine.errors import RunError
from engine.process import processors
from engine.runs.config import RunConfig
from engine.runs.run_dir import METRICS_FILE, Progress, RunReport, read_progress, read_report

logger = logging.getLogger(__name__)

STALL_SECONDS = 3600.0
"""Longest time between two lines of progress. On a slow CPU the longest step of a large model, writing hundreds of
texts for the judge, takes many minutes."""

FEWEST_EXAMPLES = 10
"""With fewer rated texts the trainer skips a run, however low MIN_RATINGS is."""

Objective = Literal["taste", "kto"]
"""`taste` follows the rated texts with the on-policy stage; `kto` trains on the rated texts alone."""

_POLL_SECONDS = 1.0
_TOKENS_PER_MIB = 4
"""Tokens in one batch for each MiB that a limited trainer may take: 4 GiB allow as many as no limit does."""


class Stalled(RunError):
    """The trainer made no progress for too long and was ended."""


def run_config(
    base: str,
    *,
    champion: Path | None = None,
    seed: int = 0,
    objective: Objective = "taste",
    minutes: float = 20.0,
    steps: int = 0,
    memory_mb: int = 0,
    niceness: int = 10,
    words_file: Path | None = None,
    guard: str | None = None,
    kinds: Kinds | None = None,
) -> RunConfig:
    """A run as the bot makes it: it samples as serving does.

    `steps` bounds each of the two stages, 0 leaves it to them; `memory_mb` of 0 is no limit; `niceness` is how far the
    trainer stands back behind those who prompt meanwhile. Examples must pass the shipped words, those in `words_file`,
    and the model `guard`. `kinds` say how texts are sampled and how long they may be; None: the shipped ones,
    as `base` is asked for them.
    """
    plain, kinds = RunConfig(), kinds or load_kinds(model=names_of(base))
    tokens = _TOKENS_PER_MIB * memory_mb or plain.max_batch_tokens
    return RunConfig(
        base=base,
        champion=None if champion is None else str(champion.absolute()),
        words_file=None if words_file is None else str(words_file.absolute()),
        guard=guard,
        seed=seed,
        max_rated_steps=steps,
        policy_steps=min(plain.policy_steps, steps or plain.policy_steps) if objective == "taste" else 0,
        threads=processors(),
        niceness=niceness,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        min_p=MIN_P,
        max_new_tokens=kinds.longest,
        kinds={name: kind.sampling() for name, kind in kinds.by_name.items()},
        min_ratings=FEWEST_EXAMPLES,
        max_minutes=minutes,
        max_batch_tokens=max(plain.max_length, min(tokens, plain.max_batch_tokens)),
        max_memory_mb=memory_mb,
    )


async def train(run_dir: Path, dataset: bytes, *, on_progress: Callable[[Progress], None]) -> RunReport:
    """Run `python -m engine.train RUN_DIR` to its end; cancelling this ends the child.

    The ratings go through a pipe, so that they are never written to disk.

    Raises:
        MemoryError: the child ran out of memory, or was killed for taking too much.
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
    """Pass progress on until there is none for too long; time in which the machine sleeps does not count."""
    last, silent = None, 0.0
    while silent < STALL_SECONDS:
        await asyncio.sleep(_POLL_SECONDS)
        silent += _POLL_SECONDS
        progress = read_progress(metrics)
        if progress is not None and progress != last:
            last, silent = progress, 0.0
            on_progress(progress)
    raise Stalled(f"The trainer made no progress for {STALL_SECONDS / 60:.0f} minutes and was ended.")
