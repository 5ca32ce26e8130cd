"""What the web chat gets to see, as JSON. Knows the page's field names; decides nothing.

Offsets of entities are UTF-16 units, which is what JavaScript counts in. Dates are Unix seconds.
"""

from bot.sandbox.world.menus import Menus
from bot.sandbox.world.records import Answer, Attachment, Button, Command, Event, Person, SeenMessage
from bot.sandbox.world.state import Room, State

View = dict[str, object]

HISTORY = 200
"""The most recent messages of each chat that a newly opened page gets."""


def person(seen: Person) -> View:
    """A person."""
    return {"id": seen.id, "name": seen.name, "language": seen.language, "isBot": seen.is_bot}


def message(seen: SeenMessage, viewer: Person) -> View:
    """A message; `mine` on a reaction is true when the viewer set it."""
    return {
        "id": seen.id,
        "chat": seen.chat.id,
        "sender": None if seen.sender is None else person(seen.sender),
        "title": None if seen.sender_chat is None else seen.sender_chat.title,
        "text": seen.text,
        "entities": [
            {"kind": each.kind, "offset": each.offset, "length": each.length, "url": each.url} for each in seen.entities
        ],
        "date": int(seen.date.timestamp()),
        "edited": seen.edited,
        "replyTo": seen.reply_to,
        "keyboard": [[_button(each) for each in row] for row in seen.keyboard],
        "reactions": _reactions(seen, viewer),
        "file": None if seen.attachment is None else _file(seen.attachment),
        "service": None if seen.service is None else _service(seen),
    }


def answer(given: Answer | None) -> View:
    """The bot's answer to a pressed button; `answered` is false when none came in time."""
    if given is None:
        return {"answered": False, "text": None, "alert": False, "url": None}
    return {"answered": True, "text": given.text, "alert": given.is_alert, "url": given.url}


def snapshot(state: State, viewer: Person, reactions: tuple[str, ...]) -> View:
    """Everything a page needs when it opens."""
    return {
        "type": "snapshot",
        "me": person(viewer),
        "bot": person(state.bot) | {"username": state.bot.username},
        "reactions": list(reactions),
        "chats": [chat(state, room, viewer, with_history=True) for room in state.rooms_of(viewer)],
    }


def chat(state: State, room: Room, viewer: Person, *, with_history: bool = False) -> View:
    """A chat with its command menu for the viewer; a private chat goes by the bot's name."""
    recent = list(room.messages.values())[-HISTORY:] if with_history else []
    return {
        "id": room.chat.id,
        "kind": room.chat.kind,
        "title": state.bot.name if room.chat.is_private else room.chat.title,
        "members": len(room.members) + 1,
        "botStatus": room.bot_status,
        "description": state.menus.word("description", viewer.language) if room.chat.is_private else "",
        "commands": _menu(state.menus, room, viewer),
        "messages": [message(each, viewer) for each in recent],
    }


def event(state: State, happened: Event, viewer: Person) -> View | None:
    """The event as this viewer sees it; None when it does not concern them."""
    if happened.kind == "commands":
        menus = {str(room.chat.id): _menu(state.menus, room, viewer) for room in state.rooms_of(viewer)}
        return {"type": "commands", "menus": menus}
    if happened.chat is None:
        return {"type": happened.kind} | happened.detail
    room = state.rooms.get(happened.chat.id)
    if room is None or viewer.id not in room.members:
        return None
    if happened.kind == "chat":
        return {"type": "chat", "chat": chat(state, room, viewer)}
    view: View = {"type": happened.kind, "chat": happened.chat.id} | happened.detail
    return view if happened.message is None else view | {"message": message(happened.message, viewer)}


def _menu(menus: Menus, room: Room, viewer: Person) -> list[View]:
    is_admin = viewer.id in room.admins
    return [_command(e) for e in menus.commands_for(room.chat, viewer.id, viewer.language, is_admin=is_admin)]


def _command(command: Command) -> View:
    return {"name": command.name, "description": command.description}


def _button(button: Button) -> View:
    return {
        "text": button.text,
        "data": button.callback_data,
        "url": button.url,
        "copy": button.copy_text,
        "style": button.style,
    }


def _reactions(seen: SeenMessage, viewer: Person) -> list[View]:
    mine = seen.emojis_of(viewer.id)
    return [{"emoji": emoji, "count": count, "mine": emoji in mine} for emoji, count in seen.reaction_counts.items()]


def _file(attachment: Attachment) -> View:
    return {
        "kind": attachment.kind,
        "url": f"/api/files/{attachment.file_id}",
        "name": attachment.name,
        "size": attachment.size,
        "width": attachment.width,
        "height": attachment.height,
    }


def _service(seen: SeenMessage) -> View:
    service = seen.service
    assert service is not None, "only service messages come here"
    return {"kind": service.kind, "name": service.person.name if service.person else None}
