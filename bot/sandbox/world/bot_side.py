"""What the bot may do in the world, with Telegram's refusals. Knows no HTTP and no parameter names.

The wording of each refusal is the Bot API's, so that the bot's own reading of errors is tried for real.
"""

from dataclasses import dataclass, replace

from bot.sandbox.world.errors import NOT_MODIFIED, QUERY_TOO_OLD, bad_request, forbidden, migrated
from bot.sandbox.world.records import Answer, Attachment, InlineAnswer, Keyboard, Place, SeenMessage
from bot.sandbox.world.state import Room, State
from bot.sandbox.world.text import (
    MAX_CAPTION,
    MAX_TEXT,
    Formatted,
    is_reaction,
    plain,
    trimmed,
    utf16_length,
    with_found_entities,
)

MAX_ENTITIES = 100


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """The message to reply to; `optional` sends without it when it is gone."""

    message_id: int
    optional: bool = False


class BotSide:
    """The bot's verbs. Every one raises ApiError with Telegram's code and words when it may not be."""

    def __init__(self, state: State) -> None:
        self.state = state

    def room(self, chat_id: int | str) -> Room:
        """The chat by id or @username, without a look at whether the bot may write there."""
        for room in self.state.rooms.values():
            name = room.chat.username
            if chat_id == room.chat.id or (name and str(chat_id).lower() == f"@{name}".lower()):
                return room
        raise bad_request("chat not found")

    def open_room(self, chat_id: int | str) -> Room:
        """The chat, if the bot may write there now."""
        room = self.room(chat_id)
        if room.migrated_to is not None:
            raise migrated(room.migrated_to)
        if room.chat.is_private:
            if room.bot_status == "kicked":
                raise forbidden("bot was blocked by the user")
            if not room.is_started:
                raise forbidden("bot can't initiate conversation with a user")
        elif room.bot_status == "kicked":
            raise forbidden(f"bot was kicked from the {room.chat.kind} chat")
        elif room.bot_status == "left":
            raise forbidden(f"bot is not a member of the {room.chat.kind} chat")
        return room

    def send(
        self,
        chat_id: int | str,
        content: Formatted,
        *,
        reply_to: ReplyTo | None = None,
        topic: int | None = None,
        keyboard: Keyboard = (),
        attachment: Attachment | None = None,
    ) -> SeenMessage:
        """Send a text, or a file with `content` as its caption."""
        room = self.open_room(chat_id)
        if room.chat.kind == "channel" and not room.may_post:
            raise bad_request("need administrator rights in the channel chat")
        if topic is not None and not room.has_topic(topic):
            raise bad_request("message thread not found")
        if attachment is None:
            content = checked_text(content, too_long="message is too long")
        else:
            content = checked_caption(content)
        reply_id = self._reply_id(room, reply_to)
        sender = room.chat if room.chat.kind == "channel" else self.state.bot
        self.state.tell("draft", room.chat, detail={"text": ""})
        place = Place(reply_id, topic)
        return self.state.post(room, sender, content, place=place, keyboard=keyboard, attachment=attachment)

    def edit_text(self, message: SeenMessage, content: Formatted, keyboard: Keyboard) -> SeenMessage:
        """Replace text and keyboard; an empty keyboard removes it."""
        if message.attachment is not None:
            raise bad_request("there is no text in the message to edit")
        content = checked_text(content, too_long="MESSAGE_TOO_LONG")
        return self._edited(message, content, keyboard)

    def edit_caption(self, message: SeenMessage, content: Formatted, keyboard: Keyboard) -> SeenMessage:
        """Replace caption and keyboard of a photo or document."""
        if message.attachment is None:
            raise bad_request("there is no caption in the message to edit")
        return self._edited(message, checked_caption(content), keyboard)

    def edit_keyboard(self, message: SeenMessage, keyboard: Keyboard) -> SeenMessage:
        """Replace the keyboard only; this does not mark the message as edited."""
        if message.keyboard == keyboard:
            raise bad_request(NOT_MODIFIED)
        after = replace(message, keyboard=keyboard)
        self.state.put(after, "edited")
        return after

    def delete(self, chat_id: int | str, message_id: int) -> None:
        """Delete one's own message, or anybody's where the bot is an administrator or in a private chat."""
        room = self.open_room(chat_id)
        message = room.messages.get(message_id)
        if message is None:
            raise bad_request("message to delete not found")
        if not (self._is_own(message) or room.bot_sees_all):
            raise bad_request("message can't be deleted")
        self.state.drop(message)

    def show_action(self, chat_id: int | str, action: str) -> None:
        """Show "typing…" and the like for 5 seconds."""
        room = self.open_room(chat_id)
        self.state.tell("typing", room.chat, detail={"action": action})

    def show_draft(self, chat_id: int | str, draft_id: int, content: Formatted) -> None:
        """Show an unfinished text in a private chat; it is nowhere kept."""
        room = self.open_room(chat_id)
        if not room.chat.is_private:
            raise bad_request("TEXTDRAFT_PEER_INVALID")
        if draft_id == 0:
            raise bad_request("RANDOM_ID_INVALID")
        content = trimmed(content)
        if utf16_length(content.text) > MAX_TEXT:
            raise bad_request("message is too long")
        self.state.tell("draft", room.chat, detail={"text": content.text or "…"})

    def react(self, chat_id: int | str, message_id: int, emojis: tuple[str, ...]) -> None:
        """Set the bot's own reaction; no update comes of it, as with every bot's."""
        room = self.open_room(chat_id)
        message = room.messages.get(message_id)
        if message is None:
            raise bad_request("message to react not found")
        if any(not is_reaction(emoji) for emoji in emojis):
            raise bad_request("REACTION_INVALID")
        if len(emojis) > 1:
            raise bad_request("REACTIONS_TOO_MANY")
        chosen = tuple(plain(emoji) for emoji in emojis)
        self.state.put(message.with_reaction(self.state.bot.id, chosen), "reactions")

    def answer_query(self, query_id: str, answer: Answer) -> None:
        """Answer a pressed button once."""
        query = self.state.queries.get(query_id)
        if query is None or query.done():
            raise bad_request(QUERY_TOO_OLD)
        query.set_result(answer)

    def answer_inline(self, query_id: str, answer: InlineAnswer) -> None:
        """Offer results to somebody who types, once."""
        query = self.state.inline_queries.get(query_id)
        if query is None or query.done():
            raise bad_request(QUERY_TOO_OLD)
        query.set_result(answer)

    def inline_message(self, inline_id: str) -> SeenMessage:
        """A message that somebody has sent with the bot's help, whether the bot is in that chat or not."""
        where = self.state.inline_messages.get(inline_id)
        message = None if where is None else self.state.rooms[where[0]].messages.get(where[1])
        if message is None:
            raise bad_request("MESSAGE_ID_INVALID")
        return message

    def own(self, chat_id: int | str, message_id: int, verb: str) -> SeenMessage:
        """A message that the bot itself has sent."""
        room = self.open_room(chat_id)
        message = room.messages.get(message_id)
        if message is None:
            raise bad_request(f"message to {verb} not found")
        if not self._is_own(message):
            raise bad_request(f"message can't be {verb}ed")
        return message

    def _is_own(self, message: SeenMessage) -> bool:
        return self.state.is_bots(message) or message.chat.kind == "channel"

    def _edited(self, message: SeenMessage, content: Formatted, keyboard: Keyboard) -> SeenMessage:
        after = replace(message, text=content.text, entities=content.entities, keyboard=keyboard)
        if after == message:
            raise bad_request(NOT_MODIFIED)
        after = replace(after, edited_at=self.state.clock())
        self.state.put(after, "edited")
        return after

    def _reply_id(self, room: Room, reply_to: ReplyTo | None) -> int | None:
        if reply_to is None or reply_to.message_id in room.messages:
            return reply_to.message_id if reply_to else None
        if not reply_to.optional:
            raise bad_request("message to be replied not found")
        return None


def checked_text(content: Formatted, *, too_long: str) -> Formatted:
    """The text as Telegram keeps it: trimmed, entities found, 1 to 4096 UTF-16 units."""
    if not content.text:
        raise bad_request("message text is empty")
    content = trimmed(content)
    if not content.text:
        raise bad_request("text must be non-empty")
    if utf16_length(content.text) > MAX_TEXT:
        raise bad_request(too_long)
    content = with_found_entities(content)
    return Formatted(content.text, content.entities[:MAX_ENTITIES])


def checked_caption(content: Formatted) -> Formatted:
    """The caption as Telegram keeps it: trimmed, entities found, 0 to 1024 UTF-16 units."""
    content = with_found_entities(trimmed(content))
    if utf16_length(content.text) > MAX_CAPTION:
        raise bad_request("message caption is too long")
    return content
