"""Every sentence a person can see, through Project Fluent: `locales/<language>.ftl`, one file a language."""

from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluent.runtime import FluentBundle

LANGUAGES = ("en", "zh")

CONSENT_TEXT_VERSION = 2
"""Raise it whenever `consent-question` changes its meaning; earlier opt-ins then no longer stand for it."""

_LOCALES = Path(__file__).parents[1] / "locales"
_chosen: ContextVar[str | None] = ContextVar("the language that this person has chosen", default=None)


def set_language(language: str | None) -> None:
    """Answer in this language as long as the present update is handled; None: in the one of Telegram's tag."""
    _chosen.set(language)


def language_of(code: str | None) -> str:
    """The language we answer in: what the person has chosen, else from Telegram's IETF tag.

    >>> language_of("zh-hans"), language_of("de"), language_of(None)
    ('zh', 'en', 'en')
    """
    tag = (code or "").lower().partition("-")[0]
    return _chosen.get() or (tag if tag in LANGUAGES else "en")


def say(language: str, text: str, **values: str | float) -> str:
    """The sentence with the id `text`.

    Raises:
        LookupError: there is no such sentence, or a value it names was not given (a bug; tests cover every id).
    """
    bundle = _bundle(language)
    pattern = bundle.get_message(text).value if bundle.has_message(text) else None
    if pattern is None:
        raise LookupError(f"{language}.ftl has no sentence {text!r}.")
    sentence, errors = bundle.format_pattern(pattern, values)
    if errors:
        raise LookupError(f"{language}.ftl, {text}: {errors[0]}")
    return str(sentence)


@cache
def _bundle(language: str) -> "FluentBundle":
    from fluent.runtime import FluentBundle, FluentResource  # noqa: PLC0415 - a command may have nothing to say

    bundle = FluentBundle([language], use_isolating=False)
    bundle.add_resource(FluentResource((_LOCALES / f"{language}.ftl").read_text(encoding="utf-8")))
    return bundle
