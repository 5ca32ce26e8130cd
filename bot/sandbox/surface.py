"""What can be seen on the surface of a text, in English and Chinese: the senses of the simulated people.

Every feature lies in [0, 1] and needs no model. Knows nothing of who likes what (see `tastes`).
"""

import re
from collections.abc import Mapping

FEATURES = ("brevity", "lines", "exclamation", "question", "emoji", "numerals", "imagery", "second_person")

_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\u2049\u203c]")
_CJK = re.compile(r"[\u3400-\u9fff]")
_NUMBER = re.compile(r"\d+")
_YOU = re.compile(r"\b(?:you|your|yours|yourself)\b|[你您]", re.IGNORECASE)
_IMAGES = re.compile(
    r"\b(?:moon|moonlight|river|sea|tide|wave|wind|rain|snow|fog|mist|cloud|sky|star|sun|light|shadow|dusk|dawn|"
    r"night|autumn|winter|spring|summer|leaf|leaves|petal|flower|garden|forest|stone|lantern|candle|ember|flame|"
    r"fire|smoke|silver|golden|amber|velvet|silk|honey|feather|bird|swallow|whisper|echo|silence|window|harbour|"
    r"lighthouse|bridge|train|kettle|steam|dream|thread|root|salt)s?\b"
    r"|[月河海潮浪风雨雪雾云天星阳光影暮黎夜秋冬春夏叶花园林石灯烛焰火烟银金绸蜜羽鸟燕寂窗港桥梦根盐山溪露霜]",
    re.IGNORECASE,
)

_LONG_TEXT_WIDTH = 280.0
"""A text of this many Latin characters has no brevity left; a Chinese character counts as two."""


def width(text: str) -> int:
    """How long a text looks, in Latin characters."""
    return len(text) + len(_CJK.findall(text))


def surface(text: str) -> Mapping[str, float]:
    """The features of a text, each in [0, 1]; counts saturate, because nobody counts the tenth "!"."""
    sentences = max(1, len(re.findall(r"[.!?。！？…\n]+", text.strip())))
    return {
        "brevity": max(0.0, 1.0 - width(text) / _LONG_TEXT_WIDTH),
        "lines": min(1.0, text.strip().count("\n") / 3),
        "exclamation": min(1.0, len(re.findall("[!！]", text)) / 2),
        "question": min(1.0, len(re.findall("[?？]", text)) / 2),
        "emoji": min(1.0, len(_EMOJI.findall(text)) / 2),
        "numerals": min(1.0, len(_NUMBER.findall(text)) / 2),
        "imagery": min(1.0, len(_IMAGES.findall(text)) / sentences / 2),
        "second_person": min(1.0, len(_YOU.findall(text)) / 2),
    }
