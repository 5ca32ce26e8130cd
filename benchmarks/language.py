"""Tastes that need language: how much of what could be had is had after 50 ratings, and after nights.

Headroom is the way from a single text of the base to the best of all its texts for a request, by the hidden taste
itself. The head alone is measured on a pool of the base's texts that is written once (`pool`), so that all tastes and
several draws of the ratings cost seconds.
"""

import statistics
from collections.abc import Sequence
from random import Random

import numpy as np

from benchmarks.language_tastes import LANGUAGE_TASTES, NOISE, LanguageTaste
from benchmarks.pool import RATED, Pool, PoolText, pool_of
from benchmarks.tables import Table
from engine.api.models import version_name
from engine.preference.choice import RecentTexts, nearly_best
from engine.preference.features import text_features
from engine.preference.head import fit, labels_of, sigmoid

RATINGS = 50
BEST_OF = 4
"""What BEST_OF=8 comes to on an idle engine on two cores, as in `seasons`."""
TAKES, FEW_TAKES = 16, 8
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


def _head_row(pool: Pool, taste: LanguageTaste) -> list[str]:
    """A single text's liking, the reachable one, the choice's own bound, and the head's after few and many ratings."""
    liking = np.array([taste.liking(each.text, each.asked) for each in pool.fresh])
    by_prompt = liking.reshape(-1, len({each.prompt for each in pool.fresh}))  # (takes, prompts)
    single, most = float(liking.mean()), float(by_prompt.max(0).mean())
    bound = float(by_prompt.reshape(-1, BEST_OF, by_prompt.shape[1]).max(1).mean())
    seen = text_features([each.text for each in pool.fresh])

    def shown(rated: Sequence[PoolText], seed: int) -> float:
        return _chosen_liking(pool, by_prompt, seen, rated, taste, seed)

    def told(value: float) -> str:
        return f"{value:.3f} ({(value - single) / (most - single):.0%})"

    draws = sorted(shown(pool.rated[i : i + RATINGS], i) for i in range(0, RATED, RATINGS))
    early = f"{draws[0]:.3f} to {draws[-1]:.3f}; {told(statistics.median(draws))}"
    return [f"{single:.3f}", f"{most:.3f}", told(bound), early, told(shown(pool.rated, RATED))]


def _chosen_liking(
    pool: Pool,
    liking: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    seen: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    rated: Sequence[PoolText],
    taste: LanguageTaste,
    seed: int,
) -> float:
    """Mean liking of what a head taught by these texts would show, of `BEST_OF` fresh ones at a time."""
    chance = Random(f"{taste.name} {seed}")
    values = [1.0 if taste.is_liked(each.text, each.asked, chance) else -1.0 for each in rated]
    labels = labels_of(values, [_FULL_VOTE] * len(values), [str(each.prompt) for each in rated])
    head = fit(text_features([each.text for each in rated]), labels)
    chances = sigmoid(head.logits(seen)).reshape(liking.shape)
    texts, recent, chosen = [each.text for each in pool.fresh], RecentTexts(), []
    takes, prompts = liking.shape
    for first in range(0, takes, BEST_OF):
        near = nearly_best(chances[first : first + BEST_OF])
        for prompt in range(prompts):
            places = [(first + int(take)) * prompts + prompt for take in near[:, prompt].nonzero()[0]]
            chosen.append(recent.most_novel(texts, places))
    return float(liking.reshape(-1)[chosen].mean())
