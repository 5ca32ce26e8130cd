"""Vote rings: fresh accounts that push the same texts the same way, against everybody else or where nobody else looks.

Lockstep as in CopyCatch (Beutel et al., WWW 2013): a group of raters who rate the same texts alike within
a window of time. There the null is silence; here it is that newcomers are honest and as accurate as established
people, who may well agree with one another because a text is plainly good. So three rules:

* **Fresh** is who has less than half of the median tenure (`engine.data.rewards.relative_tenures`). Where all are new,
  nobody is fresh.
* A **coincidence** of two fresh raters is the same side on a text, at most a day apart, that the established raters
  of that text do not share. Let p be how often two established raters of a text agree, and a with p = a^2 + (1 - a)^2
  their accuracy. Of n texts that two honest newcomers both rated they then coincide, at most, on a share of::

      q = ((1 - a)^2 n_against + p n_without) / n

  with n_against of the texts rated by established people and n_without by none. Two raters are **in step** if they
  coincide on k >= 3 texts and P(Binomial(n, q) >= k) <= min(0.01, 1 / number of fresh raters). (The binomial's tail
  bounds the one of unequal chances: Hoeffding 1956.)
* A **ring** is a set of raters each of whom is in step with at least four others of the set: the 4-core of that
  graph. By chance a rater is in step with at most one other, and a random graph of mean degree 1 has no 4-core
  (Pittel, Spencer and Wormald 1996).

Its members' coincidences with one another are set aside; whatever else they said counts. What it cannot see: four
accounts or fewer, accounts that waited until they were established, members who take more than a day; these meet the
caps of `engine.data.rewards`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from engine.data.rewards import Vote, relative_tenures

FRESH_BELOW = 0.5
WINDOW_SECONDS = 86_400.0
MIN_COINCIDENCES = 3
MIN_COMPANIONS = 4
CHANCE = 0.01

_PRIOR_PAIRS = 10.0  # agreement is estimated as if so many pairs had been seen to agree three times in four


@dataclass(frozen=True, slots=True)
class _Established:
    """What the established raters say: of each text the sum of their votes' signs; and how often two agree."""

    leanings: Mapping[str, int]
    agreement: float

    def shares(self, vote: Vote) -> bool:
        """Whether the established raters of the text lean the same way."""
        return self.leanings.get(vote.generation, 0) * vote.value > 0.0

    def chance(self, texts: set[str]) -> float:
        """q: how often, at most, two honest newcomers coincide on one of the texts that both rated."""
        against = sum(text in self.leanings for text in texts)
        accuracy = (1.0 + math.sqrt(max(0.0, 2.0 * self.agreement - 1.0))) / 2.0
        return ((1.0 - accuracy) ** 2 * against + self.agreement * (len(texts) - against)) / len(texts)


def in_vote_rings(votes: Sequence[Vote]) -> tuple[bool, ...]:
    """For each vote, in the order given, whether it is to be set aside."""
    tenures = relative_tenures(votes)
    fresh = [i for i, vote in enumerate(votes) if tenures[vote.rater] < FRESH_BELOW and vote.value]
    if len({votes[i].rater for i in fresh}) <= MIN_COMPANIONS:
        return (False,) * len(votes)
    established = _established([vote for vote in votes if tenures[vote.rater] >= FRESH_BELOW])
    coincidences = _coincidences(votes, [i for i in fresh if not established.shares(votes[i])])
    texts: dict[str, set[str]] = defaultdict(set)
    for i in fresh:
        texts[votes[i].rater].add(votes[i].generation)
    limit = min(CHANCE, 1.0 / len(texts))
    in_step = [
        pair
        for pair, met in coincidences.items()
        if len(met) >= MIN_COINCIDENCES
        and _is_beyond_chance(len(met), texts[pair[0]] & texts[pair[1]], established, limit)
    ]
    members = _core(in_step)
    aside = {i for pair in in_step if members.issuperset(pair) for both in coincidences[pair] for i in both}
    return tuple(i in aside for i in range(len(votes)))


def _established(votes: Sequence[Vote]) -> _Established:
    likes, dislikes = Counter[str](), Counter[str]()
    for vote in votes:
        if vote.value:
            (likes if vote.value > 0.0 else dislikes)[vote.generation] += 1
    same = pairs = 0
    for text in likes.keys() | dislikes.keys():
        same += math.comb(likes[text], 2) + math.comb(dislikes[text], 2)
        pairs += math.comb(likes[text] + dislikes[text], 2)
    leanings = {text: likes[text] - dislikes[text] for text in likes.keys() | dislikes.keys()}
    return _Established(leanings, (same + 0.75 * _PRIOR_PAIRS) / (pairs + _PRIOR_PAIRS))


def _coincidences(votes: Sequence[Vote], candidates: Sequence[int]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """The pairs of raters, in order, and their pairs of votes on one side of one text within the window."""
    alike: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for i in candidates:
        alike[votes[i].generation, votes[i].value > 0.0].append(i)
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for group in alike.values():
        for i, j in combinations(sorted(group, key=lambda i: votes[i].rater), 2):
            one, other = votes[i], votes[j]
            if one.rater != other.rater and _are_close(one.at, other.at):
                found[one.rater, other.rater].append((i, j))
    return found


def _are_close(one: float | None, other: float | None) -> bool:
    return one is None or other is None or abs(one - other) <= WINDOW_SECONDS


def _is_beyond_chance(met: int, shared: set[str], established: _Established, limit: float) -> bool:
    """P(Binomial(n, q) >= k) <= limit."""
    n, q = len(shared), established.chance(shared)
    tail = math.fsum(math.comb(n, k) * q**k * (1.0 - q) ** (n - k) for k in range(met, n + 1))
    return tail <= limit


def _core(pairs: Sequence[tuple[str, str]]) -> set[str]:
    """The largest set of raters each of whom has at least `MIN_COMPANIONS` of the pairs within the set."""
    companions: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        companions[one].add(other)
        companions[other].add(one)
    leaving = [rater for rater, others in companions.items() if len(others) < MIN_COMPANIONS]
    while leaving:
        rater = leaving.pop()
        for other in companions.pop(rater, ()):
            companions[other].discard(rater)
            if len(companions[other]) == MIN_COMPANIONS - 1:
                leaving.append(other)
    return set(companions)
