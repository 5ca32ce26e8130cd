"""/mydata: everything that is stored of a person, as one JSON document. Knows its shape, and no Telegram type."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

from bot.common.keys import Pseudonyms
from bot.moderation.provenance import aigc
from storage.db.database import Database
from storage.db.records import Generation
from storage.privacy import data_export


class MyData:
    """Writes the document; `label` says of each text that a machine wrote it, and `producer` answers for it."""

    def __init__(self, *, db: Database, pseudonyms: Pseudonyms, label: str, producer: str) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._label = label
        self._producer = producer

    async def document(self, person_id: int) -> bytes:
        """The document, UTF-8; it says so where there is nothing."""
        person = self._pseudonyms.person(person_id)
        found = await self._db.read(lambda c: data_export.of_person(c, person))
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
            "telegram_chat_id": text.delivery.chat_id,
            "telegram_message_id": text.delivery.message_id,
            "asked": [asdict(turn) for turn in text.messages],
            "written": text.text,
            "label": self._label,
            "AIGC": aigc(self._producer, text.id),
            "version": text.version,
            "state": text.state,
            "refines": text.parent,
            "chosen_from": text.best_of,
            "at": text.created_at.isoformat(),
        }
