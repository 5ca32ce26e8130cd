"""Inline mode in the world: people type the bot's name in any chat, choose what it offers, and send that.

Part of `world`; what the bot may answer is in `methods.inline`. Telegram tells the bot the kind of the chat and not
which it is, and who has chosen what only where its owner wants to know (`State.inline_feedback`).
"""

import asyncio
import itertools
from dataclasses import replace

from bot.sandbox.world import wire
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Chat, InlineAnswer, InlineResult, Person, SeenMessage
from bot.sandbox.world.rooms import Room
from bot.sandbox.world.state import State
from bot.sandbox.world.text import Formatted

MAX_QUERY = 256


class InlineMode:
    """What people do with a bot that is in none of their chats."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._query_ids = itertools.count(6_500_000_001)
        self._message_ids = itertools.count(1)

    async def type(
        self, person: Person, chat: Chat, text: str, *, timeout_seconds: float = 10.0
    ) -> InlineAnswer | None:
        """Type this behind the bot's name and wait for what it offers; None when nothing came in time.

        Raises:
            WorldError: Telegram's apps send no query of that length.
        """
        self._room_of(person, chat)
        if len(text) > MAX_QUERY:
            raise WorldError(f"A query has at most {MAX_QUERY} characters; the apps send no longer one.")
        query_id = str(next(self._query_ids))
        answer: asyncio.Future[InlineAnswer] = asyncio.get_running_loop().create_future()
        self._state.inline_queries[query_id] = answer
        self._state.updates.add("inline_query", wire.inline_query(query_id, person, text, chat))
        try:
            return replace(await asyncio.wait_for(answer, timeout_seconds), query=text)
        except TimeoutError:
            return None
        finally:
            del self._state.inline_queries[query_id]

    def choose(self, person: Person, chat: Chat, answer: InlineAnswer, result: InlineResult) -> SeenMessage:
        """Send what was offered, as a message of one's own "via" the bot, which sees it if it is in the chat."""
        room = self._room_of(person, chat)
        room.is_started = True
        inline_id = f"inline-{next(self._message_ids)}"
        content = Formatted(result.text, result.entities)
        message = replace(self._state.post(room, person, content, keyboard=result.keyboard), inline_id=inline_id)
        self._state.put(message, "edited")
        self._state.inline_messages[inline_id] = (room.chat.id, message.id)
        if self._state.inline_feedback:
            named = inline_id if result.keyboard else None
            chosen = wire.chosen_result(result.id, person, answer.query, named)
            self._state.updates.add("chosen_inline_result", chosen)
        self._state.deliver(message)
        return message

    def _room_of(self, person: Person, chat: Chat) -> Room:
        room = self._state.room(chat)
        if person.id not in room.members:
            raise WorldError(f"{person.name} is not in {room.chat.title}; let them join first.")
        return room
