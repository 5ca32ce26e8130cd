"""What a community likes, from its ratings: the head of `engine.preference` on what may be learned from now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.api.types import Message, group_of
from engine.data.dataset import RatedGeneration, examples_of
from engine.preference.features import Array, text_features
from engine.preference.head import find_signal, labels_of
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences

FEWEST_TEXTS: Final = 10
"""Rated texts, liked and disliked, before anything is chosen by them."""
FEWEST_PERSONAL: Final = 6
"""With fewer ratings nobody has a taste of their own, only everybody's."""
_FEWEST_PER_SIDE = 5
"""With fewer likes or dislikes a cross-validated AUROC tells nothing."""


@dataclass(frozen=True, slots=True)
class RatedText:
    """A text, what it answered, and what everybody together thinks of it."""

    messages: tuple[Message, ...]
    text: str
    value: float
    """In [-1, 1]; above 0 it is liked."""
    weight: float
    """In [0, 1]: how much the votes outweigh the prior. A text of weight 0 teaches nothing about everybody's taste."""


@dataclass(frozen=True, slots=True)
class Taste:
    """A fitted preference model, and what it was fitted on."""

    model: PreferenceModel
    texts: int
    auroc: float | None
    """Chance that a liked text scores above a disliked one, cross-validated by prompt; None where there is too little
    to tell."""

    @property
    def people(self) -> int:
        """Those with a taste of their own."""
        return len(self.model.people)

    def liking(self, texts: Sequence[str], *, person: str | None = None, draw: int | None = None) -> Array:
        """How much each text is liked, (n,), as `PreferenceModel.scores` has it."""
        return self.model.scores(text_features(texts), person=person, draw=draw)


def fit_taste(rows: Sequence[RatedGeneration], wishes: Collection[tuple[str, str]] = ()) -> Taste | None:
    """The taste that these ratings show, and that of every (person, chat) of `wishes` who has rated enough there.

    None where the ratings are too few, or all of one side. The same rows give the same taste, bit for bit.
    """
    texts, people = training_texts(rows, wishes)
    if not texts:
        return None
    features = text_features([text.text for text in texts])
    labels = labels_of(
        [text.value for text in texts], [text.weight for text in texts], [group_of(text.messages) for text in texts]
    )
    likes = {
        person: PersonLikes(np.array(list(said)), (1.0 + np.array(list(said.values()))) / 2.0)
        for person, said in people.items()
        if len(said) >= FEWEST_PERSONAL
    }
    sides = [text.value > 0.0 for text in texts if text.weight > 0.0 and text.value]
    can_tell = min(sides.count(True), sides.count(False)) >= _FEWEST_PER_SIDE and len(np.unique(labels.groups)) > 1
    auroc = find_signal(features, labels, seed=0, permutations=0).auroc if can_tell else None
    return Taste(fit_preferences(features, labels, likes), len(texts), auroc)


def training_texts(
    rows: Sequence[RatedGeneration], wishes: Collection[tuple[str, str]]
) -> tuple[list[RatedText], Mapping[str, Mapping[int, float]]]:
    """The texts with what everybody together thinks of them, and by person, in the chats of their `wishes`, the places
    of those that they have rated, and in [-1, 1] how.

    A text on which the votes cancel has weight 0; it may tell much about one person. Both are empty while the rated
    texts are too few, or all liked, or all disliked.
    """
    examples, _ = examples_of(rows)
    rated = {(group_of(row.messages), row.text) for row in rows if any(r.signal == "said" for r in row.ratings)}
    sides = [example.value > 0.0 for example in examples if (example.group, example.text) in rated]
    if len(sides) < FEWEST_TEXTS or len(set(sides)) < 2:
        return [], {}
    texts = [RatedText(example.messages, example.text, example.value, example.weight) for example in examples]
    places = {(example.group, example.text): place for place, example in enumerate(examples)}
    people: dict[str, dict[int, float]] = {}
    for row in rows:
        own = [rating for rating in row.ratings if rating.signal == "said" and (rating.rater, row.chat) in wishes]
        if own and row.text.strip():
            place = places.setdefault((group_of(row.messages), row.text), len(texts))
            if place == len(texts):
                texts.append(RatedText(row.messages, row.text, 0.0, 0.0))
            for rating in own:
                people.setdefault(rating.rater, {})[place] = rating.value
    return texts, people
