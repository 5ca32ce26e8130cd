"""/mydata: everything that is stored of a person, as one JSON document."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from bot.common.keys import Pseudonyms
from bot.common.settings import Settings
from bot.moderation.provenance import aigc
from storage.db.database import Database
from storage.db.records import Generation
from storage.privacy import data_export


@dataclass(frozen=True, slots=True, kw_only=True)
class MyData:
    """Writes the document; LABEL says of each text that a machine wrote it, and CONTENT_PRODUCER answers for it."""

    db: Database
    pseudonyms: Pseudonyms
    settings: Settings

    async def document(self, person_id: int) -> bytes:
        """The document, UTF-8; it says so where there is nothing."""
        person = self.pseudonyms.person(person_id)
        found = await data_export.of_person(self.db, person)
        whole = asdict(found) | {
            "made_at": datetime.now(UTC).isoformat(),
            "you": {"telegram_id": person_id, "pseudonym": person},
            "texts": [self._text(text) for text in found.texts],
        }
        return json.dumps(whole, ensure_ascii=False, indent=2).encode()

    def _text(self, text: Generation) -> dict[str, object]:
        return {
            "generation": text.id,
            "kind": text.kind,
            "chat": text.chat,
            "telegram_chat_id": text.delivery.chat_id or None,
            "telegram_message_id": text.delivery.message_id,
            "telegram_further_message_ids": text.delivery.further_messages,
            "asked": [asdict(turn) for turn in text.messages],
            "written": text.text,
            "label": self.settings.label,
            "AIGC": aigc(self.settings.content_producer, text.id),
            "version": text.version,
            "state": text.state,
            "refines": text.parent,
            "chosen_from": text.best_of,
            "ended": text.finish_reason,
            "at": text.created_at.isoformat(),
        }
