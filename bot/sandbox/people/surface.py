"""What can be seen on the surface of a text, in English and Chinese: the senses of the simulated people.

Every feature lies in [0, 1] and needs no model. Knows nothing of who likes what (see `tastes`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

FEATURES = (
    *("brevity", "lines", "exclamation", "question", "emoji", "numerals", "imagery", "second_person"),
    *("cheer", "wistful", "dry"),
)
"""The last three are moods, told by words."""

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
_CHEER = re.compile(
    r"\b(?:smil(?:e|es|ing)|laugh(?:s|ing|ter)?|giggling|danc(?:e|es|ing)|sing(?:s|ing)?|cheers?|celebrat(?:e|es|ing)|"
    r"hooray|joy|joys|happy|merry|lovely|hopeful|grateful|fearless|brighter|wonder|surprises?|friends?|adventure|"
    r"good news|party|delight|hello)\b"
    r"|笑|欢|快乐|喜|惊|跳舞|唱起|哼歌|好运|好消息|好心情|幸福|冒险|朋友|早安|你好|加倍",
    re.IGNORECASE,
)
_WISTFUL = re.compile(
    r"\b(?:once|ago|remembers?|last|late|still|almost|alone|left|far|away|slow|slowly|softly|quiet|quietly|hush|"
    r"silence|shadows?|weary|asleep|dreams?|borrowed|waits?|waited|forget|forgotten|winters?|breath)\b"
    r"|从前|当年|很久|记得|想起|忘|远处|慢慢|慢悠悠|静|寂|影子|岁月|梦|等着|轻一点|深秋|半开|屏住|旧",
    re.IGNORECASE,
)
_DRY = re.compile(
    r"\b(?:opinions?|lawyer|experts?|convinced|agrees?|nodded|harmed|serious|ambitions|wisdom|effects|dignity|"
    r"naturally|nothing more|that is all|of course|confused|elevator|pigeons?|goldfish|accordion|mother-in-law|"
    r"side effects|beware|warning|blame|the plan|reportedly)\b"
    r"|表示|同意|专家|律师|严肃|看法|副作用|自备|丈母娘|金鱼|受伤|有理想|有主见|有学问|迷糊|手风琴|电梯|当然|就这些|都怪|就怪",
    re.IGNORECASE,
)

_LONG_TEXT_WIDTH = 280.0
"""A text of this many Latin characters has no brevity left; a Chinese character counts as three."""


def width(text: str) -> int:
    """How long a text reads, in Latin characters; a Chinese one says as much as three."""
    return len(text) + 2 * len(_CJK.findall(text))


@lru_cache(maxsize=4096)  # everybody in a crowd looks at the same text
def surface(text: str) -> Mapping[str, float]:
    """The features of a text, each in [0, 1]; counts saturate, because nobody counts the tenth "!"."""
    sentences = max(1, len(re.findall(r"[.!?。！？…\n]+", text.strip())))
    seen = {
        "brevity": max(0.0, 1.0 - width(text) / _LONG_TEXT_WIDTH),
        "lines": min(1.0, text.strip().count("\n") / 3),
        "exclamation": min(1.0, len(re.findall("[!！]", text)) / 2),
        "question": min(1.0, len(re.findall("[?？]", text)) / 2),
        "emoji": min(1.0, len(_EMOJI.findall(text)) / 2),
        "numerals": min(1.0, len(_NUMBER.findall(text)) / 2),
        "imagery": min(1.0, len(_IMAGES.findall(text)) / sentences / 2),
        "second_person": min(1.0, len(_YOU.findall(text)) / 2),
        "cheer": min(1.0, len(_CHEER.findall(text)) / 2),
        "wistful": min(1.0, len(_WISTFUL.findall(text)) / 2),
        "dry": min(1.0, len(_DRY.findall(text)) / 2),
    }
    return MappingProxyType(seen)
