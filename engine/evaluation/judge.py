"""The judge of a candidate: fitted on ratings that the candidate has not learned from.

The ratings are divided by prompt. The learner, a taste head on the larger part, is what the candidate follows. The
judge is a second head on the smaller part, which takes the learner's log-odds as one more feature (stacking: Wolpert
1992): a hundred ratings are few for a taste of their own, but they tell how far the learner can be believed. Where the
learner has learned noise its opinion gets a weight of about 0, and no candidate seems better. Knows features and
labels; knows nothing of adapters, texts or bounds."""

from dataclasses import dataclass

from torch import Tensor

from engine.preference.head import Labels, TasteHead, auroc, fit

JUDGED_ONE_IN = 4
"""The ratings of one prompt in so many are the judge's alone."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Both heads, and how well the learner foretells ratings that it has not seen."""

    learner: TasteHead
    own: TasteHead
    held_out_auroc: float
    """Chance that the learner ranks a liked text of the judge's part above a disliked one."""

    def learner_liking(self, features: Tensor, *, count: int, seed: int) -> Tensor:
        """The chance of a like by the learner, (n,), the mean over draws from its posterior."""
        return self.learner.draws(features, count=count, seed=seed).mean(0)

    def draws(self, features: Tensor, *, count: int, seed: int) -> Tensor:
        """Chances of a like under `count` draws of the judge, (count, n)."""
        return self.own.draws(features, count=count, seed=seed, opinion=self.learner.logits(features))


def is_judged(group: str) -> bool:
    """Whether the ratings of a prompt, by `chat.group_of`, are the judge's."""
    return int(group, 16) % JUDGED_ONE_IN == 0


def fit_judge(features: Tensor, labels: Labels, judged: Tensor) -> Judge:
    """Fit both heads on (n, d) features; `judged`, (n,) bool, marks the judge's part, the rest is the learner's."""
    learner = fit(features[~judged], _part(labels, ~judged))
    opinion, held_out = learner.logits(features[judged]), _part(labels, judged)
    own = fit(features[judged], held_out, opinion=opinion)
    signed = held_out.votes * (2.0 * held_out.likes - 1.0)
    return Judge(learner, own, float(auroc(opinion[:, None], signed[:, None])))


def _part(labels: Labels, which: Tensor) -> Labels:
    return Labels(labels.likes[which], labels.votes[which], labels.groups[which])


def some_on_each_side(labels: Labels, judged: Tensor, *, fewest: int) -> bool:
    """Whether both parts have at least so many likes and dislikes."""
    return all(
        int((part.likes > 0.5).sum()) >= fewest and int((part.likes < 0.5).sum()) >= fewest
        for part in (_part(labels, judged), _part(labels, ~judged))
    )
