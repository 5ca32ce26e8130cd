"""Where a text comes from: the AIGC label of GB 45438-2025, and /check, which tells whether this bot wrote a text.

A fingerprint is sure, a watermark is likely.
"""

import logging
from dataclasses import dataclass

from bot.common.keys import Keys
from bot.common.text import sanitize
from bot.moderation.labels import without_labels
from engine.api.client import EngineClient
from engine.errors import EngineError
from engine.safety.near_copy import fingerprint, is_alike
from storage.db.database import Database
from storage.db.keyring import FINGERPRINTS
from storage.tables import generations

logger = logging.getLogger(__name__)

LIKELY = 0.01
"""A p-value below this is told as a likely watermark: one unmarked text in a hundred shows as much."""


def aigc(producer: str, number: int | str) -> dict[str, str]:
    """The AIGC object of one text for files (GB 45438-2025, annex E): `Label` "1" means generated; by whom, which one.

    Whoever makes a text here also passes it on, so producer and propagator are the same.
    """
    return {
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": str(number),
        "ReservedCode1": "",
        "ContentPropagator": producer,
        "PropagateID": str(number),
        "ReservedCode2": "",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceCheck:
    """Answers /check; `engine` is asked for the watermark, where it marks texts. `label` begins the footer."""

    db: Database
    keys: Keys
    label: str
    engine: EngineClient | None

    async def verdict(self, text: str, *, person_id: int, chat_id: int) -> tuple[str, int | None]:
        """The id of the sentence that answers, and the number of the text if the asker may know it."""
        text = without_labels(sanitize(text), self.label)  # a footer of ours is pasted along
        marks = fingerprint(text, self.keys.keyring.key(FINGERPRINTS))
        found = await generations.closest_fingerprint(self.db, marks)
        if found is not None and is_alike(found.shared, marks):
            generation = await generations.by_id(self.db, found.generation)
            pseudonyms = self.keys.pseudonyms
            may_know = generation is not None and (
                generation.author == pseudonyms.person(person_id) or generation.chat == pseudonyms.chat(chat_id)
            )
            return ("check-yes-number", found.generation) if may_know else ("check-yes", None)
        if self.engine is None:
            return "check-no", None
        try:
            evidence = await self.engine.look_for_watermark(text)
        except EngineError as error:
            logger.warning("the watermark cannot be looked for: %s", type(error).__name__)
            return "check-no", None
        if evidence is None:
            return "check-short", None
        return ("check-likely" if evidence < LIKELY else "check-no-mark"), None
