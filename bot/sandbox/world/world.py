"""The model world: what people do in Telegram's apps, and what they see. All in memory, no HTTP.

Each verb creates the updates that Telegram would send to the bot, under Telegram's rules of who sees what: privacy
mode in groups, reactions only where the bot is an administrator. Not thread-safe: one event loop owns a world.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from bot.sandbox.world.errors import NoProgress, WorldError
from bot.sandbox.world.records import (
    BotStatus,
    ButtonAnswer,
    Chat,
    ChatKind,
    InlineAnswer,
    InlineResult,
    Json,
    Person,
    SeenMessage,
    Service,
    reactions_json,
)
from bot.sandbox.world.state import ChatState, State, now
from bot.sandbox.world.text import (
    MAX_CAPTION,
    MAX_TEXT,
    REACTIONS,
    Formatted,
    as_kept,
    commands_in,
    plain,
    utf16_length,
)

Found = TypeVar("Found")

MAX_QUERY = 256
"""The longest inline query, in characters."""
STALL_SECONDS = 900.0
"""How long nothing may move: longer than a bot needs to see that its engine does not start
(`bot.serving.engine_process`)."""


class World:
    """Everything that exists."""

    def __init__(self, *, clock: Callable[[], datetime] = now) -> None:
        self.state = State(Person(7_000_000_001, "Ovation", username="ovation_bot", is_bot=True), clock=clock)
        self.updates = self.state.updates
        self._person_ids = itertools.count(100_001)
        self._query_ids = itertools.count(5_500_000_001)
        self._inline_ids = itertools.count(1)

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
    ) -> Person:
        """A new person; with the `id` of somebody already here, that person under the new name."""
        person = Person(next(self._person_ids) if id is None else id, name, language)
        self.state.people[person.id] = person
        for inside in self.state.chats.values():
            if person.id in inside.members:
                inside.members[person.id] = person
        return person

    def private_chat(self, person: Person) -> Chat:
        """The person's chat with the bot. The bot may write there only after the person has."""
        return self.state.open_private(person)

    def add_group(
        self, title: str, *, kind: ChatKind = "supergroup", bot_admin: bool = False, is_forum: bool = False
    ) -> Chat:
        """A new "group" or "supergroup" with the bot already in it; the bot gets no update for that."""
        return self.state.open_group(title, kind, bot_admin=bot_admin, is_forum=is_forum)

    def add_channel(self, title: str) -> Chat:
        """A new channel with the bot as an administrator, the only way a bot can be in one."""
        return self.state.open_group(title, "channel", bot_admin=True)

    def join(self, person: Person, chat: Chat, *, as_admin: bool = False) -> None:
        """Enter a group or channel; groups show a service message. Joining twice changes nothing."""
        inside = self.state.of(chat)
        if as_admin:
            inside.admins.add(person.id)
        if person.id in inside.members:
            return
        inside.members[person.id] = person
        self.state.publish("chat", inside.chat)
        if inside.chat.is_group:
            self.state.deliver(self.state.post(inside, person, service=Service("new_chat_members", person)))

    def chats_of(self, person: Person) -> tuple[Chat, ...]:
        """The chats this person is in, oldest first."""
        return tuple(inside.chat for inside in self.state.chats_of(person))

    # What people see

    def messages(self, chat: Chat) -> tuple[SeenMessage, ...]:
        """All messages of a chat as they are now, oldest first."""
        return tuple(self.state.of(chat).messages.values())

    def message(self, chat: Chat | int, message_id: int) -> SeenMessage:
        """One message as it is now."""
        return self.state.message(chat, message_id)

    def current(self, message: SeenMessage) -> SeenMessage:
        """The same message as it is now."""
        return self.state.message(message.chat, message.id)

    def answers(self, message: SeenMessage) -> tuple[SeenMessage, ...]:
        """The bot's messages that reply to this one, oldest first."""
        messages = self.state.of(message.chat).messages.values()
        return tuple(each for each in messages if each.reply_to == message.id and self.state.is_bots(each))

    async def until(self, check: Callable[[], Found | None], timeout_seconds: float = 10.0) -> Found:
        """Wait until `check()` gives something truthy, tried now, after each change and every 0.1 s; gives that.

        Raises:
            TimeoutError: it did not come true in time.
        """
        return await self.state.events.until(check, timeout_seconds)

    async def until_or_stalled(
        self,
        check: Callable[[], Found | None],
        *,
        activity: Callable[[], object] = lambda: None,
        stall_seconds: float = STALL_SECONDS,
        complaint: str,
    ) -> Found:
        """The same, for as long as `activity()` keeps changing: beside other work all may take ten times as long.

        Raises:
            NoProgress: nothing changed for `stall_seconds`; `complaint` is the sentence for it, but for the time.
        """
        while True:
            before = activity()
            try:
                return await self.until(check, stall_seconds)
            except TimeoutError:
                if activity() == before:
                    raise NoProgress(f"{complaint} for {stall_seconds:.0f} seconds.") from None

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
        inside = self._entered(person, chat)
        content = as_kept(Formatted(text))
        if not 0 < utf16_length(content.text) <= MAX_TEXT:
            raise WorldError(
                f"A message has 1 to {MAX_TEXT} characters; write at least one, and send long texts in parts."
            )
        inside.is_started = True
        reply_id = reply_to.id if isinstance(reply_to, SeenMessage) else reply_to
        sender = as_channel or (inside.chat if anonymous or inside.chat.kind == "channel" else person)
        message = self.state.post(inside, sender, content, reply_to=reply_id, topic=topic)
        if self._is_shown_to_bot(inside, message):
            self.state.deliver(message)
        return message

    def send_file(
        self,
        person: Person,
        chat: Chat,
        content: bytes,
        *,
        name: str = "text.txt",
        content_type: str = "text/plain",
        caption: str = "",
        reply_to: SeenMessage | None = None,
    ) -> SeenMessage:
        """Send a file with a caption, outside of topics.

        Raises:
            WorldError: the caption is too long, or the person is not in the chat.
        """
        inside, words = self._entered(person, chat), as_kept(Formatted(caption))
        if utf16_length(words.text) > MAX_CAPTION:
            raise WorldError(f"A caption has at most {MAX_CAPTION} characters.")
        inside.is_started = True
        attachment = self.state.keep_file(content, name=name, content_type=content_type)
        reply_id = None if reply_to is None else reply_to.id
        message = self.state.post(inside, person, words, reply_to=reply_id, attachment=attachment)
        if self._is_shown_to_bot(inside, message):
            self.state.deliver(message)
        return message

    def open_topic(self, person: Person, forum: Chat, title: str) -> int:
        """Begin a topic with its notice, which has the topic's number."""
        service = Service("forum_topic_created", title)
        notice = self.state.post(self._entered(person, forum), person, service=service)
        self.state.deliver(notice)
        return notice.id

    def forward(self, post: SeenMessage, group: Chat) -> SeenMessage:
        """Bring a post of a channel into the group of its comments, as Telegram does by itself."""
        content = Formatted(post.text, post.entities)
        copy = self.state.post(self.state.of(group), post.chat, content, is_forward=True)
        self.state.deliver(copy)
        return copy

    def react(
        self, person: Person, message: SeenMessage, emojis: Iterable[str], *, anonymous: bool = False
    ) -> SeenMessage:
        """Put exactly these emoji on a message; none removes them. `anonymous` reacts as the chat itself.

        Raises:
            WorldError: not a reaction of Telegram, or the person is not in the chat.
        """
        inside = self._entered(person, message.chat)
        chosen = tuple(dict.fromkeys(plain(emoji) for emoji in emojis))
        if strange := [emoji for emoji in chosen if emoji not in REACTIONS]:
            raise WorldError(f"{' '.join(strange)} is not among Telegram's reactions.")
        if inside.reactions is not None and not set(chosen) <= set(inside.reactions):
            raise WorldError(f"{inside.chat.title} does not allow {' '.join(chosen)} as a reaction.")
        actor = inside.chat if anonymous else person
        before = self.current(message)
        old = before.emojis_of(actor.id)
        if set(old) == set(chosen):
            return before
        after = before.with_reaction(actor.id, chosen)
        self.state.put(after, "reactions")
        if inside.bot_is_here and inside.bot_sees_all:
            self._report_reaction(after, actor, old)
        return after

    async def press(
        self, person: Person, message: SeenMessage, callback_data: str, *, timeout_seconds: float = 10.0
    ) -> ButtonAnswer | None:
        """Press the button with this callback data and wait for the bot's answer; None when none came in time.

        Raises:
            WorldError: the message has no such button now.
        """
        inside = self._entered(person, message.chat)
        current = self.current(message)
        if all(button.callback_data != callback_data for button in current.buttons):
            raise WorldError(f"Message {message.id} has no button {callback_data!r}; it may have been edited away.")
        query: Json = {"from": person.json(), "chat_instance": str(abs(inside.chat.id)), "data": callback_data}
        if current.inline_id is None:
            query["message"] = self.state.json_of(current)
        else:
            query["inline_message_id"] = current.inline_id
        return await self._ask(self.state.queries, "callback_query", query, timeout_seconds)

    # Inline mode: people type the bot's name in any chat, choose what it offers, and send that

    async def type_inline(
        self, person: Person, chat: Chat, text: str, *, timeout_seconds: float = 10.0
    ) -> InlineAnswer | None:
        """Type this behind the bot's name and wait for what it offers; None when nothing came in time.

        Telegram tells the bot the kind of the chat and not which it is.

        Raises:
            WorldError: Telegram's apps send no query of that length.
        """
        self._entered(person, chat)
        if len(text) > MAX_QUERY:
            raise WorldError(f"A query has at most {MAX_QUERY} characters; the apps send no longer one.")
        kind = "sender" if chat.is_private and chat.id == person.id else chat.kind
        query: Json = {"from": person.json(), "query": text, "offset": "", "chat_type": kind}
        answer = await self._ask(self.state.inline_queries, "inline_query", query, timeout_seconds)
        return None if answer is None else replace(answer, query=text)

    def choose_inline(self, person: Person, chat: Chat, answer: InlineAnswer, result: InlineResult) -> SeenMessage:
        """Send what was offered, as a message of one's own "via" the bot, which sees it if it is in the chat.

        The bot is told the name of the message only where that has buttons.
        """
        inside = self._entered(person, chat)
        inside.is_started = True
        inline_id = f"inline-{next(self._inline_ids)}"
        content = Formatted(result.text, result.entities)
        message = self.state.post(inside, person, content, keyboard=result.keyboard, inline_id=inline_id)
        self.state.inline_messages[inline_id] = (inside.chat.id, message.id)
        if self.state.inline_feedback:
            chosen: Json = {"result_id": result.id, "from": person.json(), "query": answer.query}
            named = {"inline_message_id": inline_id} if result.keyboard else {}
            self.updates.add("chosen_inline_result", chosen | named)
        self.state.deliver(message)
        return message

    # The bot's standing

    def set_bot_status(self, chat: Chat, status: BotStatus, *, by: Person | None = None) -> None:
        """Change what the bot is in a chat; it learns by a my_chat_member update. "kicked" in a private chat blocks it.

        By somebody in the chat, unless told who.
        """
        inside = self.state.of(chat)
        self.state.set_bot_status(inside, status, by=by or next(iter(inside.members.values()), self.bot))

    def migrate(self, chat: Chat) -> Chat:
        """Turn a basic group into a supergroup with another id; both chats get their service message."""
        old = self.state.of(chat)
        chat_after = self.state.open_group(old.chat.title, "supergroup", bot_admin=old.bot_status == "administrator")
        new = self.state.of(chat_after)
        new.members, new.admins, old.migrated_to = dict(old.members), set(old.admins), chat_after.id
        leaving, arriving = Service("migrate_to_chat_id", new.chat.id), Service("migrate_from_chat_id", old.chat.id)
        self.state.deliver(self.state.post(old, old.chat, service=leaving))
        self.state.deliver(self.state.post(new, new.chat, service=arriving))
        return chat_after

    def _entered(self, person: Person, chat: Chat) -> ChatState:
        inside = self.state.of(chat)
        if person.id not in inside.members:
            raise WorldError(f"{person.name} is not in {inside.chat.title}; let them join first.")
        if inside.migrated_to is not None:
            raise WorldError(f"{inside.chat.title} became a supergroup; use its new chat.")
        return inside

    def _is_shown_to_bot(self, inside: ChatState, message: SeenMessage) -> bool:
        """Telegram's privacy mode: plain members are shown commands for them and replies to them, not mentions."""
        if inside.bot_sees_all or inside.chat.kind == "channel" or not self.state.privacy_mode:
            return True
        replied = inside.messages.get(message.reply_to or 0)
        if replied is not None and self.state.is_bots(replied):
            return True
        own = f"@{self.bot.username}".lower()
        commands = commands_in(Formatted(message.text, message.entities))
        return any("@" not in command or command.lower().endswith(own) for command in commands)

    def _report_reaction(self, message: SeenMessage, actor: Person | Chat, old: tuple[str, ...]) -> None:
        """In a channel the bot is told how many there are, elsewhere the actor's whole state before and after."""
        date = int(self.state.clock().timestamp())
        change: Json = {"chat": message.chat.json(), "message_id": message.id, "date": date}
        if message.chat.kind == "channel":
            counts = message.reaction_counts.items()
            totals = [{"type": {"type": "emoji", "emoji": emoji}, "total_count": count} for emoji, count in counts]
            self.updates.add("message_reaction_count", change | {"reactions": totals})
            return
        change["user" if isinstance(actor, Person) else "actor_chat"] = actor.json()
        change |= {"old_reaction": reactions_json(old), "new_reaction": reactions_json(message.emojis_of(actor.id))}
        self.updates.add("message_reaction", change)

    async def _ask(
        self, waiting: "dict[str, asyncio.Future[Found]]", kind: str, query: Json, timeout_seconds: float
    ) -> Found | None:
        """Send the bot a query that it may answer once; None when it has not in time."""
        query_id = str(next(self._query_ids))
        answer = waiting[query_id] = asyncio.get_running_loop().create_future()
        self.updates.add(kind, {"id": query_id} | query)
        try:
            return await asyncio.wait_for(answer, timeout_seconds)
        except TimeoutError:
            return None
        finally:
            del waiting[query_id]
