"""What is learned from: stored ratings and signals as rows of the trainer's dataset. The one place where the records of
the storage and those of the engine meet. Knows both; decides only how much a newcomer's rating counts.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating
from engine.data.rewards import MIN_TENURE, SIGNAL_VALUES
from storage.db.records import ConsentedGeneration


def dataset_of(texts: Iterable[ConsentedGeneration], *, now: datetime, tenure_days: float) -> Iterator[RatedGeneration]:
    """One row for each generation, in the order given."""

    def weight(seen_at: datetime) -> float:
        return tenure(now - seen_at, tenure_days=tenure_days)

    for text in texts:
        generation = text.generation
        said = [
            Rating(
                rater=rating.rater,
                value=rating.value,
                tenure=weight(rating.rater_first_seen_at),
                at=rating.at.isoformat(),
                reason=rating.reason or "",
            )
            for rating in text.ratings
        ]
        done = [
            Rating(
                rater=signal.person,
                value=SIGNAL_VALUES[signal.signal],
                tenure=weight(signal.person_first_seen_at),
                at=signal.at.isoformat(),
                signal=signal.signal,
            )
            for signal in text.signals
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
        )


def tenure(age: timedelta, *, tenure_days: float) -> float:
    """How much a rater counts, from MIN_TENURE at first sight up to 1 after `tenure_days`; 0 days turns this off."""
    if tenure_days == 0:
        return 1.0
    share = max(age.total_seconds(), 0.0) / (tenure_days * 86_400)
    return min(1.0, max(MIN_TENURE, share))
