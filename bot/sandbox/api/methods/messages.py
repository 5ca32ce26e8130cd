"""Sending, editing, deleting and reacting. Reads parameters; the rules are in `bot_side`."""

from bot.sandbox.api.methods.context import (
    Context,
    Handler,
    chat_id,
    emojis,
    formatted,
    keyboard,
    message_id,
    reply_to,
    topic,
)
from bot.sandbox.api.params import Params
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import SeenMessage

_ACTIONS = frozenset(
    {
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    }
)


async def send_message(context: Context, params: Params) -> object:
    """Send a text."""
    target, content = chat_id(params), formatted(params)
    sent = context.side.send(target, content, reply_to=reply_to(params), topic=topic(params), keyboard=keyboard(params))
    return context.message(sent)


async def edit_message_text(context: Context, params: Params) -> object:
    """Replace the text of a message; without reply_markup its keyboard goes."""
    return _edited(context, context.side.edit_text(_target(context, params), formatted(params), keyboard(params)))


async def edit_message_caption(context: Context, params: Params) -> object:
    """Replace the caption of a photo or document."""
    content = formatted(params, "caption", "caption_entities")
    return _edited(context, context.side.edit_caption(_target(context, params), content, keyboard(params)))


async def edit_message_reply_markup(context: Context, params: Params) -> object:
    """Replace the keyboard of a message."""
    return _edited(context, context.side.edit_keyboard(_target(context, params), keyboard(params)))


async def delete_message(context: Context, params: Params) -> object:
    """Delete one message."""
    context.side.delete(chat_id(params), message_id(params))
    return True


async def delete_messages(context: Context, params: Params) -> object:
    """Delete up to 100 messages; those that are not there are skipped."""
    numbers = params.items("message_ids", "message identifiers") or []
    room = context.side.open_room(chat_id(params))
    for number in numbers:
        if number in room.messages:
            context.side.delete(room.chat.id, int(str(number)))
    return True


async def send_chat_action(context: Context, params: Params) -> object:
    """Show what the bot is doing, for 5 seconds."""
    action = params.text("action")
    if action not in _ACTIONS:
        raise bad_request("wrong parameter action in request")
    context.side.show_action(chat_id(params), action)
    return True


async def send_message_draft(context: Context, params: Params) -> object:
    """Show an unfinished text in a private chat."""
    context.side.show_draft(chat_id(params), params.integer("draft_id"), formatted(params))
    return True


async def set_message_reaction(context: Context, params: Params) -> object:
    """Set or remove the bot's reaction."""
    context.side.react(chat_id(params), message_id(params), emojis(params))
    return True


def _target(context: Context, params: Params) -> SeenMessage:
    """The message to edit: one of the bot's own, or one that somebody has sent with its help."""
    if "inline_message_id" in params:
        return context.side.inline_message(params.text("inline_message_id"))
    return context.side.own(chat_id(params), message_id(params), "edit")


def _edited(context: Context, message: SeenMessage) -> object:
    """What an edit returns: of a message of inline mode, nothing but that it is done."""
    return True if message.inline_id is not None else context.message(message)


METHODS: dict[str, Handler] = {
    "sendMessage": send_message,
    "editMessageText": edit_message_text,
    "editMessageCaption": edit_message_caption,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
    "sendChatAction": send_chat_action,
    "sendMessageDraft": send_message_draft,
    "setMessageReaction": set_message_reaction,
}
