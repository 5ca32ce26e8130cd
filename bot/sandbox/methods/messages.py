"""Sending, editing, deleting and reacting. Reads parameters; the rules are in `bot_side`."""

from bot.sandbox.errors import bad_request
from bot.sandbox.methods.context import (
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
from bot.sandbox.params import Params

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
    _refuse_inline(params)
    target = (chat_id(params), message_id(params))
    return context.message(context.side.edit_text(*target, formatted(params), keyboard(params)))


async def edit_message_caption(context: Context, params: Params) -> object:
    """Replace the caption of a photo or document."""
    _refuse_inline(params)
    content = formatted(params, "caption", "caption_entities")
    target = (chat_id(params), message_id(params))
    return context.message(context.side.edit_caption(*target, content, keyboard(params)))


async def edit_message_reply_markup(context: Context, params: Params) -> object:
    """Replace the keyboard of a message."""
    _refuse_inline(params)
    return context.message(context.side.edit_keyboard(chat_id(params), message_id(params), keyboard(params)))


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


def _refuse_inline(params: Params) -> None:
    if "inline_message_id" in params:
        raise bad_request("MESSAGE_ID_INVALID")


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
