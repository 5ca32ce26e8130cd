"""The decision to promote: measurements of a candidate in, a verdict with its reason out. Pure arithmetic, no torch.

**Is it better?** Both versions answer the same logged prompts with the same random numbers; a judge (`engine.taste`)
gives each reply its chance of a like. For S draws of the judge from its posterior and P prompts there is a matrix of
paired differences; each draw is averaged over prompts resampled with replacement (a bootstrap clustered by prompt), so
that the S means carry the judge's doubt as well as the prompts'. Promoted on "not worse, and probably better":
P(gain > 0) >= 0.8, and the gain's 5 % quantile above -3 points of liking.

**May the judge speak at all?** Only if regressions on other prompts' ratings rank likes above dislikes, better than all
but 2 % of the same ratings shuffled over the texts; otherwise nothing is trained. With random ratings a candidate
learns the very noise that the judge believes and always seems better; this check is what refuses it, but for 2 in a
hundred. The judge is not independent of the candidate, which has learned from the same ratings and from the judge's own
opinions: the gain it reports flatters, and is a reason to promote only together with this check, the bounds and what
people say afterwards.

**Bounds**, each in its own right:

* `kl`, `kl_tail`: at most 3 nats a text from the base on average and 15 in the 99th percentile: beyond, a reply is e^15
  times likelier than in the base, which is a learned phrase rather than a taste.
* `fluency`: the base's perplexity of the candidate's replies at most 10 % above that of the champion's, or what
  `max_kl` comes to when spent on texts of that length: a style that one base text in ten shows costs log 10 = 2.3 nats
  a text, which is a lot for a slogan and little for a story.
* `diversity`: distinct-2 at least 90 % of the champion's, over equally many pairs.
* `length`: mean tokens within 0.4 to 2.5 times the champion's: shorter may be the taste, vanishing is not.
* `begging` at most 2 % of replies above the champion's; `shouting` (emoji and exclamation marks) at most 10 % of all
  characters, or twice the champion's: a taste for emoji is legitimate, a wall of them is not.
* `overlap`: word-for-word repetition of rated texts at most 10 points above the champion's.

The trainer shrinks a candidate that oversteps a bound and has it judged again, before it gives up.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from engine.dataset import Example
from engine.run import Check, GateBounds, Reason, ReasonCode, RunConfig
from engine.text_measures import TextMeasures

RESAMPLING_SEED = 20_260_101
MIN_MINORITY = 3
"""Likes and dislikes that a run needs of each: with fewer no judge can be fitted on one part and tried on another."""
OVERSTEPPED: frozenset[ReasonCode] = frozenset({"kl", "fluency", "diversity", "length", "hacks", "overlap"})
"""Reasons that say a candidate went too far, so that a smaller step the same way may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Everything the decision rests on."""

    signal: float
    """Cross-validated AUROC of the ratings."""
    chance: float
    """How often shuffled ratings do as well."""
    gains: Sequence[Sequence[float]]
    """(S, P): candidate's minus champion's chance of a like, for each draw of the judge and each prompt."""
    kl: float
    """Nats a text from the base, mean over the candidate's replies."""
    kl_tail: float
    """99th percentile of the same."""
    champion: TextMeasures
    candidate: TextMeasures


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, its reason and every check behind it."""

    passed: bool
    reason: Reason
    checks: tuple[Check, ...]


def reason_to_skip(examples: Sequence[Example], raters: int, config: RunConfig) -> Reason | None:
    """Why these examples cannot be trained on, or None if they can."""
    if len(examples) < config.min_ratings:
        return Reason("too_few", {"ratings": len(examples), "needed": config.min_ratings})
    if raters < 2:
        return Reason("one_rater", {"raters": raters})
    likes = sum(example.value > 0.0 for example in examples)
    dislikes = len(examples) - likes
    if min(likes, dislikes) < MIN_MINORITY:
        return Reason("one_sided", {"likes": likes, "dislikes": dislikes, "needed": MIN_MINORITY})
    return None


def decide(measured: Measurements, bounds: GateBounds) -> Verdict:
    """Promote if every check holds; otherwise the reason is the first that does not."""
    means = sorted(resampled_means(measured.gains))
    gain, low, high = sum(means) / len(means), quantile(means, 0.05), quantile(means, 0.95)
    better = sum(mean > 0.0 for mean in means) / len(means)
    named: list[tuple[ReasonCode, Check]] = [
        ("no_signal", _at_most("chance", measured.chance, bounds.max_chance)),
        *_bound_checks(measured, bounds),
        ("not_better", _at_least("better", better, bounds.min_probability_better)),
        ("not_better", _at_least("gain_low", low, -bounds.max_loss)),
    ]
    checks = tuple(check for _, check in named)
    numbers = {
        "signal": measured.signal,
        "gain": gain,
        "gain_low": low,
        "gain_high": high,
        "probability": better,
        "kl": measured.kl,
    }
    if not all(math.isfinite(check.value) and math.isfinite(check.bound) for check in checks):
        return Verdict(passed=False, reason=Reason("nan"), checks=checks)
    for code, check in named:
        if not check.ok:
            return Verdict(False, Reason(code, {**numbers, "value": check.value, "bound": check.bound}), checks)
    return Verdict(passed=True, reason=Reason("better", numbers), checks=checks)


def without_signal(signal: float, chance: float, bounds: GateBounds) -> Verdict | None:
    """The verdict when the ratings do not predict one another, which is known before anything is trained; else None.

    Args:
        signal: cross-validated AUROC of the ratings.
        chance: how often shuffled ratings do as well.
        bounds: what to keep to.
    """
    check = _at_most("chance", chance, bounds.max_chance)
    if check.ok:
        return None
    return Verdict(False, Reason("no_signal", {"signal": signal, "value": chance, "bound": check.bound}), (check,))


def resampled_means(gains: Sequence[Sequence[float]]) -> list[float]:
    """One mean gain for each draw of the judge, over prompts resampled with replacement."""
    rng = random.Random(RESAMPLING_SEED)
    return [math.fsum(rng.choices(row, k=len(row))) / len(row) for row in gains]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ascending values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _bound_checks(measured: Measurements, bounds: GateBounds) -> list[tuple[ReasonCode, Check]]:
    before, after = measured.champion, measured.candidate
    shouting_bound = max(bounds.max_shouting, 2.0 * before.shouting)
    fluency_bound = before.fluency + max(math.log1p(bounds.max_perplexity_rise), bounds.max_kl / after.length)
    return [
        ("kl", _at_most("kl", measured.kl, bounds.max_kl)),
        ("kl", _at_most("kl_tail", measured.kl_tail, bounds.max_kl_tail)),
        ("fluency", _at_most("fluency", after.fluency, fluency_bound)),
        ("diversity", _at_least("diversity", after.distinct_2, before.distinct_2 * bounds.min_diversity)),
        ("length", _at_least("length_short", after.length, before.length * bounds.min_length_ratio)),
        ("length", _at_most("length_long", after.length, before.length * bounds.max_length_ratio)),
        ("hacks", _at_most("begging", after.begging, before.begging + bounds.max_begging)),
        ("hacks", _at_most("shouting", after.shouting, shouting_bound)),
        ("overlap", _at_most("overlap", after.overlap, before.overlap + bounds.max_overlap_rise)),
    ]


def _at_most(name: str, value: float, bound: float) -> Check:
    return Check(name, value, bound, ok=value <= bound)


def _at_least(name: str, value: float, bound: float) -> Check:
    return Check(name, value, bound, ok=value >= bound)
