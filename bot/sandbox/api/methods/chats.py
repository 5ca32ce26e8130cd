"""Asking about chats and their people, answering buttons, leaving. Reads the world, changes little of it."""

from bot.sandbox.api.methods.context import Context, Handler, chat_id
from bot.sandbox.api.params import Params
from bot.sandbox.world import serializers
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import Answer, Person
from bot.sandbox.world.state import Room

_PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_invite_users",
)
_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


async def get_chat(context: Context, params: Params) -> object:
    """A ChatFullInfo; without `available_reactions` every standard one is."""
    room = context.side.room(chat_id(params))
    info = serializers.chat(room.chat) | {
        "accent_color_id": 0,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(_GIFTS, False),
    }
    if room.reactions is not None:
        info["available_reactions"] = serializers.reactions(room.reactions)
    if room.chat.is_group:
        info["permissions"] = dict.fromkeys(_PERMISSIONS, True)
    return info


async def get_chat_member(context: Context, params: Params) -> object:
    """What a person, or the bot itself, is in a chat."""
    room = context.side.open_room(chat_id(params))
    person_id = params.integer("user_id")
    if person_id == context.state.bot.id:
        return serializers.member(context.state.bot, room.bot_status)
    person = room.members.get(person_id)
    if person is not None:
        return serializers.member(person, _status(room, person))
    stranger = context.state.people.get(person_id)
    if stranger is None:
        raise bad_request("invalid user_id specified")
    return serializers.member(stranger, "left")


async def get_chat_administrators(context: Context, params: Params) -> object:
    """The administrators of a group, the bot only if it is one."""
    room = context.side.open_room(chat_id(params))
    if room.chat.is_private:
        raise bad_request("there are no administrators in the private chat")
    people = [person for person in room.members.values() if person.id in room.admins]
    found = [serializers.member(person, "administrator") for person in people]
    if room.bot_status == "administrator":
        found.append(serializers.member(context.state.bot, "administrator"))
    return found


async def get_chat_member_count(context: Context, params: Params) -> object:
    """How many are in the chat, the bot included."""
    return len(context.side.open_room(chat_id(params)).members) + 1


async def leave_chat(context: Context, params: Params) -> object:
    """Leave a group."""
    room = context.side.open_room(chat_id(params))
    if room.chat.is_private:
        raise bad_request("chat member status can't be changed in private chats")
    room.bot_status = "left"
    context.state.tell("chat", room.chat)
    return True


async def answer_callback_query(context: Context, params: Params) -> object:
    """Answer a pressed button with nothing, a toast or an alert."""
    text = params.text("text")
    if len(text) > 200:
        raise bad_request("MESSAGE_TOO_LONG")
    answer = Answer(text or None, params.flag("show_alert"), params.text("url") or None)
    context.side.answer_query(params.text("callback_query_id"), answer)
    return True


def _status(room: Room, person: Person) -> str:
    return "administrator" if person.id in room.admins else "member"


METHODS: dict[str, Handler] = {
    "getChat": get_chat,
    "getChatMember": get_chat_member,
    "getChatAdministrators": get_chat_administrators,
    "getChatMemberCount": get_chat_member_count,
    "leaveChat": leave_chat,
    "answerCallbackQuery": answer_callback_query,
}
