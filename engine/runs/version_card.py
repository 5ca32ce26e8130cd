"""The card of a version: where it comes from and what the gate measured, for whoever asks. It names nobody and no text.

`card.json` lies in the version's folder, under its manifest. Knows the run's report and the base model's folder.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine.api.sources import STARTER_FOLDER, find_source, version_name
from engine.errors import ModelError
from engine.runs.run import Check, RunReport

CARD_FILE = "card.json"
_STARTER_LICENCE = "Apache-2.0"
_LICENCE = re.compile(r"^---\n(?:.*\n)*?license:\s*[\"']?([\w.\- ]+?)[\"']?\s*\n(?:.*\n)*?---", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """What there is to know of a version."""

    base: str
    licence: str | None
    """Of the base model, as its own card says; None where it says nothing."""
    run: int
    made_at: str
    """ISO 8601, UTC."""
    objective: str
    consent_text: int
    """The version of the consent text that those who taught it have agreed to."""
    counts: dict[str, int] = field(default_factory=dict)
    """generations, ratings, raters, chats, likes, dislikes and more, of the run's data card."""
    gain: float = 0.0
    """How much more its texts should please, as a chance of a like."""
    probability: float = 0.0
    """That it is better than the version before."""
    checks: tuple[Check, ...] = ()


_CARD = TypeAdapter(VersionCard)


def make_card(
    report: RunReport, *, model: str, run: int, made_at: str, objective: str, consent_text: int
) -> VersionCard:
    """The card of what a run has made."""
    numbers = report.reason.numbers
    return VersionCard(
        base=version_name(model), licence=licence_of(model), run=run, made_at=made_at, objective=objective,
        consent_text=consent_text, counts=report.counts, gain=numbers.get("gain", 0.0),
        probability=numbers.get("probability", 0.0),
        checks=tuple(check for check in report.checks if not check.name.startswith("chat")),
    )  # fmt: skip


def write_card(folder: Path, card: VersionCard) -> None:
    """Put a card into an adapter's folder, before it is published."""
    (folder / CARD_FILE).write_bytes(_CARD.dump_json(card, indent=2) + b"\n")


def read_card(folder: Path) -> VersionCard | None:
    """A version's card; None where it has none that can be read."""
    try:
        return _CARD.validate_json((folder / CARD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def licence_of(model: str) -> str | None:
    """The licence that a model's own README names in its front matter; None where there is none."""
    try:
        source = find_source(model)
    except ModelError:
        return None
    if source == str(STARTER_FOLDER):
        return _STARTER_LICENCE
    file = Path(source) / "README.md"
    if not Path(source).is_dir():
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only a model from the hub needs it

        cached = try_to_load_from_cache(source, "README.md")
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    try:
        found = _LICENCE.search(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else found[1].strip()
