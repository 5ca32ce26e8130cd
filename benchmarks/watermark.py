"""The watermark: how well it is found by length, how often where it is not, its price, and what it does to liking."""

import statistics
import time
from collections.abc import Sequence
from random import Random

import torch

from benchmarks.seasons import Request, requests, starter
from benchmarks.tables import Table
from bot.sandbox.people.tastes import TASTES
from engine.api.types import Sampling
from engine.inference.batch import Batch, Row
from engine.inference.watermark import MIN_TOKENS, Watermark

LENGTHS = (50, 100, 200)
_TEXTS = 120
_LIKED = 400
_ROWS = 64
_ERROR = 0.01
_SECRET = bytes(range(32))


def measure() -> list[Table]:
    """Texts of the starter, marked and not, with the same prompts and random numbers."""
    mark = Watermark(_SECRET, torch.device("cpu"))
    rows = []
    for name, temperature in (("as served (temperature 0.8)", 0.8), ("for comparison: temperature 1.5", 1.5)):
        plain = [*_write(None, _TEXTS, max(LENGTHS), temperature=temperature)]
        marked = [*_write(mark, _TEXTS, max(LENGTHS), temperature=temperature)]
        for length in LENGTHS:
            shown = [_shown(mark, tokens[:length]) for tokens in plain]
            found = [_shown(mark, tokens[:length]) for tokens in marked]
            threshold = sorted(shown)[int(_ERROR * len(shown))]
            rows.append(
                (
                    f"{name}, {length} tokens",
                    f"{100 * statistics.mean(p < threshold for p in found):.0f} %",
                    f"{100 * statistics.mean(p < _ERROR for p in found):.0f} %",
                    f"{100 * statistics.mean(p < _ERROR for p in shown):.1f} %",
                    f"{statistics.median(found):.1g}",
                )
            )
    detection = Table(
        "Watermark",
        f"SynthID-Text on {_TEXTS} texts of the starter, written past their end to the length; p is the chance that an"
        f" unmarked text shows as much, 1 where fewer than {MIN_TOKENS} tokens can be scored.",
        ("texts", "found at 1 % false, measured", "found at p < .01", "unmarked with p < .01", "median p"),
        rows,
    )  # fmt: skip
    return [detection, _quality(mark)]


def _quality(mark: Watermark) -> Table:
    """Liking and speed of texts of ordinary length."""
    base = starter()
    began = time.perf_counter()
    plain = _write(None, _LIKED, None)
    middle = time.perf_counter()
    marked = _write(mark, _LIKED, None)
    ended = time.perf_counter()
    rows = []
    texts = [base.tokenizer.batch_decode(each, skip_special_tokens=True) for each in (plain, marked)]
    asked = [each.asked for each in _asked(_LIKED)]
    for taste in TASTES.values():
        before, after = ([taste.liking(t, a) for t, a in zip(each, asked, strict=True)] for each in texts)
        change = [b - a for a, b in zip(before, after, strict=True)]
        error = 1.96 * statistics.stdev(change) / len(change) ** 0.5
        rows.append((f"liking by “{taste.name}”", f"{statistics.mean(before):.3f}", f"{statistics.mean(after):.3f}",
                     f"{statistics.mean(change):+.3f} ± {error:.3f}"))  # fmt: skip
    speed = [sum(map(len, each)) / seconds for each, seconds in ((plain, middle - began), (marked, ended - middle))]
    rows.append(("tokens a second", f"{speed[0]:.0f}", f"{speed[1]:.0f}", f"{speed[1] / speed[0]:.2f} times"))
    length = sum(map(len, plain)) / len(plain)
    rows.append(("tokens a text", f"{length:.0f}", f"{sum(map(len, marked)) / len(marked):.0f}", ""))
    return Table(
        "Watermark: what it changes",
        f"{_LIKED} prompts, one text each, of ordinary length; changes with their 95 % interval.",
        ("what", "unmarked", "marked", "change"),
        rows,
    )


def _asked(count: int) -> list[Request]:
    return requests(Random(11), count, first=1)


def _write(mark: Watermark | None, count: int, tokens: int | None, *, temperature: float = 0.8) -> list[list[int]]:
    """The token ids of texts; of so many tokens each, or until they end by themselves."""
    base = starter()
    ends = frozenset() if tokens else base.end_tokens
    waiting = [
        Row(base.template.encode(each.messages), Sampling(temperature=temperature, top_p=0.95, min_p=0.05, seed=seed))
        for seed, each in enumerate(_asked(count))
    ]
    written: dict[Row, list[int]] = {row: [] for row in waiting}
    for start in range(0, count, _ROWS):
        _fill(Batch(base.model, mark), waiting[start : start + _ROWS], written, ends, tokens or 160)
    return [[token for token in written[row] if token not in base.end_tokens] for row in waiting]


def _fill(
    batch: Batch[Row], rows: Sequence[Row], written: dict[Row, list[int]], ends: frozenset[int], most: int
) -> None:
    active, tokens = list(rows), batch.join(rows)
    while active:
        for row, token in zip(active, tokens, strict=True):
            written[row].append(token)
        batch.drop([row for row in active if written[row][-1] in ends or len(written[row]) >= most])
        active = list(batch.rows)
        if active:
            tokens = batch.step()


def _shown(mark: Watermark, tokens: Sequence[int]) -> float:
    p_value = mark.look_for(tokens).p_value
    return 1.0 if p_value is None else p_value
