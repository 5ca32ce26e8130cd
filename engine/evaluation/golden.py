"""The golden prompts: a fixed set that every version must manage, whatever a community has asked so far.

An answer manages if it comes to an end by itself, says something, and is written in the prompt's script. Knows prompts
and texts; knows nothing of models or bounds.
"""

import re

from engine.api.chat import Message

_ASKED = {
    "en": (
        ("You write short slogans.", ("a bakery", "clean water", "the night bus")),
        ("You write short poems.", ("the first snow", "an empty house", "two rivers")),
        ("You write short stories.", ("a lost key", "the last train", "a letter from the sea")),
        ("You write posts for a community.", ("a book swap", "our summer party", "a new bike path")),
    ),
    "zh": (
        ("你写简短的口号。", ("面包店", "干净的水", "夜班车")),
        ("你写短诗。", ("初雪", "空房子", "两条河")),
    ),
}
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W\d_]")

GOLDEN_PROMPTS: tuple[tuple[Message, ...], ...] = tuple(
    (Message("system", instruction), Message("user", topic))
    for asked in _ASKED.values()
    for instruction, topics in asked
    for topic in topics
)
"""What is asked, in the order in which answers are expected."""


def manages(messages: tuple[Message, ...], text: str, *, ended: bool) -> bool:
    """Whether an answer is one at all."""
    is_chinese = bool(_CHINESE.search(messages[-1].content))
    return ended and bool(_WORD.search(text)) and bool(_CHINESE.search(text)) == is_chinese
