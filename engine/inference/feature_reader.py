"""Texts that the model is to read for their features, a little between every two rounds, so that streams go on.

Knows the model, token ids and seconds. Knows nothing of what the features are for. One thread calls it; anybody may
wait for a reading's `future`.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from engine.errors import EngineUnavailable
from engine.models.loader import Base
from engine.models.logprobs import Encoded
from engine.preference.features import text_features
from engine.process import is_out_of_memory

logger = logging.getLogger(__name__)

SLICE_SECONDS: Final = 0.02
"""So long a round may be held up."""

_FIRST_TOKENS = 128
_NEWS = 0.3
"""The weight of the newest slice in the measured speed."""


@dataclass(slots=True, eq=False)
class Reading:
    """Texts to be read; the future gives their features, (n, d) on the CPU, or its EngineError."""

    rows: Sequence[Encoded]
    is_urgent: bool = False
    """Somebody waits for an answer: it goes before those that nobody sees."""
    future: "Future[Tensor]" = field(default_factory=Future)
    done: "dict[int, Tensor]" = field(default_factory=dict)
    """The features of the rows read so far, by the row's number."""
    seconds: float = 0.0


class Readings:
    """What is to be read. `read` takes the next slice."""

    def __init__(self, base: Base, *, prepare: Callable[[int], None]) -> None:
        self._base = base
        self._prepare = prepare
        self._waiting: deque[Reading] = deque()
        self._tokens_a_slice = float(_FIRST_TOKENS)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, reading: Reading) -> None:
        """Let texts wait to be read, at least one."""
        if not reading.future.set_running_or_notify_cancel():
            return
        if reading.is_urgent:
            place = next((i for i, other in enumerate(self._waiting) if not other.is_urgent), len(self._waiting))
            self._waiting.insert(place, reading)
        else:
            self._waiting.append(reading)

    def read(self) -> Reading | None:
        """Read a slice of what is first, some `SLICE_SECONDS` long; the reading if that was the last of it.

        `prepare` has been called with the number of tokens before. What cannot be read fails its reading.
        """
        reading = self._waiting[0]
        chosen = self._slice(reading)
        tokens = len(chosen) * max(len(reading.rows[i]) for i in chosen)
        began, failure = time.perf_counter(), None
        try:
            self._prepare(tokens)
            rows = [reading.rows[i] for i in chosen]
            features = text_features(self._base, rows, max_tokens=tokens)
        except (RuntimeError, MemoryError) as error:  # torch's; what is repaired is repaired outside this block
            failure = error
            logger.exception("Reading %d texts failed.", len(chosen))
        if failure is not None:
            self._fail(reading, can_be_less=is_out_of_memory(failure) and len(chosen) > 1)
            return None
        self._learn(tokens, time.perf_counter() - began)
        reading.seconds += time.perf_counter() - began
        reading.done |= dict(zip(chosen, features, strict=True))
        if len(reading.done) < len(reading.rows):
            return None
        self._waiting.popleft()
        reading.future.set_result(torch.stack([reading.done[i] for i in range(len(reading.rows))]))
        return reading

    def give_up(self) -> None:
        """Fail everything that waits: the thread ends."""
        for reading in self._waiting:
            reading.future.set_exception(EngineUnavailable("The engine has stopped; start it again."))
        self._waiting.clear()

    def _slice(self, reading: Reading) -> list[int]:
        """The shortest of the rows that are not read, as many as may be read at once, at least one."""
        left = [i for i in range(len(reading.rows)) if i not in reading.done]
        left.sort(key=lambda i: len(reading.rows[i]))
        count = 1
        while count < len(left) and (count + 1) * len(reading.rows[left[count]]) <= self._tokens_a_slice:
            count += 1
        return left[:count]

    def _learn(self, tokens: int, seconds: float) -> None:
        """Fit the slices to the time that they may take; never more than twice as much at once."""
        fitting = min(tokens * SLICE_SECONDS / max(seconds, 1e-6), 2 * self._tokens_a_slice)
        self._tokens_a_slice += _NEWS * (fitting - self._tokens_a_slice)

    def _fail(self, reading: Reading, *, can_be_less: bool) -> None:
        if can_be_less:
            self._tokens_a_slice /= 2
            return
        self._waiting.popleft()
        reading.future.set_exception(EngineUnavailable("The model could not read these texts; try again later."))
