"""Does a new version please less than the old one, or more? An always-valid test on live likes, pure arithmetic.

May be looked at after every rating and stopped at any, which a fixed test may not. Each arm is a mean liking with the
variance of that mean; the difference of two such means, looked at over time, moves like a Brownian motion in its own
information 1 / V (Scharfstein, Tsiatis and Robins 1997), whatever the shares of the arms are.

**Worse?** H0: gap >= -margin, the gap being the version's liking less the reference's. With D = -(gap + margin) and V
its variance, the mixture of likelihood ratios over every deficit with a half-normal prior of scale TYPICAL_GAP is ::

    E = 2 sqrt(V / (V + t^2)) exp(D^2 t^2 / (2 V (V + t^2))) Phi(D t / sqrt(V (V + t^2)))

the mixture sequential probability ratio test (mSPRT: Robbins 1970; Johari, Pekelis and Walsh, arXiv 1512.04922), as
used on canaries by Lindon, Sanden and Shirikian (KDD 2022, arXiv 2205.14762). Under H0 it is a supermartingale that
begins at 1, so the chance that it ever reaches 1 / ALPHA is at most ALPHA (Ville), up to the normal approximation,
which is why there is a burn-in. `benchmarks/canary.py` measures what that comes to.

**Better?** The posterior of the gap under a prior N(0, TYPICAL_GAP^2). Shrinking by it is what allows to stop early;
there is no promise about mistakes here, for to promote an equal version does no harm.

**Variance** is clustered by text, the unit that is dealt to one arm or the other by lot (Abadie, Athey, Imbens and
Wooldridge 2023): ratings of one text hang together; a person's bias falls on both arms alike, as a part of the
residual.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

ALPHA = 0.02
"""The chance to find a version worse by mistake, over all looks. The mixture spends it over for ever, a trial ends."""
TYPICAL_GAP = 0.1  # scale of the gaps expected between two versions, in likes a rating
TOLERANCE = 0.03  # how much worse still counts as "not worse" for a promotion
SURE_NOT_WORSE = 0.95
SURE_BETTER = 0.95
SURE_BETTER_AT_LAST = 0.8
BURN_IN_RATINGS = 20
BURN_IN_TEXTS = 12  # on each arm, before anything is decided: with fewer, the mean is not yet near normal
LONGEST_RATINGS = 1500  # on the version's arm; a trial that has come so far is decided

Decision = Literal["go_on", "roll_back", "promote", "inconclusive"]


@dataclass(frozen=True, slots=True)
class LiveRating:
    """What one person thinks of one text."""

    text: int
    likes: bool
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Arm:
    """What people say to the texts of one version."""

    likes: int
    ratings: int
    texts: int
    liking: float  # weighted share of likes, 0 to 1
    variance: float  # of `liking`


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmComparison:
    """How two arms compare."""

    gap: float  # liking of the version less that of the reference
    against: float  # logarithm of E for "worse"
    better: float  # posterior probability that the gap is above 0
    not_worse: float  # posterior probability that it is above -TOLERANCE


def arm_of(given: Iterable[LiveRating]) -> Arm:
    """Mean and clustered variance; never less than that of independent ratings of the same weights.

    The variance is that of a ratio of sums over texts, with residuals e = w (y - mean)::

        V = G / (G - 1) sum_texts (sum e)^2 / (sum w)^2
    """
    likes = ratings = 0
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    squares = 0.0
    for rating in given:
        ratings += 1
        likes += rating.likes
        squares += rating.weight**2
        entry = sums[rating.text]
        entry[0] += rating.weight * rating.likes
        entry[1] += rating.weight
    total = sum(weight for _, weight in sums.values())
    if not total:
        return Arm(0, 0, 0, liking=0.5, variance=math.inf)
    liking = sum(liked for liked, _ in sums.values()) / total
    texts = len(sums)
    residuals = sum((liked - weight * liking) ** 2 for liked, weight in sums.values())
    clustered = residuals / total**2 * texts / (texts - 1) if texts > 1 else math.inf
    independent = binomial_variance(liking, total**2 / squares)
    return Arm(likes, ratings, texts, liking, max(clustered, independent))


def compare(version: Arm, reference: Arm, *, margin: float = 0.0) -> ArmComparison:
    """What the two arms say; without any ratings on one of them, nothing."""
    gap = version.liking - reference.liking
    variance = version.variance + reference.variance
    if math.isinf(variance):
        return ArmComparison(gap=0.0, against=0.0, better=0.5, not_worse=_phi(TOLERANCE / TYPICAL_GAP))
    prior = TYPICAL_GAP**2
    mean = gap * prior / (prior + variance)
    spread = math.sqrt(prior * variance / (prior + variance))
    return ArmComparison(
        gap=gap,
        against=_log_mixture(-(gap + margin), variance),
        better=_phi(mean / spread),
        not_worse=_phi((mean + TOLERANCE) / spread),
    )


def decide(version: Arm, reference: Arm, *, margin: float = 0.0, may_promote: bool, is_over: bool) -> Decision:
    """What is to become of the version.

    It is rolled back as soon as it is found worse; promoted when it is not worse and probably better (SURE_BETTER), if
    its exposure allows; and when its time is over, promoted if that is likely enough (SURE_BETTER_AT_LAST).
    """
    is_over = is_over or version.ratings >= LONGEST_RATINGS
    if not (_is_warm(version) and _is_warm(reference)):
        return "inconclusive" if is_over else "go_on"
    found = compare(version, reference, margin=margin)
    if found.against >= -math.log(ALPHA):
        return "roll_back"
    needed = SURE_BETTER_AT_LAST if is_over else SURE_BETTER
    if (may_promote or is_over) and found.not_worse >= SURE_NOT_WORSE and found.better >= needed:
        return "promote"
    return "inconclusive" if is_over else "go_on"


def ratings_to_go(version: Arm, reference: Arm, *, margin: float = 0.0, least: int, is_reference_fixed: bool) -> int:
    """Roughly how many more ratings on the version's arm decide, if people go on rating as they have.

    `least` is the fewest on its arm for a promotion. At most what is left to LONGEST_RATINGS.
    """
    longest = max(LONGEST_RATINGS - version.ratings, 0)
    if not (version.ratings and reference.ratings):
        return longest
    for more in range(0, longest, 10):
        growth = 1 + more / version.ratings
        later = _grown(version, growth)
        beside = reference if is_reference_fixed else _grown(reference, growth)
        if decide(later, beside, margin=margin, may_promote=later.ratings >= least, is_over=False) != "go_on":
            return more
    return longest


def _grown(arm: Arm, growth: float) -> Arm:
    ratings, texts = round(arm.ratings * growth), round(arm.texts * growth)
    return replace(arm, ratings=ratings, texts=texts, variance=arm.variance / growth)


def _is_warm(arm: Arm) -> bool:
    return arm.ratings >= BURN_IN_RATINGS and arm.texts >= BURN_IN_TEXTS


def binomial_variance(liking: float, size: float) -> float:
    """Variance of a share of `size` ratings, shrunk by a like and a dislike so that unanimity is not certainty."""
    shrunk = (liking * size + 1) / (size + 2)
    return shrunk * (1 - shrunk) / size


def _log_mixture(deficit: float, variance: float) -> float:
    whole = variance + TYPICAL_GAP**2
    z = deficit * TYPICAL_GAP / math.sqrt(variance * whole)
    return math.log(2) + 0.5 * math.log(variance / whole) + _log_tilted_phi(z)


def _log_tilted_phi(z: float) -> float:
    """log(exp(z^2 / 2) Phi(z)); far to the left, where Phi vanishes, by Mills' ratio."""
    if z > -8:
        return z * z / 2 + math.log(_phi(z))
    return math.log1p(-1 / z**2) - math.log(-z * math.sqrt(2 * math.pi))


def _phi(z: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))
