"""What every method gets: the bot's side of the world, and the common ways to read parameters.

Knows the JSON of keyboards, replies and reactions; knows no single method.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bot.sandbox.api.markup import parse
from bot.sandbox.api.params import Params
from bot.sandbox.api.webhook import Webhook
from bot.sandbox.world.bot_side import BotSide, ReplyTo
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import Button, Entity, Keyboard, SeenMessage
from bot.sandbox.world.state import State
from bot.sandbox.world.text import Formatted
from bot.sandbox.world.updates import Payload

MAX_CALLBACK_DATA_BYTES = 64
_BUTTON_ACTIONS = frozenset(
    {
        "url",
        "callback_data",
        "web_app",
        "login_url",
        "switch_inline_query",
        "switch_inline_query_current_chat",
        "switch_inline_query_chosen_chat",
        "copy_text",
        "callback_game",
        "pay",
    }
)
_KEPT = ("text", "callback_data", "url", "copy_text", "style")


@dataclass(slots=True)
class Context:
    """The stand-in's memory that belongs to the bot's account rather than to the world."""

    state: State
    webhook: Webhook
    side: BotSide = field(init=False)
    is_logged_out: bool = False

    def __post_init__(self) -> None:
        self.side = BotSide(self.state)

    def message(self, message: SeenMessage) -> Payload:
        """The Message object that a method returns."""
        return self.state.wire_message(message)


Handler = Callable[[Context, Params], Awaitable[object]]


def chat_id(params: Params) -> int | str:
    """The target chat: a number or an @username."""
    value = params.text("chat_id")
    if not value:
        raise bad_request("chat_id is empty")
    return int(value) if value.lstrip("-").isdigit() else value


def message_id(params: Params) -> int:
    """The target message."""
    number = params.integer("message_id")
    if number <= 0:
        raise bad_request("message identifier is not specified")
    return number


def formatted(params: Params, name: str = "text", entities: str = "entities") -> Formatted:
    """A text with its entities, given as a list or by a parse mode; the list wins, as in Telegram."""
    text = params.text(name)
    given = params.items(entities, "message entities")
    if given is None:
        return parse(text, params.text("parse_mode"))
    return Formatted(text, tuple(_entity(each) for each in given))


def _entity(value: object) -> Entity:
    match value:
        case {"type": str(kind), "offset": int(offset), "length": int(length), **rest}:
            user = rest.get("user")
            return Entity(
                kind,
                offset,
                length,
                url=_optional_text(rest.get("url")),
                language=_optional_text(rest.get("language")),
                user_id=int(user["id"]) if isinstance(user, Mapping) else None,
                custom_emoji_id=_optional_text(rest.get("custom_emoji_id")),
            )
    raise bad_request("can't parse MessageEntity: type, offset and length are required")


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def reply_to(params: Params) -> ReplyTo | None:
    """The message to reply to, from reply_parameters or the older names."""
    given = params.fields("reply_parameters", "reply parameters")
    number = given.get("message_id") or params.integer("reply_to_message_id")
    if not number:
        return None
    optional = bool(given.get("allow_sending_without_reply")) or params.flag("allow_sending_without_reply")
    return ReplyTo(int(str(number)), optional)


def topic(params: Params) -> int | None:
    """The topic to write in."""
    return params.integer("message_thread_id") or None


def keyboard(params: Params) -> Keyboard:
    """The inline keyboard of reply_markup; other markups are accepted and show nothing."""
    rows = params.fields("reply_markup", "reply keyboard markup").get("inline_keyboard", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup should be an Array of Arrays')
    return tuple(tuple(_button(each) for each in row) for row in rows if row)


def _button(value: object) -> Button:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be of type String')
    if not value["text"]:
        raise bad_request("can't parse inline keyboard button: text is empty")
    if not _BUTTON_ACTIONS & value.keys():
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    data = value.get("callback_data")
    if data is not None and not 0 < len(str(data).encode()) <= MAX_CALLBACK_DATA_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    copied = value.get("copy_text")
    return Button(
        value["text"],
        callback_data=None if data is None else str(data),
        url=value.get("url"),
        copy_text=str(copied.get("text")) if isinstance(copied, dict) else None,
        style=value.get("style"),
        extra=tuple((key, each) for key, each in value.items() if key not in _KEPT),
    )


def emojis(params: Params) -> tuple[str, ...]:
    """The emoji of a `reaction` list; custom and paid ones are refused, since nobody here has them."""
    chosen = []
    for each in params.items("reaction", "reaction") or []:
        if not isinstance(each, dict) or each.get("type") != "emoji":
            raise bad_request("REACTION_INVALID")
        chosen.append(str(each.get("emoji")))
    return tuple(chosen)
