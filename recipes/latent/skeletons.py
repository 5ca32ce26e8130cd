"""The part of the corpus that the small generators learn: one prompt, one text, and where the topic stands left open.

Knows the grammar. The topic is a slot in the text (`engine.latent.slots`). What a person asks is turned into the
same form by
the model's chat template. Knows nothing of tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from recipes import grammar, topics
from recipes.grammar import LANGUAGES, Language, Topic


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One text for one topic."""

    kind: str
    language: Language
    style: str
    topic: str
    text: str


def skeletons(count: int, kinds: tuple[str, ...], *, themed: bool, seed: int) -> Iterator[Skeleton]:
    """So many texts of these kinds in both languages; `themed` takes words that fit the topic, where it has a theme."""
    random = Random(f"skeletons {seed}")
    for _ in range(count):
        kind, language = random.choice(kinds), random.choice(LANGUAGES)
        drawn = topics.topic(language, random)
        topic = Topic(drawn.text, drawn.theme if themed else "", drawn.plural)
        style = random.choice(grammar.styles(kind, language))
        yield Skeleton(kind, language, style, topic.text, grammar.skeleton(kind, style, topic, language, random))
