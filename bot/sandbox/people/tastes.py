"""Tastes: what share of people like a text, told by features that can be seen and by what was asked for.

Hidden from the bot, known to the simulation. Works in English and Chinese, and needs no model.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

# What people ask for

KINDS = ("slogan", "poem", "story", "post", "pitch", "title", "character", "write")
"""Commands of the bot, without the slash."""

_TOPICS_BY_THEME: Mapping[str, Mapping[str, str]] = {
    "en": {
        "nature": "autumn rain, a city garden, first snow, a cat on the roof, bees, a rainy Sunday",
        "table": "green tea, sourdough bread, homemade jam, morning coffee, grandmother's recipes, the village bakery",
        "places": (
            "a night train, the school library, the old lighthouse, a street market, the harbour, the swimming pool"
        ),
        "things": "wool socks, a lost umbrella, paper kites, second-hand books, solar panels",
        "together": (
            "our bike repair day, the chess club, our running group, a jazz evening, the choir, a picnic by the river,"
            " a board game night"
        ),
    },
    "zh": {
        "nature": "秋雨, 初雪, 屋顶上的猫, 蜜蜂, 雨天的周日",
        "table": "绿茶, 手工面包, 早晨的咖啡, 外婆的菜谱",
        "places": "社区花园, 夜班火车, 学校图书馆, 夜市, 海边的灯塔",
        "things": "旧书摊, 纸风筝",
        "together": "跑步小组, 合唱团, 围棋俱乐部, 河边野餐",
    },
}
THEMES = tuple(_TOPICS_BY_THEME["en"])
"""What a topic may belong to; the same in both languages."""

TOPICS: dict[str, tuple[str, ...]] = {
    language: tuple(topic for row in themes.values() for topic in row.split(", "))
    for language, themes in _TOPICS_BY_THEME.items()
}
"""Everyday topics per language, theme by theme."""

_THEME_OF = {
    topic: theme for themes in _TOPICS_BY_THEME.values() for theme, row in themes.items() for topic in row.split(", ")
}


class Asked(NamedTuple):
    """What a text was asked for, as everybody in the chat can see; empty where that does not matter."""

    kind: str = ""
    topic: str = ""

    @property
    def theme(self) -> str:
        """The topic's theme; empty for a topic that is not among ours."""
        return _THEME_OF.get(self.topic, "")


ANYTHING = Asked()

# What can be seen of a text

_CJK = re.compile(r"[\u3400-\u9fff]")
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


_COUNTED = {
    "exclamation": re.compile("[!！]"),
    "question": re.compile("[?？]"),
    "emoji": re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\u2049\u203c]"),
    "numerals": re.compile(r"\d+"),
    "second_person": re.compile(r"\b(?:you|your|yours|yourself)\b|[你您]", re.IGNORECASE),
    "cheer": _CHEER,
    "wistful": _WISTFUL,
    "dry": _DRY,
}
FEATURES = ("brevity", "lines", "imagery", *_COUNTED)
"""The last three are moods, told by words."""


@lru_cache(maxsize=4096)  # everybody in a crowd looks at the same text
def features_of(text: str) -> Mapping[str, float]:
    """The features of a text, each in [0, 1]; counts saturate at two, because nobody counts the tenth "!"."""
    sentences = max(1, len(re.findall(r"[.!?。！？…\n]+", text.strip())))
    seen = {
        "brevity": max(0.0, 1.0 - width(text) / _LONG_TEXT_WIDTH),
        "lines": min(1.0, text.strip().count("\n") / 3),
        "imagery": min(1.0, len(_IMAGES.findall(text)) / sentences / 2),
        **{name: min(1.0, len(pattern.findall(text)) / 2) for name, pattern in _COUNTED.items()},
    }
    return MappingProxyType(seen)


# Who likes what

LOVED, ACCEPTED, DISLIKED = 0.85, 0.45, 0.15
"""The chances of a like that a text can have; no text pleases or annoys everybody."""


@dataclass(frozen=True, slots=True)
class Style:
    """One taste for all: weights over features, and where their sum begins to please and to annoy.

    `leanings` shift the log-odds of a like by kind or theme, whatever the text; no writer can learn them, and a learner
    must not mistake them for style.

    Raises:
        ValueError: a weight for a feature that nobody can see, a leaning to what nobody can ask for, or thresholds in
            the wrong order.
    """

    name: str
    weights: Mapping[str, float]
    loved_from: float
    disliked_below: float
    leanings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := self.weights.keys() - set(FEATURES):
            raise ValueError(f"no feature is called {', '.join(sorted(unknown))}; there are {', '.join(FEATURES)}")
        if unknown := self.leanings.keys() - {*KINDS, *THEMES}:
            raise ValueError(f"no kind or theme is called {', '.join(sorted(unknown))}")
        if self.disliked_below > self.loved_from:
            raise ValueError(f"{self.name}: disliked_below must not exceed loved_from")

    def score(self, text: str) -> float:
        """The weighted sum of the features."""
        seen = features_of(text)
        return sum(weight * seen[feature] for feature, weight in self.weights.items())

    def liking(self, text: str, asked: Asked = ANYTHING) -> float:
        """The share of people who like the text: .85, .45 or .15, moved by the leanings where there are some."""
        score = self.score(text)
        liking = LOVED if score >= self.loved_from else DISLIKED if score < self.disliked_below else ACCEPTED
        leaning = self.leanings.get(asked.kind, 0.0) + self.leanings.get(asked.theme, 0.0)
        return shifted(liking, leaning) if leaning else liking

    def of(self, place: float) -> "Style":
        """The taste of the person at this place of the crowd: this, for everybody."""
        return self


@dataclass(frozen=True, slots=True)
class Camps:
    """A crowd of several camps; shares are relative. The camps sit side by side, in the order given.

    Raises:
        ValueError: there is no camp, or a share is negative, or all are 0.
    """

    name: str
    camps: Sequence[tuple[Style, float]]

    def __post_init__(self) -> None:
        if not sum(share for _, share in self.camps) > 0.0 or any(share < 0.0 for _, share in self.camps):
            raise ValueError(f"{self.name}: the shares of the camps must be 0 or more, and not all 0")

    def liking(self, text: str, asked: Asked = ANYTHING) -> float:
        """The mean over the camps, by their shares."""
        total = sum(share for _, share in self.camps)
        return sum(share * taste.liking(text, asked) for taste, share in self.camps) / total

    def of(self, place: float) -> Style:
        """The taste of the camp that sits at this place of the crowd, from 0 to 1, 1 excluded."""
        left = place * sum(share for _, share in self.camps)
        for taste, share in self.camps:
            if left < share:
                return taste
            left -= share
        return self.camps[-1][0]


Taste = Style | Camps


def shifted(share: float, by: float) -> float:
    """A share within 0 and 1 after a shift of its log-odds."""
    return 1.0 / (1.0 + math.exp(-(math.log(share / (1.0 - share)) + by)))


_STYLES = (
    Style("lively", {"exclamation": 1.0, "emoji": 1.0, "second_person": 0.3, "imagery": -0.4}, 0.45, 0.0),
    Style("calm", {"exclamation": -1.5, "emoji": -1.0, "question": -0.6, "numerals": -0.6, "brevity": 0.8}, 0.5, 0.1),
    Style("poetic", {"imagery": 1.6, "lines": 0.3, "exclamation": -0.8, "numerals": -0.8}, 0.45, 0.05),
    Style("curious", {"question": 1.0, "second_person": 0.8, "exclamation": -0.4}, 0.4, 0.0),
    Style("factual", {"numerals": 1.2, "imagery": -0.5, "emoji": -0.6, "exclamation": -0.3}, 0.3, -0.1),
    Style("brief", {"brevity": 1.5, "lines": -0.4, "question": -0.3}, 1.1, 0.75),
    Style("leisurely", {"brevity": -1.0, "exclamation": -0.2}, -0.53, -0.72),
    Style("merry", {"cheer": 1.0, "exclamation": 1.0, "emoji": 0.5}, 0.45, 0.1),
    Style("wistful", {"wistful": 1.0, "imagery": 0.3, "exclamation": -0.8, "numerals": -0.4, "emoji": -0.4}, 0.5, 0.0),
    Style("wry", {"dry": 1.0, "cheer": -0.3, "exclamation": -0.4, "emoji": -0.4}, 0.4, -0.1),
    Style(
        "outdoor", {"imagery": 0.8, "second_person": 0.6, "numerals": -0.5}, 0.4, 0.1,
        {"nature": 1.0, "things": -1.0, "poem": 0.5, "pitch": -0.8},
    ),
)  # fmt: skip
_OF = {style.name: style for style in _STYLES}

TASTES: Mapping[str, Taste] = {
    **_OF,
    "divided": Camps("divided", ((_OF["curious"], 0.5), (_OF["poetic"], 0.5))),
    "torn": Camps("torn", ((_OF["brief"], 0.6), (_OF["wry"], 0.4))),
}
"""Tastes by name; the demo's audience has one of them and the bot is never told which. The last two are camps."""
