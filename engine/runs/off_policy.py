"""What the logged ratings themselves say of a candidate, weighted by how much likelier it makes each text.

Self-normalised importance sampling (SNIPS: Swaminathan and Joachims 2015), weights pi_candidate(y|x) / pi_base(y|x),
over texts that the base wrote without choosing among several, since best-of-n has no simple propensity. The effective
sample size (sum w)^2 / sum w^2 falls as exp(-2 KL): below a fifth of the texts the estimate is not even printed. It may
veto a candidate and never promote one. Pure arithmetic: knows numbers only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MIN_EFFECTIVE_SHARE = 0.2
FEWEST_TEXTS = 30
_Z = 1.645


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference in mean rating, candidate less logged, in [-2, 2]."""

    gain: float
    low: float
    """5 % quantile, by the delta method."""
    high: float
    effective_share: float
    """Effective sample size over texts."""


def estimate(log_ratios: Sequence[float], values: Sequence[float]) -> Estimate | None:
    """The candidate's mean rating less that of the logged texts; None where too little of the sample would count.

    Args:
        log_ratios: log pi_candidate(y|x) - log pi_logged(y|x), nats.
        values: the texts' labels, in [-1, 1], in the same order.
    """
    if len(values) < FEWEST_TEXTS:
        return None
    highest = max(log_ratios)
    weights = [math.exp(ratio - highest) for ratio in log_ratios]
    total = math.fsum(weights)
    share = total**2 / math.fsum(weight**2 for weight in weights) / len(values)
    if not share >= MIN_EFFECTIVE_SHARE:
        return None
    mean = math.fsum(values) / len(values)
    weighted = math.fsum(w * v for w, v in zip(weights, values, strict=True)) / total
    # Each text's influence on the difference of the two means.
    influences = [w * len(values) / total * (v - weighted) - (v - mean) for w, v in zip(weights, values, strict=True)]
    error = math.sqrt(math.fsum(x**2 for x in influences)) / len(values)
    gain = weighted - mean
    return Estimate(gain, gain - _Z * error, gain + _Z * error, share)
