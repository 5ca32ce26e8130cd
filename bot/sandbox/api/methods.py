"""The Bot API's methods that the bot calls, with Telegram's refusals; every other method is "not found".

The wording of each refusal is the Bot API's, so that the bot's own reading of errors is tried for real.
"""

import re
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Literal

import httpx

from bot.sandbox.api.params import Params, Upload
from bot.sandbox.world.errors import bad_request, conflict, forbidden
from bot.sandbox.world.records import (
    Attachment,
    ButtonAnswer,
    Command,
    InlineAnswer,
    InlineResult,
    Json,
    SeenMessage,
    reactions_json,
)
from bot.sandbox.world.state import ANY_LANGUAGE, ChatState, State
from bot.sandbox.world.text import MAX_CAPTION, MAX_TEXT, Formatted, as_kept, utf16_length
from bot.sandbox.world.updates import WebhookSender
from engine.http_guard import is_loopback

MAX_POLL_SECONDS = 50
MAX_UPDATES = 100
MAX_COMMANDS = 100
MAX_RESULTS = 50
MAX_RESULT_ID_BYTES = 64
MAX_ENTITIES = 100
MAX_PHOTO_BYTES = 10 * 1024 * 1024
MAX_UPLOAD_BYTES = 50 * 1024 * 1024
MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024

_PNG = b"\x89PNG\r\n\x1a\n"
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_LANGUAGE = re.compile(r"([a-z]{2})?")
_WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{0,256}")
_START_PARAMETER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GIFTS = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
_NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same "
    "as a current content and reply markup of the message"
)
_QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


class Methods:
    """Each public coroutine is a method: send_message is sendMessage. They raise ApiError for what may not be."""

    def __init__(self, state: State, webhook: WebhookSender) -> None:
        self._state = state
        self._webhook = webhook

    # Receiving

    async def get_updates(self, params: Params) -> object:
        """Updates from `offset` on; waits at most `timeout` seconds for the first."""
        if self._webhook.url:
            raise conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            )
        self._allow_updates(params)
        limit = min(max(params.integer("limit", MAX_UPDATES), 1), MAX_UPDATES)
        timeout = min(max(params.integer("timeout"), 0), MAX_POLL_SECONDS)
        return [each.json() for each in await self._state.updates.poll(params.integer("offset"), limit, timeout)]

    async def set_webhook(self, params: Params) -> object:
        """Deliver updates by POST from now on, to an address of this machine; an empty url returns to polling."""
        url = params.text("url")
        if url and not url.startswith(("https://", "http://")):
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if url and not _is_here(url):  # what people write in the demo leaves the machine for nobody
            raise bad_request("bad webhook: the stand-in posts to addresses of this machine only")
        secret = params.text("secret_token")
        if not _WEBHOOK_SECRET.fullmatch(secret):
            raise bad_request("bad webhook: secret token contains unallowed characters")
        self._allow_updates(params)
        self._webhook.set(url, secret)
        return True

    async def delete_webhook(self, params: Params) -> object:
        """Return to polling."""
        self._webhook.set("")
        return True

    def _allow_updates(self, params: Params) -> None:
        kinds = params.items("allowed_updates", "allowed_updates")
        self._state.updates.allow(None if kinds is None else map(str, kinds))

    # The bot itself

    async def get_me(self, params: Params) -> object:
        """The bot's own User, with what it can do."""
        return self._state.bot.json() | {
            "can_join_groups": True,
            "can_read_all_group_messages": not self._state.privacy_mode,
            "supports_inline_queries": True,
        }

    async def set_my_commands(self, params: Params) -> object:
        """Set the command menu of a scope and language."""
        given = params.items("commands", "commands")
        if given is None:
            raise bad_request("commands must be specified")
        if len(given) > MAX_COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        scope = params.fields("scope", "bot command scope")
        kind, chat_id = scope.text("type") or "default", 0
        if kind == "chat":
            chat_id = self._chat(scope.chat_id()).chat.id
        elif kind not in ("default", "all_group_chats"):
            raise bad_request("can't parse BotCommandScope: unsupported type specified")
        self._state.menus.commands[kind, chat_id, _language(params)] = tuple(map(_command, given))
        self._state.publish("commands")
        return True

    async def set_my_description(self, params: Params) -> object:
        """Set what people see who have not written to the bot yet."""
        return self._describe("description", params, longest=512)

    async def set_my_short_description(self, params: Params) -> object:
        """Set what people see in the bot's profile."""
        return self._describe("short_description", params, longest=120)

    def _describe(self, what: str, params: Params, *, longest: int) -> bool:
        text = params.text(what)
        if len(text) > longest:
            raise bad_request(f"{what.replace('_', ' ')} is too long")
        self._state.menus.texts[what, _language(params)] = text
        return True

    # Chats

    async def get_chat(self, params: Params) -> object:
        """A ChatFullInfo; without `available_reactions` every standard one is."""
        inside = self._chat(params.chat_id())
        info = inside.chat.json() | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(_GIFTS, False),
        }
        return info if inside.reactions is None else info | {"available_reactions": reactions_json(inside.reactions)}

    async def get_chat_member(self, params: Params) -> object:
        """What a person, or the bot itself, is in a chat."""
        inside = self._open_chat(params.chat_id())
        person_id = params.integer("user_id")
        if person_id == self._state.bot.id:
            return self._state.bot.json_as_member(inside.bot_status)
        if person_id not in inside.members:
            raise bad_request("member not found")
        status = "administrator" if person_id in inside.admins else "member"
        return inside.members[person_id].json_as_member(status)

    async def leave_chat(self, params: Params) -> object:
        """Leave a group or channel; the bot is told that it has."""
        inside = self._open_chat(params.chat_id())
        if inside.chat.is_private:
            raise bad_request("chat member status can't be changed in private chats")
        self._state.set_bot_status(inside, "left", by=self._state.bot)
        return True

    def _chat(self, chat_id: int) -> ChatState:
        """The chat, without a look at whether the bot may write there."""
        if chat_id not in self._state.chats:
            raise bad_request("chat not found")
        return self._state.chats[chat_id]

    def _open_chat(self, chat_id: int) -> ChatState:
        """The chat, if the bot may write there now."""
        inside = self._chat(chat_id)
        if inside.migrated_to is not None:
            raise bad_request("group chat was upgraded to a supergroup chat", migrate_to_chat_id=inside.migrated_to)
        if inside.chat.is_private:
            if inside.bot_status == "kicked":
                raise forbidden("bot was blocked by the user")
            if not inside.is_started:
                raise forbidden("bot can't initiate conversation with a user")
        elif inside.bot_status == "kicked":
            raise forbidden(f"bot was kicked from the {inside.chat.kind} chat")
        elif inside.bot_status == "left":
            raise forbidden(f"bot is not a member of the {inside.chat.kind} chat")
        return inside

    # Messages

    async def send_message(self, params: Params) -> object:
        """Send a text."""
        return self._send(params, _checked_text(params.formatted(), too_long="message is too long"))

    async def send_photo(self, params: Params) -> object:
        """Send a PNG with a caption."""
        return self._send(params, _checked_caption(params), self._stored(params.upload("photo"), "photo"))

    async def send_document(self, params: Params) -> object:
        """Send any file with a caption."""
        return self._send(params, _checked_caption(params), self._stored(params.upload("document"), "document"))

    async def get_file(self, params: Params) -> object:
        """Where a file can be downloaded: under /file/bot<token>/ and its `file_path`."""
        if (found := self._state.files.get(params.text("file_id"))) is None:
            raise bad_request("invalid file_id")
        attachment, content = found
        if len(content) > MAX_DOWNLOAD_BYTES:
            raise bad_request("file is too big")
        path = f"{attachment.kind}s/{attachment.file_id}"
        return {"file_id": attachment.file_id, "file_unique_id": f"u{attachment.file_id}", "file_size": len(content),
                "file_path": path}  # fmt: skip

    async def edit_message_text(self, params: Params) -> object:
        """Replace the text of a message; without reply_markup its keyboard goes."""
        message, keyboard = self._editable(params), params.keyboard()
        if message.attachment is not None:
            raise bad_request("there is no text in the message to edit")
        content = _checked_text(params.formatted(), too_long="MESSAGE_TOO_LONG")
        after = replace(message, text=content.text, entities=content.entities, keyboard=keyboard)
        return self._edited(message, after, edited_at=self._state.clock())

    async def edit_message_reply_markup(self, params: Params) -> object:
        """Replace the keyboard of a message; this does not mark the message as edited."""
        message = self._editable(params)
        return self._edited(message, replace(message, keyboard=params.keyboard()), edited_at=message.edited_at)

    async def delete_message(self, params: Params) -> object:
        """Delete one's own message, or anybody's where the bot is an administrator or in a private chat."""
        inside = self._open_chat(params.chat_id())
        message = inside.messages.get(params.message_id())
        if message is None:
            raise bad_request("message to delete not found")
        if not (self._is_own(message) or inside.bot_sees_all):
            raise bad_request("message can't be deleted")
        self._state.drop(message)
        return True

    def _send(self, params: Params, content: Formatted, attachment: Attachment | None = None) -> Json:
        inside = self._open_chat(params.chat_id())
        if inside.chat.kind == "channel" and not inside.may_post:
            raise bad_request("need administrator rights in the channel chat")
        topic = params.integer("message_thread_id") or None
        if topic is not None and not inside.has_topic(topic):
            raise bad_request("message thread not found")
        sent = self._state.post(
            inside,
            inside.chat if inside.chat.kind == "channel" else self._state.bot,
            content,
            reply_to=_reply_to(params, inside),
            topic=topic,
            keyboard=params.keyboard(),
            attachment=attachment,
        )
        return self._state.json_of(sent)

    def _stored(self, upload: Upload, kind: Literal["photo", "document"]) -> Attachment:
        size = len(upload.content)
        if not size:
            raise bad_request("file must be non-empty")
        if size > (MAX_PHOTO_BYTES if kind == "photo" else MAX_UPLOAD_BYTES):
            raise bad_request("file is too big")
        if kind == "document":
            return self._state.keep_file(upload.content, name=upload.name, content_type=upload.content_type)
        return self._state.keep_file(
            upload.content, name=upload.name, content_type="image/png", kind="photo", size=_png_size(upload.content)
        )

    def _editable(self, params: Params) -> SeenMessage:
        """The message to edit: one of the bot's own, or one that somebody has sent with its help, in whatever chat."""
        if "inline_message_id" in params:
            chat_id, number = self._state.inline_messages.get(params.text("inline_message_id"), (0, 0))
            message = self._state.chats[chat_id].messages.get(number) if chat_id else None
            if message is None:
                raise bad_request("MESSAGE_ID_INVALID")
            return message
        message = self._open_chat(params.chat_id()).messages.get(params.message_id())
        if message is None:
            raise bad_request("message to edit not found")
        if not self._is_own(message):
            raise bad_request("message can't be edited")
        return message

    def _edited(self, before: SeenMessage, after: SeenMessage, *, edited_at: datetime | None) -> object:
        """Replace a message by what differs; of one of inline mode the bot is told no more than that it is done."""
        if before == after:
            raise bad_request(_NOT_MODIFIED)
        after = replace(after, edited_at=edited_at)
        self._state.put(after, "edited")
        return True if after.inline_id is not None else self._state.json_of(after)

    def _is_own(self, message: SeenMessage) -> bool:
        return self._state.is_bots(message) or message.chat.kind == "channel"

    # Presses and inline queries, answered once

    async def answer_callback_query(self, params: Params) -> object:
        """Answer a pressed button with nothing, a toast or an alert."""
        text = params.text("text")
        if len(text) > 200:
            raise bad_request("MESSAGE_TOO_LONG")
        query = self._state.queries.get(params.text("callback_query_id"))
        if query is None or query.done():
            raise bad_request(_QUERY_TOO_OLD)
        query.set_result(ButtonAnswer(text or None, params.flag("show_alert")))
        return True

    async def answer_inline_query(self, params: Params) -> object:
        """Offer results, articles with a text, to the person who types."""
        given = params.items("results", "inline query results") or []
        if len(given) > MAX_RESULTS:
            raise bad_request("RESULTS_TOO_MUCH")
        results = tuple(map(_result, given))
        if len({result.id for result in results}) < len(results):
            raise bad_request("RESULT_ID_DUPLICATE")
        hint, start = _button_above(params)
        query = self._state.inline_queries.get(params.text("inline_query_id"))
        if query is None or query.done():
            raise bad_request(_QUERY_TOO_OLD)
        query.set_result(InlineAnswer("", results, hint, start))
        return True


Handler = Callable[[Methods, Params], Awaitable[object]]

HANDLERS: dict[str, Handler] = {
    name.replace("_", ""): method for name, method in vars(Methods).items() if not name.startswith("_")
}
"""By the method's name in lower case, as Telegram takes names in any case."""


def _is_here(url: str) -> bool:
    """Whether a webhook's URL, as the one who posts to it reads it, is on this machine."""
    try:
        return is_loopback(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


def _language(params: Params) -> str:
    code = params.text("language_code")
    if not _LANGUAGE.fullmatch(code):
        raise bad_request("LANG_CODE_INVALID")
    return code or ANY_LANGUAGE


def _command(value: object) -> Command:
    match value:
        case {"command": str(name), "description": str(description)}:
            if not _COMMAND.fullmatch(name):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
            return Command(name, description)
    raise bad_request("can't parse BotCommand: command and description are required")


def _reply_to(params: Params, inside: ChatState) -> int | None:
    """The message to reply to; None also where it is gone and the reply may be sent without it."""
    reply = params.fields("reply_parameters", "reply parameters")
    number = reply.integer("message_id") or None
    if number is None or number in inside.messages:
        return number
    if not reply.flag("allow_sending_without_reply"):
        raise bad_request("message to be replied not found")
    return None


def _checked_text(content: Formatted, *, too_long: str) -> Formatted:
    """The text as Telegram keeps it: 1 to 4096 UTF-16 units."""
    if not content.text:
        raise bad_request("message text is empty")
    content = as_kept(content)
    if not content.text:
        raise bad_request("text must be non-empty")
    if utf16_length(content.text) > MAX_TEXT:
        raise bad_request(too_long)
    return Formatted(content.text, content.entities[:MAX_ENTITIES])


def _checked_caption(params: Params) -> Formatted:
    """The caption as Telegram keeps it: 0 to 1024 UTF-16 units."""
    content = as_kept(params.formatted("caption", "caption_entities"))
    if utf16_length(content.text) > MAX_CAPTION:
        raise bad_request("message caption is too long")
    return content


def _png_size(content: bytes) -> tuple[int, int]:
    """Width and height in pixels, read from the header; pictures of other kinds are refused."""
    if not content.startswith(_PNG) or len(content) < 24:
        raise bad_request("IMAGE_PROCESS_FAILED")
    width, height = struct.unpack(">II", content[16:24])
    if width + height > 10_000 or max(width, height) > 20 * min(width, height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height


def _result(value: object) -> InlineResult:
    if not isinstance(value, dict) or value.get("type") != "article":
        raise bad_request("can't parse inline query result: unsupported type specified")
    result = Params(value)
    name = result.text("id")
    if not 0 < len(name.encode()) <= MAX_RESULT_ID_BYTES:
        raise bad_request("RESULT_ID_INVALID")
    if not result.text("title"):
        raise bad_request("can't parse inline query result: title is required")
    content = result.fields("input_message_content", "input message content").formatted("message_text")
    text = _checked_text(content, too_long="MESSAGE_TOO_LONG")
    return InlineResult(
        name, result.text("title"), result.text("description"), text.text, text.entities, result.keyboard()
    )


def _button_above(params: Params) -> tuple[str | None, str | None]:
    """What the line above the results says, and what /start is sent with when it is pressed."""
    if "button" not in params:
        return None, None
    button = params.fields("button", "inline query results button")
    text, start = button.text("text"), button.text("start_parameter")
    if not text:
        raise bad_request("SWITCH_PM_TEXT_EMPTY")
    if not _START_PARAMETER.fullmatch(start):
        raise bad_request("START_PARAM_INVALID")
    return text, start
