"""What admins read of a trial: how it stands and how it ended. Knows sentences and numbers, not how they come about."""

from collections.abc import Mapping

from bot.common.texts import say
from bot.learning.trial import Standing
from storage.db.records import Trial


def standing_sentence(standing: Standing, language: str) -> str:
    """What is on trial, what people say so far, how sure that is and how much is missing."""
    trial, evidence = standing.trial, standing.evidence
    live = {
        "live_likes": standing.version.likes,
        "live_ratings": standing.version.ratings,
        "live_reference_likes": standing.reference.likes,
        "live_reference_ratings": standing.reference.ratings,
    }
    return say(
        language,
        f"trial-{trial.way}",
        version=trial.version,
        reference=trial.reference,
        live=live_words(live, language),
        better=100 * evidence.better,
        togo=standing.to_go,
    )


def ending_sentence(trial: Trial, language: str) -> str:
    """How the ratings have ended a trial."""
    outcome = (trial.outcome or "").replace("_", "-")
    return say(
        language,
        f"trial-{outcome}",
        version=trial.version,
        reference=trial.reference,
        serves=trial.serves or trial.reference,
        live=live_words(trial.numbers, language),
        better=100 * trial.numbers.get("live_better", 0.0),
    )


def live_words(numbers: Mapping[str, float], language: str) -> str:
    """The likes among the ratings of both arms, from a trial's numbers; also where a run has none."""
    names = ("live_likes", "live_ratings", "live_reference_likes", "live_reference_ratings")
    likes, ratings, reference_likes, reference_ratings = (numbers.get(name, 0) for name in names)
    return say(
        language,
        "trial-numbers",
        likes=round(likes),
        ratings=round(ratings),
        percent=100 * likes / max(ratings, 1),
        rlikes=round(reference_likes),
        rratings=round(reference_ratings),
        rpercent=100 * reference_likes / max(reference_ratings, 1),
    )
