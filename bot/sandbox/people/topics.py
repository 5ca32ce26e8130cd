"""What simulated people ask for: kinds, and everyday topics by theme, in English and Chinese. Knows nothing else."""

from collections.abc import Mapping
from typing import NamedTuple

KINDS = ("slogan", "poem", "story", "post", "pitch", "title", "character", "write")
"""Commands of the bot, without the slash."""

_THEMES: Mapping[str, Mapping[str, str]] = {
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
THEMES = tuple(_THEMES["en"])
"""What a topic may belong to; the same in both languages."""

TOPICS: dict[str, tuple[str, ...]] = {
    language: tuple(topic for row in themes.values() for topic in row.split(", "))
    for language, themes in _THEMES.items()
}
"""Everyday topics per language, theme by theme."""

_THEME_OF = {topic: theme for themes in _THEMES.values() for theme, row in themes.items() for topic in row.split(", ")}


class Asked(NamedTuple):
    """What a text was asked for, as everybody in the chat can see; empty where that does not matter."""

    kind: str = ""
    topic: str = ""

    @property
    def theme(self) -> str:
        """The topic's theme; empty for a topic that is not among ours."""
        return _THEME_OF.get(self.topic, "")


ANYTHING = Asked()
