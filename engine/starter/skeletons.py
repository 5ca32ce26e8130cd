"""The part of the corpus that the small generators learn: one prompt, one text, and where the topic stands left open.

Knows the grammar. The topic is a slot in the text (`grammar.slots`): a recurrent model of a million numbers cannot copy
words that it has never seen, but it can say where they belong. What a person asks is turned into the same form by the
model's chat template. Knows nothing of tokens.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from engine.starter import grammar, topics
from engine.starter.grammar import CAPITAL, HEADLINE, LANGUAGES, TOPIC, Language, Topic

_CHINESE = re.compile("[\u4e00-\u9fff]")


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


def fill(text: str, topic: str) -> str:
    """The text with its topic filled in; without one it stays as it is."""
    return text.translate(grammar.slots(topic)) if topic else text


def lift(text: str, topic: str) -> str:
    """A text with its topic left open, which `fill` fills in again; without one it stays as it is."""
    if not topic:
        return text
    headline, capital = grammar.headline(topic), topic[:1].upper() + topic[1:]
    gap = " ?" if _CHINESE.search(text) else ""
    is_title = headline in text and (headline != capital or grammar.headline(text) == text)
    for form in (headline, capital, topic):
        text = re.sub(f"{gap}{re.escape(form)}{gap}" if form.isascii() else re.escape(form), TOPIC, text)
    if is_title and not gap:
        return text.replace(TOPIC, HEADLINE)
    return (
        text if gap else grammar.SENTENCE_START.sub(lambda m: m[1] + m[2] + (CAPITAL if m[3] == TOPIC else m[3]), text)
    )
