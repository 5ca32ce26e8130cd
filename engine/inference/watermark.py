"""SynthID-Text: a watermark in the choice of tokens, and its detection without a trained detector.

Dathathri et al., "Scalable watermarking for identifying large language model outputs", Nature 634, 2024. Every
candidate token has 30 random bits, g-values, drawn from a secret key and the four tokens before it; a tournament of 30
rounds prefers tokens with ones (for two competitors: p <- p (1 + g - sum of g p)). Averaged over keys no token becomes
likelier, so texts keep their quality; a context that has come before in the same text is left alone, or texts would
repeat themselves. Without a watermark the g-values of a text are fair coins; so their weighted mean, with weights that
fall from 10 to 1 over the rounds, has a known distribution, and a p-value. The hashing is transformers'.

`python -m engine.inference.watermark` tells whether a text carries the watermark: JSON in, JSON out, through its pipes,
since a key belongs into no command line and no environment. In: `{"model": ..., "keys": [hex, ...], "text": ...}`; out:
`{"tokens": n, "p_value": p or null}`. Only the model's tokenizer is loaded.
"""

import hashlib
import hmac
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.generation.logits_process import SynthIDTextWatermarkLogitsProcessor

from engine.api.models import resolve_model
from engine.errors import ModelError

CONTEXT_TOKENS = 4
DEPTH = 30
MIN_TOKENS = 20
"""Scored tokens below which nothing can be told."""
_TABLE_SIZE, _TABLE_SEED, _HISTORY = 2**16, 0, 1024
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Detection:
    """What a text shows of the watermark."""

    tokens: int
    """Those that could be scored: with four before them, in a context that is new."""
    p_value: float | None
    """How often a text without it shows as much; None where there are too few tokens."""


class Watermark:
    """One key's watermark, on one device."""

    def __init__(self, secret: bytes, device: torch.device) -> None:
        self._processor: Any = SynthIDTextWatermarkLogitsProcessor(
            ngram_len=CONTEXT_TOKENS + 1, keys=_keys(secret), sampling_table_size=_TABLE_SIZE,
            sampling_table_seed=_TABLE_SEED, context_history_size=_HISTORY, device=torch.device("cpu"),
        )  # fmt: skip
        # Drawn on the CPU and moved, for on another device the same seed draws another table.
        self._processor.sampling_table = self._processor.sampling_table.to(device)
        self._processor.keys = self._processor.keys.to(device)
        self._processor.device = self._device = device
        depths = torch.linspace(10.0, 1.0, DEPTH, dtype=torch.float64)
        self._weights = depths * DEPTH / depths.sum()

    def mark(
        self, probs: Tensor, tokens: Tensor, contexts: Sequence[Sequence[int]], seen: Sequence[set[tuple[int, ...]]]
    ) -> Tensor:
        """Probabilities after the tournament: of candidate `tokens` (rows, columns), not necessarily normalised.

        Rows whose context is too short, or is in their `seen`, stay as they were; new contexts are put into `seen`.
        """
        whole = [row for row, context in enumerate(contexts) if len(context) == CONTEXT_TOKENS]
        places = [row for row in whole if tuple(contexts[row]) not in seen[row]]
        if not places:
            return probs
        for row in places:
            seen[row].add(tuple(contexts[row]))
        before = torch.tensor([list(contexts[row]) for row in places], device=self._device)
        keys, _ = self._processor._compute_keys(before, tokens[places])
        g_values = self._processor.sample_g_values(keys).to(probs.dtype)  # (rows, columns, DEPTH)
        marked = probs[places] / probs[places].sum(dim=-1, keepdim=True)
        for bits in g_values.unbind(dim=-1):
            marked = marked * (1.0 + bits - (bits * marked).sum(dim=-1, keepdim=True))
        return probs.index_copy(0, torch.tensor(places, device=probs.device), marked)

    def look_for(self, ids: Sequence[int]) -> Detection:
        """How likely a text's token ids carry the watermark."""
        if len(ids) <= CONTEXT_TOKENS:
            return Detection(0, None)
        text = torch.tensor([list(ids)], device=self._device)
        g_values = self._processor.compute_g_values(text)[0].double().cpu()  # (T - 4, DEPTH)
        is_new = self._processor.compute_context_repetition_mask(text)[0].cpu()
        count = int(is_new.sum())
        if count < MIN_TOKENS:
            return Detection(count, None)
        excess = ((g_values[is_new] - 0.5) * self._weights).sum().item()
        z = excess / math.sqrt(count * 0.25 * float((self._weights**2).sum()))
        return Detection(count, 0.5 * math.erfc(z / math.sqrt(2.0)))


def strongest(found: Sequence[Detection]) -> Detection:
    """The best evidence among several keys; its p-value is corrected for their number (Bonferroni)."""
    best = min(found, key=lambda each: 1.0 if each.p_value is None else each.p_value)
    return best if best.p_value is None else Detection(best.tokens, min(1.0, best.p_value * len(found)))


def read_secret(line: str) -> bytes:
    """A key of at least 16 bytes, as hex.

    Raises:
        ModelError: it is none.
    """
    try:
        secret = bytes.fromhex(line.strip())
    except ValueError:
        secret = b""
    if len(secret) < _KEY_BYTES:
        raise ModelError(
            "The watermark's key must be 32 or more hexadecimal digits; make one with openssl rand -hex 32."
        )
    return secret


def _keys(secret: bytes) -> list[int]:
    """One key a round, by HMAC-SHA-256 in counter mode."""
    digests = (hmac.new(secret, f"synthid {depth}".encode(), hashlib.sha256).digest() for depth in range(DEPTH))
    return [int.from_bytes(digest[:8]) >> 33 for digest in digests]


def main() -> int:
    """Answer the question on stdin; returns the exit status."""
    try:
        asked: dict[str, Any] = json.loads(sys.stdin.read())
        tokenizer = AutoTokenizer.from_pretrained(resolve_model(asked["model"]), trust_remote_code=False)
        marks = [Watermark(read_secret(key), torch.device("cpu")) for key in asked["keys"]]
        ids = tokenizer.encode(asked["text"], add_special_tokens=False)
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ValueError, KeyError, OSError) as error:
        sys.stderr.write(f"The question cannot be read: {type(error).__name__}.\n")
        return 2
    found = strongest([mark.look_for(ids) for mark in marks])
    sys.stdout.write(json.dumps({"tokens": found.tokens, "p_value": found.p_value}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
