"""Records to the Bot API's JSON objects. Knows field names, not rules: what may be sent is decided elsewhere."""

from bot.sandbox.world.records import Button, Chat, Entity, Keyboard, Person, SeenMessage, Service
from bot.sandbox.world.updates import Payload

ANONYMOUS_ADMIN = Person(1087968824, "Group", username="GroupAnonymousBot", is_bot=True)
"""Who Telegram names as the sender when somebody writes as the group itself."""
CHANNEL_BOT = Person(136817688, "Channel", username="Channel_Bot", is_bot=True)
"""And when somebody writes as a channel of theirs."""
TELEGRAM = Person(777000, "Telegram")
"""And when Telegram brings a post of the group's channel."""

MEMBER_RIGHTS = (
    "can_be_edited",
    "is_anonymous",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)


def user(person: Person) -> Payload:
    """A User; the language is told for people only."""
    value: Payload = {"id": person.id, "is_bot": person.is_bot, "first_name": person.name}
    if person.username is not None:
        value["username"] = person.username
    if not person.is_bot:
        value["language_code"] = person.language
    return value


def chat(seen: Chat) -> Payload:
    """A Chat."""
    value: Payload = {"id": seen.id, "type": seen.kind}
    value["first_name" if seen.is_private else "title"] = seen.title
    if seen.username is not None:
        value["username"] = seen.username
    if seen.is_forum:
        value["is_forum"] = True
    return value


def message(seen: SeenMessage, *, reply_to: SeenMessage | None = None) -> Payload:
    """A Message; `reply_to` is nested one level deep, as Telegram does."""
    value: Payload = {"message_id": seen.id, "date": int(seen.date.timestamp()), "chat": chat(seen.chat)}
    if seen.sender is not None:
        value["from"] = user(seen.sender)
    if seen.sender_chat is not None:
        value["sender_chat"] = chat(seen.sender_chat)
        if seen.chat.is_group:
            value["from"] = user(_stand_in(seen, seen.sender_chat))
    if seen.is_forward:
        value["is_automatic_forward"] = True
    if seen.thread is not None:
        value["message_thread_id"] = seen.thread
        if seen.chat.is_forum:
            value["is_topic_message"] = True
    if seen.edited_at is not None:
        value["edit_date"] = int(seen.edited_at.timestamp())
    if reply_to is not None:
        value["reply_to_message"] = message(reply_to)
    if seen.keyboard:
        value["reply_markup"] = {"inline_keyboard": keyboard(seen.keyboard)}
    return value | _content(seen)


def _stand_in(seen: SeenMessage, sender: Chat) -> Person:
    """Whom Telegram names beside a chat that writes in a group."""
    if seen.is_forward:
        return TELEGRAM
    return ANONYMOUS_ADMIN if sender.id == seen.chat.id else CHANNEL_BOT


def _content(seen: SeenMessage) -> Payload:
    if seen.service is not None:
        return _service(seen.service)
    marked = [entity(mark) for mark in seen.entities]
    if seen.attachment is None:
        return {"text": seen.text, **({"entities": marked} if marked else {})}
    value = _attachment(seen)
    if seen.text:
        value["caption"] = seen.text
    if marked:
        value["caption_entities"] = marked
    return value


def _attachment(seen: SeenMessage) -> Payload:
    attachment = seen.attachment
    assert attachment is not None, "only messages with an attachment come here"
    file: Payload = {
        "file_id": attachment.file_id,
        "file_unique_id": f"u{attachment.file_id}",
        "file_size": attachment.size,
    }
    if attachment.kind == "photo":
        return {"photo": [file | {"width": attachment.width, "height": attachment.height}]}
    return {"document": file | {"file_name": attachment.name, "mime_type": attachment.content_type}}


def _service(service: Service) -> Payload:
    if service.title is not None:
        return {service.kind: {"name": service.title, "icon_color": 0x6FB9F0}}
    if service.person is None:
        return {service.kind: service.chat_id}
    if service.kind == "new_chat_members":
        return {"new_chat_members": [user(service.person)]}
    return {service.kind: user(service.person)}


def entity(mark: Entity) -> Payload:
    """A MessageEntity; a mention without username names its user by id only."""
    value: Payload = {"type": mark.kind, "offset": mark.offset, "length": mark.length}
    if mark.url is not None:
        value["url"] = mark.url
    if mark.language is not None:
        value["language"] = mark.language
    if mark.custom_emoji_id is not None:
        value["custom_emoji_id"] = mark.custom_emoji_id
    if mark.user_id is not None:
        value["user"] = {"id": mark.user_id, "is_bot": False, "first_name": str(mark.user_id)}
    return value


def keyboard(rows: Keyboard) -> list[list[Payload]]:
    """The rows of an InlineKeyboardMarkup."""
    return [[_button(each) for each in row] for row in rows]


def _button(button: Button) -> Payload:
    value: Payload = {"text": button.text}
    if button.callback_data is not None:
        value["callback_data"] = button.callback_data
    if button.url is not None:
        value["url"] = button.url
    if button.copy_text is not None:
        value["copy_text"] = {"text": button.copy_text}
    if button.style is not None:
        value["style"] = button.style
    return value | dict(button.extra)


def reactions(emojis: tuple[str, ...]) -> list[Payload]:
    """A list of ReactionType, all of them emoji."""
    return [{"type": "emoji", "emoji": emoji} for emoji in emojis]


def reaction_change(seen: SeenMessage, actor: Person | Chat, old: tuple[str, ...], date: int) -> Payload:
    """A MessageReactionUpdated: the actor's whole state before and after."""
    value: Payload = {"chat": chat(seen.chat), "message_id": seen.id, "date": date}
    if isinstance(actor, Person):
        value["user"] = user(actor)
    else:
        value["actor_chat"] = chat(actor)
    return value | {"old_reaction": reactions(old), "new_reaction": reactions(seen.emojis_of(actor.id))}


def reaction_totals(seen: SeenMessage, date: int) -> Payload:
    """A MessageReactionCountUpdated."""
    totals = [
        {"type": {"type": "emoji", "emoji": emoji}, "total_count": count}
        for emoji, count in seen.reaction_counts.items()
    ]
    return {"chat": chat(seen.chat), "message_id": seen.id, "date": date, "reactions": totals}


def status_change(seen: Chat, actor: Person, member_before: Payload, member_after: Payload, date: int) -> Payload:
    """A ChatMemberUpdated; `date` in Unix seconds."""
    return {
        "chat": chat(seen),
        "from": user(actor),
        "date": date,
        "old_chat_member": member_before,
        "new_chat_member": member_after,
    }


def callback_query(query_id: str, person: Person, pressed: Payload, data: str, chat_id: int) -> Payload:
    """A CallbackQuery; `pressed` names the message with the button."""
    return {"id": query_id, "from": user(person), **pressed, "chat_instance": str(abs(chat_id)), "data": data}


def inline_query(query_id: str, person: Person, text: str, seen: Chat) -> Payload:
    """An InlineQuery; of the chat the bot learns the kind only."""
    is_own = seen.is_private and seen.id == person.id
    return {
        "id": query_id,
        "from": user(person),
        "query": text,
        "offset": "",
        "chat_type": "sender" if is_own else seen.kind,
    }


def chosen_result(result_id: str, person: Person, text: str, inline_id: str | None) -> Payload:
    """A ChosenInlineResult; it names the message only where that has buttons."""
    value: Payload = {"result_id": result_id, "from": user(person), "query": text}
    return value if inline_id is None else value | {"inline_message_id": inline_id}


def member(person: Person, status: str, *, may_post: bool | None = None) -> Payload:
    """A ChatMember of any status; an administrator may do nothing beyond being one, in a channel perhaps post."""
    value: Payload = {"status": status, "user": user(person)}
    if status == "administrator":
        value |= dict.fromkeys(MEMBER_RIGHTS, False) | {"can_manage_chat": True}
        if may_post is not None:
            value["can_post_messages"] = may_post
    if status == "creator":
        value["is_anonymous"] = False
    if status == "kicked":
        value["until_date"] = 0
    return value
