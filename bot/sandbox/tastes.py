"""Tastes: what share of people like a text, judged by its surface. Hidden from the bot, known to the simulation.

Knows texts; knows neither people nor Telegram.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.sandbox.surface import FEATURES, surface

LOVED, ACCEPTED, DISLIKED = 0.85, 0.45, 0.15
"""The chances of a like that a text can have; no text pleases or annoys everybody."""


@dataclass(frozen=True, slots=True)
class Taste:
    """Weights over surface features, and where their sum begins to please and to annoy.

    Raises:
        ValueError: a weight for a feature that nobody can see, or thresholds in the wrong order.
    """

    name: str
    weights: Mapping[str, float]
    loved_from: float
    disliked_below: float

    def __post_init__(self) -> None:
        if unknown := self.weights.keys() - set(FEATURES):
            raise ValueError(f"no feature is called {', '.join(sorted(unknown))}; there are {', '.join(FEATURES)}")
        if self.disliked_below > self.loved_from:
            raise ValueError(f"{self.name}: disliked_below must not exceed loved_from")

    def score(self, text: str) -> float:
        """The weighted sum of the features."""
        seen = surface(text)
        return sum(weight * seen[feature] for feature, weight in self.weights.items())

    def liking(self, text: str) -> float:
        """The chance that somebody of this taste likes the text: .85, .45 or .15."""
        score = self.score(text)
        if score >= self.loved_from:
            return LOVED
        return DISLIKED if score < self.disliked_below else ACCEPTED


TASTES: Mapping[str, Taste] = {
    taste.name: taste
    for taste in (
        Taste("lively", {"exclamation": 1.0, "emoji": 1.0, "second_person": 0.3, "imagery": -0.4}, 0.45, 0.0),
        Taste(
            "calm", {"exclamation": -1.5, "emoji": -1.0, "question": -0.6, "numerals": -0.6, "brevity": 0.8}, 0.5, 0.1
        ),
        Taste("poetic", {"imagery": 1.6, "lines": 0.3, "exclamation": -0.8, "numerals": -0.8}, 0.45, 0.05),
        Taste("curious", {"question": 1.0, "second_person": 0.8, "exclamation": -0.4}, 0.4, 0.0),
        Taste("factual", {"numerals": 1.2, "imagery": -0.5, "emoji": -0.6, "exclamation": -0.3}, 0.45, -0.1),
        Taste("brief", {"brevity": 1.5, "lines": -0.4, "question": -0.3}, 1.1, 0.75),
    )
}
"""Tastes by name; the demo's audience has one of them and the bot is never told which."""
