"""Votes for the tests of the label model."""

from engine.data.rewards import Vote


def votes_of(rater: str, values: list[float], *, tenure: float = 1.0, chat: str = "chat") -> list[Vote]:
    return [Vote(f"{rater}-{i}", rater, chat, value, tenure) for i, value in enumerate(values)]
