"""Tastes that need language: how much of what could be had is had after 50 ratings, and after nights.

Headroom is the way from a single text of the base to the best of all its texts for a request, by the hidden taste
itself. The head alone is measured on a pool of the base's texts that is written once (`pool`), so that all tastes and
several draws of the ratings cost seconds.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.language_tastes import LANGUAGE_TASTES, NOISE, LanguageTaste
from benchmarks.pool import (
    FRESH_PROMPTS,
    RATED,
    Pool,
    PoolText,
    Rated,
    opinions,
    pool_of,
    requests,
    rows_of,
    whole,
    write_texts,
)
from benchmarks.tables import Table
from bot.learning.trainer_process import run_config, train
from engine.api.models import version_name
from engine.data.dataset import dump_dataset
from engine.preference.choice import RecentTexts, nearly_best
from engine.preference.features import Array, text_features
from engine.preference.head import fit, labels_of
from engine.runs.config import write_config
from engine.runs.run_dir import ADAPTER_FOLDER

RATINGS = 50
BEST_OF = 4
"""What BEST_OF=8 comes to on an idle engine on two cores, as in `seasons`."""
TAKES, FEW_TAKES = 16, 8
NIGHT_MINUTES = 8.0
_FULL_VOTE = 1 / 3
"""What one vote weighs after shrinkage."""


def measure_heads(model: str, few: bool) -> Table:
    """The head alone, after 50 ratings and after all of a pool's, of the model beside the starter."""
    takes = FEW_TAKES if few else TAKES
    pools = {name: pool_of(name, takes=takes) for name in (model, "starter")}
    rows = [
        [taste.name, version_name(name), *_head_row(pool, taste)]
        for taste in LANGUAGE_TASTES.values()
        for name, pool in pools.items()
    ]
    shares = {
        name: statistics.median(
            float(row[5].rpartition("(")[2].split("%")[0]) for row in rows if row[1] == version_name(name)
        )
        for name in pools
    }
    medians = ", ".join(f"{version_name(name)} {share:.0f} %" for name, share in shares.items())
    note = (
        f"Liking of the texts that are shown, the best of {BEST_OF} by a head that has learned from so many texts with"
        f" a rating each ({NOISE:.0%} of them random), on topics that nobody rated; in brackets the share of what could"
        f" be had, the best of {takes} of the base's texts by the hidden taste itself. After {RATINGS} ratings: range"
        f" and median of {RATED // RATINGS} draws. Medians over the tastes after {RATINGS} ratings: {medians}."
        " `benchmarks/language_tastes.py` says what the tastes mean; they were written down before any was run."
    )
    columns = [
        "taste", "model", "a single text", "could be had", f"best of {BEST_OF} by the taste itself",
        f"after {RATINGS} ratings", f"after {RATED} ratings",
    ]  # fmt: skip
    return Table("Tastes that need language: the head alone", note, columns, rows)


def measure_nights(
    model: str, few: bool, *, tastes: Sequence[str], nights: int = 1, minutes: float = NIGHT_MINUTES
) -> Table:
    """Seasons of the model beside the starter: 150 ratings a day, then a night of `minutes` on all so far."""
    takes, ratings = FEW_TAKES if few else TAKES, RATED
    rows = [
        _season(pool_of(name, takes=takes), name, LANGUAGE_TASTES[taste], nights, minutes)
        for taste in tastes
        for name in (model, "starter")
    ]
    note = (
        f"{ratings} ratings a day ({NOISE:.0%} of them random), the first day's of the base's own texts, later ones of"
        f" what was shown, the best of {BEST_OF} by the head; a night is all of `engine.train`, planned for"
        f" {minutes:.0f} minutes. Liking on topics that nobody rated; in brackets the share of what could be had, the"
        f" best of {takes} of the base's texts by the hidden taste itself."
    )
    told = [f"after night {night + 1}" for night in range(nights)]
    columns = ["taste", "model", "a single text", "could be had", f"after {RATINGS} ratings, head alone", *told,
               "… a single text", "nights"]  # fmt: skip
    return Table("Tastes that need language: nights", note, columns, rows)


def _season(pool: Pool, model: str, taste: LanguageTaste, nights: int, minutes: float) -> list[str]:
    """A row: one audience's days and nights."""
    rated: list[tuple[PoolText, float]] = []
    adapter: Path | None = None
    verdicts: list[str] = []
    single, most = _bounds(pool.fresh, taste)
    fresh = [each.asked for each in pool.fresh[: BEST_OF * FRESH_PROMPTS]]
    cells, alone = [], single
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        early = _chosen_liking(pool.fresh, opinions(taste, pool.rated[:RATINGS], 0), taste)
        for night in range(nights):
            day = folder / f"day{night}"
            day.mkdir()
            if night == 0:
                shown: Sequence[PoolText] = pool.rated
            else:
                asked = requests(Random(f"{taste.name} {night}"), RATED, first=0)
                takes = write_texts(day / "texts.jsonl", model, asked * BEST_OF, adapter=adapter)
                texts = [
                    PoolText(1000 * night + i % RATED, asked[i % RATED], whole(takes[i])) for i in range(len(takes))
                ]
                shown = [texts[i] for i in _chosen(texts, rated)]
            rated += opinions(taste, shown, night)
            write_config(day, run_config(model, champion=adapter, minutes=minutes, niceness=0))
            report = asyncio.run(train(day, dump_dataset(rows_of(model, rated)), on_progress=lambda _: None))
            verdicts.append("promoted" if report.passed else report.reason.code)
            if report.passed:
                adapter = day / ADAPTER_FOLDER
            written = write_texts(day / "fresh.jsonl", model, fresh, adapter=adapter) if adapter else {}
            after = [
                replace(each, text=whole(written[i])) if written else each
                for i, each in enumerate(pool.fresh[: len(fresh)])
            ]
            cells.append(_chosen_liking(after, rated, taste))
            alone = statistics.fmean(taste.liking(each.text, each.asked) for each in after)
    told = [f"{value:.3f} ({(value - single) / (most - single):.0%})" for value in (early, *cells, alone)]
    return [taste.name, version_name(model), f"{single:.3f}", f"{most:.3f}", *told, ", ".join(verdicts)]


def _bounds(texts: Sequence[PoolText], taste: LanguageTaste) -> tuple[float, float]:
    """The mean liking of a single text, and that of the best text of each request."""
    liking = _by_prompt(texts, taste)
    return float(liking.mean()), float(liking.max(0).mean())


def _by_prompt(texts: Sequence[PoolText], taste: LanguageTaste) -> Array:
    """The hidden taste's liking of texts that are ordered by take, (takes, prompts)."""
    liking = np.array([taste.liking(each.text, each.asked) for each in texts])
    return liking.reshape(-1, len({each.prompt for each in texts}))


def _head_row(pool: Pool, taste: LanguageTaste) -> list[str]:
    """A single text's liking, the reachable one, the choice's own bound, and the head's after few and many ratings."""
    single, most = _bounds(pool.fresh, taste)
    liking = _by_prompt(pool.fresh, taste)
    bound = float(liking.reshape(-1, BEST_OF, liking.shape[1]).max(1).mean())

    def told(value: float) -> str:
        return f"{value:.3f} ({(value - single) / (most - single):.0%})"

    parts = [opinions(taste, pool.rated[i : i + RATINGS], i) for i in range(0, RATED, RATINGS)]
    draws = sorted(_chosen_liking(pool.fresh, part, taste) for part in parts)
    early = f"{draws[0]:.3f} to {draws[-1]:.3f}; {told(statistics.median(draws))}"
    late = _chosen_liking(pool.fresh, opinions(taste, pool.rated, RATED), taste)
    return [f"{single:.3f}", f"{most:.3f}", told(bound), early, told(late)]


def _chosen_liking(texts: Sequence[PoolText], rated: Rated, taste: LanguageTaste) -> float:
    """Mean liking of what a head taught by these ratings would show."""
    return statistics.fmean(taste.liking(texts[i].text, texts[i].asked) for i in _chosen(texts, rated))


def _chosen(texts: Sequence[PoolText], rated: Rated) -> list[int]:
    """The places of what a head taught by these ratings shows of texts ordered by take: one of each `BEST_OF`."""
    labels = labels_of(
        [value for _, value in rated], [_FULL_VOTE] * len(rated), [str(each.prompt) for each, _ in rated]
    )
    head = fit(text_features([each.text for each, _ in rated]), labels)
    prompts = len({each.prompt for each in texts})
    liking = head.logits(text_features([each.text for each in texts])).reshape(-1, prompts)
    contents, recent, chosen = [each.text for each in texts], RecentTexts(), []
    for first in range(0, len(liking), BEST_OF):
        for prompt in range(prompts):
            near = nearly_best(np.zeros(BEST_OF), liking[first : first + BEST_OF, prompt])
            chosen.append(recent.most_novel(contents, [(first + int(take)) * prompts + prompt for take in near]))
    return chosen
