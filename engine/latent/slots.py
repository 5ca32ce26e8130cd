"""The topic as a slot in a text: left open, and filled in again.

A recurrent model of a million numbers cannot copy words that it has never seen, but it can say where they belong: the
small generators learn and write texts whose topic is open.
"""

import re
from collections.abc import Sequence

from engine.api.types import Message

SLOTS = TOPIC, HEADLINE, CAPITAL = "\ue000", "\ue001", "\ue002"
"""Where the topic stands: as it is, in title case, and with a capital."""
SENTENCE_START = re.compile(rf"(^|[.!?]”?\s+)([“(]?)([a-z{TOPIC}])")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_SMALL_WORDS = frozenset(
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"]
)


def topic_of(messages: Sequence[Message]) -> str:
    """What a conversation is about: the first message of a person."""
    return next((message.content.strip() for message in messages if message.role == "user"), "")


def fill(text: str, topic: str) -> str:
    """The text with its topic filled in; without one it stays as it is."""
    return text.translate(slots(topic)) if topic else text


def lift(text: str, topic: str) -> str:
    """A text with its topic left open, which `fill` fills in again; without one it stays as it is."""
    if not topic:
        return text
    title, capital = headline(topic), topic[:1].upper() + topic[1:]
    gap = " ?" if _CHINESE.search(text) else ""
    is_title = title in text and (title != capital or headline(text) == text)
    for form in (title, capital, topic):
        text = re.sub(f"{gap}{re.escape(form)}{gap}" if form.isascii() else re.escape(form), TOPIC, text)
    if is_title and not gap:
        return text.replace(TOPIC, HEADLINE)
    return text if gap else SENTENCE_START.sub(lambda m: m[1] + m[2] + (CAPITAL if m[3] == TOPIC else m[3]), text)


def slots(topic: str) -> dict[int, str]:
    """What each of the slots' characters stands for, as `str.translate` takes it."""
    forms = (topic, headline(topic), topic[:1].upper() + topic[1:])
    return {ord(slot): form for slot, form in zip(SLOTS, forms, strict=True)}


def headline(topic: str) -> str:
    """The topic in title case; words with capitals or digits of their own stay as they are.

    >>> headline("a guide to night trains")
    'A Guide to Night Trains'
    """
    parts = topic.split(" ")
    return " ".join(word if i and word in _SMALL_WORDS else word[:1].upper() + word[1:] for i, word in enumerate(parts))
