"""Updates as Telegram sends them, for tests of what is let in and whose turn it is."""

from typing import Any

from telegram import Update, User
from telegram.ext import ExtBot

BOT: ExtBot[Any] = ExtBot("7:AAE-this_is_a_token_of_35_characters")
BOT._bot_user = User(7, "Ovation", is_bot=True, username="ovation_bot")
WHEN = 1_790_000_000


def user(number: int) -> dict[str, Any]:
    return {"id": number, "is_bot": False, "first_name": "Somebody", "language_code": "en"}


def chat(number: int) -> dict[str, Any]:
    """Private chats have their people's numbers, groups negative ones."""
    if number > 0:
        return {"id": number, "type": "private", "first_name": "Somebody"}
    return {"id": number, "type": "supergroup", "title": "Tea lovers"}


def said(who: int, where: int, text: str, **more: Any) -> dict[str, Any]:
    entities = []
    if text.startswith("/"):
        entities = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
    told = {"message_id": 5, "date": WHEN, "chat": chat(where), "text": text, "entities": entities, "from": user(who)}
    return {"message": told | more}


def pressed(who: int, where: int, data: str, *, message: int = 5) -> dict[str, Any]:
    under = {"message_id": message, "date": WHEN, "chat": chat(where), "from": user(7) | {"is_bot": True}}
    return {"callback_query": {"id": "1", "from": user(who), "chat_instance": "1", "message": under, "data": data}}


def pressed_inline(who: int, data: str, *, message: str = "inline") -> dict[str, Any]:
    query = {"id": "1", "from": user(who), "chat_instance": "1", "inline_message_id": message, "data": data}
    return {"callback_query": query}


def reacted(who: int, where: int, *emojis: str, message: int = 5, after: int = 0) -> dict[str, Any]:
    new = [{"type": "emoji", "emoji": emoji} for emoji in emojis]
    about = {"chat": chat(where), "message_id": message, "date": WHEN + after, "user": user(who)}
    return {"message_reaction": about | {"old_reaction": [], "new_reaction": new}}


def counted(where: int, total: int, *, message: int = 5) -> dict[str, Any]:
    kinds = [{"type": {"type": "emoji", "emoji": "👍"}, "total_count": total}]
    return {"message_reaction_count": {"chat": chat(where), "message_id": message, "date": WHEN, "reactions": kinds}}


def as_chat(where: int, text: str) -> dict[str, Any]:
    """An admin of a group who writes as the group."""
    raw = said(1087968824, where, text)
    raw["message"] |= {"sender_chat": chat(where), "from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}}
    return raw


def asked_inline(who: int, text: str) -> dict[str, Any]:
    return {"inline_query": {"id": "1", "from": user(who), "query": text, "offset": ""}}


def read(number: int, raw: dict[str, Any]) -> Update:
    return Update.de_json({"update_id": number} | raw, BOT)
