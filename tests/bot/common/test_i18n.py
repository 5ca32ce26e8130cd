"""Both languages have the same sentences with the same values, and every sentence the code names exists."""

import re
from pathlib import Path
from typing import get_args

import pytest
from fluent.syntax import FluentParser, ast

from bot.common.i18n import LANGUAGES, language_of, say
from bot.common.kinds import ADMIN_MENU, MENU
from bot.generation.preferences import OPTIONS
from bot.messaging.messenger import REFINEMENTS
from bot.reporting.charts import WORDS
from engine.errors import RefusalKind
from engine.runs.run_dir import ReasonCode, Stage
from storage.db.records import DislikeReason, RunVerdict, TrialMode, TrialOutcome, VersionState

BOT = Path(__file__).parents[3] / "bot"


def messages(language: str) -> dict[str, set[str]]:
    """Ids of the sentences, each with the values it names."""
    text = (BOT / "locales" / f"{language}.ftl").read_text(encoding="utf-8")
    resource = FluentParser().parse(text)
    assert not [entry for entry in resource.body if isinstance(entry, ast.Junk)]
    return {
        entry.id.name: set(
            re.findall(r"\$(\w+)", (BOT / "locales" / f"{language}.ftl").read_text()[slice(*span(entry))])
        )
        for entry in resource.body
        if isinstance(entry, ast.Message)
    }


def span(entry: ast.Message) -> tuple[int, int]:
    assert entry.span is not None
    return entry.span.start, entry.span.end


def test_both_languages_have_the_same_sentences_with_the_same_values() -> None:
    assert messages("en") == messages("zh")


def test_every_sentence_that_the_code_names_exists_and_none_is_left_over() -> None:
    code = "\n".join(file.read_text() for file in BOT.rglob("*.py"))
    known = set(messages("en"))
    families = {
        *(f"reason-{code}" for code in get_args(ReasonCode)),
        *(f"stage-{stage}" for stage in (*get_args(Stage), "starting")),
        *(f"verdict-{verdict}" for verdict in get_args(RunVerdict)),
        *(f"state-{state}" for state in get_args(VersionState)),
        *(f"trial-{way}" for way in get_args(TrialMode)),
        *(f"trial-{outcome.replace('_', '-')}" for outcome in get_args(TrialOutcome) if outcome != "broken_off"),
        *(f"menu-{name}" for name in (*MENU, *ADMIN_MENU)),
        *(f"chart-{name}" for name in WORDS),
        *(f"failed-{kind.replace('_', '-')}" for kind in get_args(RefusalKind)),
        *(f"why-{reason.replace('_', '-')}" for reason in get_args(DislikeReason)),
        *(f"wish-{name}{part}" for name in REFINEMENTS for part in ("", "-words")),
        *(f"settings-{name.replace('_', '-')}" for name in OPTIONS),
        *(f"settings-own-taste-{value}" for value in OPTIONS["own_taste"]),
        *(f"{name}-{value}-words" for name in ("tone", "length") for value in OPTIONS[name][1:]),
        *(f"health-{name}" for name in ("disk", "updates", "queue", "engine")),
    }
    assert families <= known
    unnamed = {name for name in known - families if f'"{name}"' not in code}
    assert {name for name in unnamed if not name.startswith("reason-")} == set()
    own_reasons = {name.removeprefix("reason-") for name in unnamed}
    assert {reason for reason in own_reasons if f'"{reason}"' not in code} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_can_be_said(language: str) -> None:
    for name, values in messages(language).items():
        assert say(language, name, **dict.fromkeys(values, 3)).strip()


def test_an_unknown_sentence_or_a_missing_value_is_an_error() -> None:
    with pytest.raises(LookupError):
        say("en", "no-such-sentence")
    with pytest.raises(LookupError):
        say("en", "prompt-too-long", length=3)


@pytest.mark.parametrize(
    ("code", "language"), [("zh-hans", "zh"), ("zh", "zh"), ("en-GB", "en"), ("de", "en"), (None, "en")]
)
def test_people_are_answered_in_their_language_as_far_as_we_speak_it(code: str | None, language: str) -> None:
    assert language_of(code) == language
