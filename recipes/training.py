"""What every training from nothing needs: a budget, a clock, batches of alike lengths, and a folder at the end."""

import copy
import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import torch
from rich.logging import RichHandler
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from engine.process import keep_memory

STARTER_FOLDER: Final = Path(__file__).parents[1] / "engine" / "starter"
"""Where the shipped models lie."""
TEMPERATURE: Final = 0.9
MIN_P: Final = 0.05
"""How a shipped model is sampled where nobody says otherwise."""
LOG_STEPS: Final = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long and how fast to train."""

    minutes: float
    steps: int | None = None
    """At most so many optimizer steps; None: as many as the minutes allow."""
    batch: int = 64
    """Texts a step; of the starter, padded tokens."""
    learning_rate: float = 2e-3
    """At its peak."""
    seed: int = 0


class TrainingClock:
    """Counts the steps and the time of a training.

    `spent` rises from 0 to 1; `curves` hold the mean of each value over every `LOG_STEPS` steps.
    """

    def __init__(self, budget: Budget) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.spent = 0.0
        self.curves: dict[str, list[float]] = defaultdict(list)
        self._budget = budget
        self._began = time.monotonic()
        self._sums: dict[str, float] = defaultdict(float)

    def tick(self, **values: float) -> None:
        """One step is done, with these values to plot."""
        self.steps += 1
        self.seconds = time.monotonic() - self._began
        self.spent = max(self.seconds / (60 * self._budget.minutes), self.steps / (self._budget.steps or float("inf")))
        for name, value in values.items():
            self._sums[name] += value
        if self.steps % LOG_STEPS == 0 or self.spent >= 1.0:
            count = (self.steps - 1) % LOG_STEPS + 1
            means = {name: total / count for name, total in self._sums.items()}
            self._sums.clear()
            for name, mean in means.items():
                self.curves[name].append(mean)
            told = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            logger.info("step %d, %.0f s, %.0f %%: %s", self.steps, self.seconds, 100 * self.spent, told)


def batches_of_alike(
    lengths: Sequence[int], size: int, *, seed: int, spread: float, is_padded: bool = False
) -> Iterator[list[int]]:
    """Places of texts of alike lengths (in tokens), `size` of them, in random order, without end.

    With `is_padded`, `size` counts tokens, padding included. Chance may move a text by `spread` tokens.
    """
    random = Random(seed)
    while True:
        groups: list[list[int]] = [[]]
        for i in sorted(range(len(lengths)), key=lambda i: lengths[i] + random.random() * spread):
            if groups[-1] and (len(groups[-1]) + 1) * (lengths[i] if is_padded else 1) > size:
                groups.append([])
            groups[-1].append(i)
        random.shuffle(groups)
        yield from groups


def set_up(threads: int) -> None:
    """Let a build program log, and keep to so many processor cores."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(show_path=False)])
    torch.set_num_threads(threads)
    keep_memory()


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model (half precision) and tokenizer beside the folder, then put them in its place."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    half = copy.deepcopy(model).half()
    half.generation_config = GenerationConfig(
        do_sample=True, temperature=TEMPERATURE, min_p=MIN_P, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    half.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    for file in fresh.iterdir():  # safetensors writes for its owner only, but a package is read by everybody
        file.chmod(0o644)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
