"""Telegram's privacy mode: which messages a bot is shown. Knows rooms and messages, no updates.

Inline mode in the world: people type the bot's name in any chat, choose what it offers, and send that.

Part of `world`; what the bot may answer is in `methods.inline`. Telegram tells the bot the kind of the chat and not
which it is, and who has chosen what only where its owner wants to know (`State.inline_feedback`).

The model world: what people do in Telegram's apps, and what they see. All in memory, no HTTP.

Each verb creates the updates that Telegram would send to the bot, under Telegram's rules of who sees what: privacy
mode in groups, reactions only where the bot is an administrator. What the bot does is in `bot_side`.
Not thread-safe: one event loop owns a world.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from bot.sandbox.world import serializers
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import (
    Answer,
    Chat,
    ChatKind,
    InlineAnswer,
    InlineResult,
    Person,
    Place,
    SeenMessage,
    Service,
)
from bot.sandbox.world.state import BotStatus, Room, State, now
from bot.sandbox.world.text import Formatted, commands_in, is_reaction, plain, typed


def is_shown(state: State, room: Room, message: SeenMessage) -> bool:
    """Plain members get commands for them and replies to them, not mentions."""
    if room.bot_sees_all or room.chat.kind == "channel" or not state.privacy_mode:
        return True
    replied = room.messages.get(message.reply_to or 0)
    if replied is not None and state.is_bots(replied):
        return True
    own = f"@{state.bot.username}".lower()
    commands = commands_in(Formatted(message.text, message.entities))
    return any("@" not in command or command.lower().endswith(own) for command in commands)


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
        self._state.updates.add("inline_query", serializers.inline_query(query_id, person, text, chat))
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
            chosen = serializers.chosen_result(result.id, person, answer.query, named)
            self._state.updates.add("chosen_inline_result", chosen)
        self._state.deliver(message)
        return message

    def _room_of(self, person: Person, chat: Chat) -> Room:
        room = self._state.room(chat)
        if person.id not in room.members:
            raise WorldError(f"{person.name} is not in {room.chat.title}; let them join first.")
        return room


Found = TypeVar("Found")


class World:
    """Everything that exists. `privacy_mode` is the bot's group privacy, on as with a new bot."""

    def __init__(
        self,
        *,
        bot_name: str = "Ovation",
        bot_username: str = "ovation_bot",
        bot_id: int = 7_000_000_001,
        privacy_mode: bool = True,
        clock: Callable[[], datetime] = now,
    ) -> None:
        bot = Person(bot_id, bot_name, username=bot_username, is_bot=True)
        self.state = State(bot, privacy_mode=privacy_mode, clock=clock)
        self.updates = self.state.updates
        self._person_ids = itertools.count(100_001)
        self._query_ids = itertools.count(5_500_000_001)
        self.inline = InlineMode(self.state)

    @property
    def bot(self) -> Person:
        """The bot's own account."""
        return self.state.bot

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody but the bot, in the order they came."""
        return tuple(self.state.people.values())

    # People and chats

    def add_person(
        self,
        name: str,
        language: str = "en",
        *,
        id: int | None = None,  # noqa: A002 - Telegram's word
        username: str | None = None,
    ) -> Person:
        """A new person; with the `id` of somebody already here, that person under the new name."""
        person = Person(next(self._person_ids) if id is None else id, name, language, username)
        self.state.people[person.id] = person
        for room in self.state.rooms.values():
            if person.id in room.members:
                room.members[person.id] = person
        return person

    def private_chat(self, person: Person) -> Chat:
        """The person's chat with the bot. The bot may write there only after the person has."""
        return self.state.open_private(person).chat

    def add_group(
        self, title: str, *, kind: ChatKind = "supergroup", bot_admin: bool = False, is_forum: bool = False
    ) -> Chat:
        """A new "group" or "supergroup" with the bot already in it; the bot gets no update for that."""
        return self.state.open_group(title, kind, bot_admin=bot_admin, is_forum=is_forum).chat

    def add_channel(self, title: str) -> Chat:
        """A new channel with the bot as an administrator, the only way a bot can be in one."""
        return self.state.open_group(title, "channel", bot_admin=True).chat

    def join(self, person: Person, chat: Chat, *, as_admin: bool = False) -> None:
        """Enter a group or channel; groups show a service message. Joining twice changes nothing."""
        room = self.state.room(chat)
        if as_admin:
            room.admins.add(person.id)
        if person.id in room.members:
            return
        room.members[person.id] = person
        self.state.tell("chat", room.chat, person_id=person.id)
        if room.chat.is_group:
            service = Service("new_chat_members", person)
            self.state.deliver(self.state.post(room, person, service=service))

    def leave(self, person: Person, chat: Chat) -> None:
        """Leave a group."""
        room = self._room_of(person, chat)
        service = Service("left_chat_member", person)
        self.state.deliver(self.state.post(room, person, service=service))
        del room.members[person.id]

    def chats_of(self, person: Person) -> tuple[Chat, ...]:
        """The chats this person is in, oldest first."""
        return tuple(room.chat for room in self.state.rooms_of(person))

    def members(self, chat: Chat) -> tuple[Person, ...]:
        """The people in a chat, without the bot."""
        return tuple(self.state.room(chat).members.values())

    # What people see

    def messages(self, chat: Chat) -> tuple[SeenMessage, ...]:
        """All messages of a chat as they are now, oldest first."""
        return tuple(self.state.room(chat).messages.values())

    def message(self, chat: Chat | int, message_id: int) -> SeenMessage:
        """One message as it is now."""
        return self.state.message(chat, message_id)

    def current(self, message: SeenMessage) -> SeenMessage:
        """The same message as it is now."""
        return self.state.message(message.chat, message.id)

    def answers(self, message: SeenMessage) -> tuple[SeenMessage, ...]:
        """The bot's messages that reply to this one, oldest first."""
        messages = self.state.room(message.chat).messages.values()
        return tuple(each for each in messages if each.reply_to == message.id and self.state.is_bots(each))

    async def until(self, check: Callable[[], Found | None], timeout_seconds: float = 10.0) -> Found:
        """Wait until `check()` gives something truthy, tried now, after each change and every 0.1 s; gives that.

        Raises:
            TimeoutError: it did not come true in time.
        """
        return await self.state.feed.until(check, timeout_seconds)

    # What people do

    def say(
        self,
        person: Person,
        chat: Chat,
        text: str,
        *,
        reply_to: SeenMessage | int | None = None,
        topic: int | None = None,
        anonymous: bool = False,
        as_channel: Chat | None = None,
    ) -> SeenMessage:
        """Write a message, in a topic of a forum or outside of them.

        `anonymous` writes as the group itself, as its anonymous admins do; `as_channel` as a channel of one's own.

        Raises:
            WorldError: the text is empty or too long, or the person is not in the chat.
        """
        room = self._room_of(person, chat)
        content = typed(text)
        room.is_started = True
        reply_id = reply_to.id if isinstance(reply_to, SeenMessage) else reply_to
        sender = as_channel or (room.chat if anonymous or room.chat.kind == "channel" else person)
        message = self.state.post(room, sender, content, place=Place(reply_id, topic))
        if is_shown(self.state, room, message):
            self.state.deliver(message)
        return message

    def open_topic(self, person: Person, forum: Chat, title: str) -> int:
        """Begin a topic; its number."""
        return self.state.open_topic(self._room_of(person, forum), person, title).id

    def forward(self, post: SeenMessage, group: Chat) -> SeenMessage:
        """Bring a post of a channel into the group of its comments, as Telegram does by itself."""
        return self.state.forward(post, self.state.room(group))

    def edit(self, person: Person, message: SeenMessage, text: str) -> SeenMessage:
        """Change the text of one's own message."""
        room = self._room_of(person, message.chat)
        before = self.current(message)
        if before.sender is None or before.sender.id != person.id:
            raise WorldError("Only one's own messages can be edited.")
        content = typed(text)
        after = replace(before, text=content.text, entities=content.entities, edited_at=self.state.clock())
        self.state.put(after, "edited")
        if is_shown(self.state, room, after):
            self.state.deliver(after, "edited_message")
        return after

    def react(
        self, person: Person, message: SeenMessage, emojis: Iterable[str], *, anonymous: bool = False
    ) -> SeenMessage:
        """Put exactly these emoji on a message; none removes them. `anonymous` reacts as the chat itself.

        Raises:
            WorldError: not a reaction of Telegram, or the person is not in the chat.
        """
        room = self._room_of(person, message.chat)
        chosen = tuple(dict.fromkeys(plain(emoji) for emoji in emojis))
        if strange := [emoji for emoji in chosen if not is_reaction(emoji)]:
            raise WorldError(f"{' '.join(strange)} is not among Telegram's reactions.")
        if room.reactions is not None and not set(chosen) <= set(room.reactions):
            raise WorldError(f"{room.chat.title} does not allow {' '.join(chosen)} as a reaction.")
        actor = room.chat if anonymous else person
        before = self.current(message)
        old = before.emojis_of(actor.id)
        if set(old) == set(chosen):
            return before
        after = before.with_reaction(actor.id, chosen)
        self.state.put(after, "reactions")
        self._report_reaction(room, after, actor, old)
        return after

    async def press(
        self, person: Person, message: SeenMessage, callback_data: str, *, timeout_seconds: float = 10.0
    ) -> Answer | None:
        """Press the button with this callback data and wait for the bot's answer; None when none came in time.

        Raises:
            WorldError: the message has no such button now.
        """
        room = self._room_of(person, message.chat)
        current = self.current(message)
        if all(button.callback_data != callback_data for button in current.buttons):
            raise WorldError(f"Message {message.id} has no button {callback_data!r}; it may have been edited away.")
        query_id = str(next(self._query_ids))
        answer = self.state.queries[query_id] = asyncio.get_running_loop().create_future()
        query = serializers.callback_query(query_id, person, self.state.pressed(current), callback_data, room.chat.id)
        self.updates.add("callback_query", query)
        try:
            return await asyncio.wait_for(answer, timeout_seconds)
        except TimeoutError:
            return None
        finally:
            del self.state.queries[query_id]

    # The bot's standing

    def set_bot_status(self, chat: Chat, status: BotStatus, *, by: Person | None = None) -> None:
        """Change what the bot is in a chat; it learns by a my_chat_member update."""
        room = self.state.room(chat)
        old, room.bot_status = room.bot_status, status
        if old == status:
            return
        actor = by or next(iter(room.members.values()), self.bot)
        may_post = room.may_post if chat.kind == "channel" else None
        before, after = (serializers.member(self.bot, each, may_post=may_post) for each in (old, status))
        date = int(self.state.clock().timestamp())
        self.updates.add("my_chat_member", serializers.status_change(room.chat, actor, before, after, date))
        self.state.tell("chat", room.chat)

    def promote(self, chat: Chat) -> None:
        """Make the bot an administrator."""
        self.set_bot_status(chat, "administrator")

    def demote(self, chat: Chat) -> None:
        """Make the bot a plain member."""
        self.set_bot_status(chat, "member")

    def block(self, person: Person) -> None:
        """Block the bot in the person's private chat."""
        self.set_bot_status(self.private_chat(person), "kicked", by=person)

    def unblock(self, person: Person) -> None:
        """Undo `block`."""
        self.set_bot_status(self.private_chat(person), "member", by=person)

    def migrate(self, chat: Chat) -> Chat:
        """Turn a basic group into a supergroup with another id; both chats get their service message."""
        old = self.state.room(chat)
        new = self.state.open_group(old.chat.title, "supergroup", bot_admin=old.bot_status == "administrator")
        new.members, new.admins, old.migrated_to = dict(old.members), set(old.admins), new.chat.id
        leaving = Service("migrate_to_chat_id", chat_id=new.chat.id)
        arriving = Service("migrate_from_chat_id", chat_id=old.chat.id)
        self.state.deliver(self.state.post(old, old.chat, service=leaving))
        self.state.deliver(self.state.post(new, new.chat, service=arriving))
        return new.chat

    def _room_of(self, person: Person, chat: Chat) -> Room:
        room = self.state.room(chat)
        if person.id not in room.members:
            raise WorldError(f"{person.name} is not in {room.chat.title}; let them join first.")
        if room.migrated_to is not None:
            raise WorldError(f"{room.chat.title} became a supergroup; use its new chat.")
        return room

    def _report_reaction(self, room: Room, message: SeenMessage, actor: Person | Chat, old: tuple[str, ...]) -> None:
        if not (room.bot_is_here and room.bot_sees_all):
            return
        date = int(self.state.clock().timestamp())
        if room.chat.kind == "channel":
            self.updates.add("message_reaction_count", serializers.reaction_totals(message, date))
        else:
            self.updates.add("message_reaction", serializers.reaction_change(message, actor, old, date))
