"""The adapters that the engine's thread has in memory: loaded behind a canary, switched, freed after their last job.

Knows the model, adapters by key, and which are still used when it is told. Knows nothing of requests or of the names of
versions. One thread calls it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.types import Sampling
from engine.errors import ModelError
from engine.inference.batch import Batch, Row
from engine.inference.sampler import NOT_FINITE
from engine.models.loader import Base

if TYPE_CHECKING:
    from engine.inference.adapters import Adapters


logger = logging.getLogger(__name__)

_CANARY_TOKENS = 8


class Residents:
    """The adapters of one model; none, until the first is loaded."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._adapters: Adapters | None = None  # with the first `load`, for PEFT takes a while to import
        self._retiring: set[str] = set()

    @property
    def is_retiring(self) -> bool:
        """Whether there are some to be freed."""
        return bool(self._retiring)

    def activate(self, adapter: str | None) -> None:
        """Let the next forward pass use one of them; None: the base alone."""
        if self._adapters is not None:
            self._adapters.activate(adapter)

    def load(self, folder: Path, canary_prompt: Sequence[int]) -> str:
        """Load an adapter, let it write a few tokens, and return its key.

        Raises:
            ModelError: it cannot be loaded, or what it computes are not numbers.
        """
        from engine.inference.adapters import Adapters  # noqa: PLC0415

        self._adapters = self._adapters or Adapters(self._base.model)
        key = self._adapters.load(folder)
        self._adapters.activate(key)
        if not self._is_sound(canary_prompt):
            self._adapters.delete(key)
            raise ModelError(f"The adapter {folder.name} cannot write, or not with numbers; train it anew.")
        return key

    def retire(self, adapter: str) -> None:
        """Free an adapter when it is used no more."""
        self._retiring.add(adapter)

    def free(self, used: set[str | None]) -> None:
        """Free those that are to retire and are not among the used."""
        for adapter in self._retiring - used:
            assert self._adapters is not None, "only loaded adapters retire"
            self._adapters.delete(adapter)
        self._retiring &= used

    def _is_sound(self, prompt: Sequence[int]) -> bool:
        """Whether the active adapter writes a few tokens of an answer without failing."""
        canary = Batch(self._base.model, family=self._base.family)
        row = Row(prompt, Sampling(temperature=0.0))
        try:
            canary.join([row])
            while row.newest != NOT_FINITE and row.cached < len(prompt) + _CANARY_TOKENS:
                canary.step()
        except RuntimeError:
            logger.exception("The canary failed.")
            return False
        return row.newest != NOT_FINITE
