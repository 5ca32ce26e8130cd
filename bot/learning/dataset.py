"""Stored ratings and signals as rows of the trainer's dataset; here the records of the storage meet the engine's."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating
from engine.data.rewards import MIN_TENURE, SIGNAL_VALUES, Signal
from storage.db.records import ConsentedText


def dataset_of(texts: Iterable[ConsentedText], *, now: datetime, tenure_days: float) -> Iterator[RatedGeneration]:
    """One row for each generation, in the order given."""

    def rating(
        rater: str, first_seen_at: datetime, value: float, at: datetime, *, signal: Signal = "said", reason: str = ""
    ) -> Rating:
        weight = tenure(now - first_seen_at, tenure_days=tenure_days)
        return Rating(rater=rater, value=value, tenure=weight, at=at.isoformat(), signal=signal, reason=reason)

    for text in texts:
        generation = text.generation
        said = [
            rating(it.rater, it.rater_first_seen_at, it.value, it.at, reason=it.reason or "") for it in text.ratings
        ]
        done = [
            rating(it.person, it.person_first_seen_at, SIGNAL_VALUES[it.signal], it.at, signal=it.signal)
            for it in text.signals
        ]
        yield RatedGeneration(
            id=str(generation.id),
            kind=generation.kind,
            chat=generation.chat,
            author=generation.author,
            version=generation.version or "",
            messages=tuple(Message(turn.role, turn.content) for turn in generation.messages),
            text=generation.text or "",
            ratings=(*said, *done),
            best_of=generation.best_of,
            is_cut=generation.finish_reason == "length",
        )


def tenure(age: timedelta, *, tenure_days: float) -> float:
    """How much a rater counts, from MIN_TENURE at first sight up to 1 after `tenure_days`; 0 days turns this off."""
    if tenure_days == 0:
        return 1.0
    share = max(age.total_seconds(), 0.0) / (tenure_days * 86_400)
    return min(1.0, max(MIN_TENURE, share))
