"""How a run has ended, in words. Knows codes and sentences, not how a run works."""

from collections.abc import Mapping

from bot.common.texts import say
from bot.reporting.trial_words import live_words
from storage.db.records import Run


def verdict_sentence(run: Run, language: str) -> str:
    """The verdict, the version that it names, and the reason."""
    numbers = {"ratings": float(run.ratings), **run.numbers}
    return say(
        language,
        f"verdict-{run.verdict}",
        run=run.id,
        version=run.version or "",
        why=run.reason or "",
        share=100 * numbers.get("share", 0.0),
        reason=reason_sentence(run.reason or "", numbers, language, candidate=f"v{run.id}"),
    )


def reason_sentence(code: str, numbers: Mapping[str, float], language: str, *, candidate: str = "") -> str:
    """Why a run ended as it did."""
    return say(
        language,
        f"reason-{code}",
        ratings=round(numbers.get("ratings", 0)),
        gain_points=round(100 * numbers.get("gain", 0.0), 1),
        sure=100 * numbers.get("probability", 0.0),
        have=round(numbers.get("have", 0)),
        need=round(numbers.get("need", 0)),
        candidate=candidate,
        live=live_words(numbers, language),
    )
