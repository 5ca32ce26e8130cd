"""The parameters of one call, however they were sent: query string, form, multipart or JSON.

Forms carry everything as text and nested values as JSON text; the readers below accept both, and refuse in Telegram's
words what has the wrong type.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.records import Entity, Keyboard, SeenButton
from bot.sandbox.world.text import Formatted
from engine.foreign_json import read_json

MAX_CALLBACK_DATA_BYTES = 64

Values = dict[str, object]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a call; `content` is left out of the repr."""

    name: str
    content_type: str
    content: bytes

    def __repr__(self) -> str:
        return f"Upload({self.name!r}, {self.content_type!r}, {len(self.content)} bytes)"


def read_body(query: str, content_type: str, body: bytes) -> Values:
    """All parameters of a request by name; files are `Upload`s.

    Raises:
        ApiError: 400 when JSON cannot be parsed or is not an object, or words are not UTF-8.
    """
    values: Values = dict(parse_qsl(query, keep_blank_values=True))
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" and body:
        try:
            given = read_json(body, strict=True)
        except ValueError as error:
            raise bad_request("can't parse JSON object") from error
        if not isinstance(given, dict):
            raise bad_request("JSON object expected")
        values |= given
    elif kind == "application/x-www-form-urlencoded":
        values |= dict(parse_qsl(_text(body), keep_blank_values=True))
    elif kind == "multipart/form-data":
        values |= _multipart(content_type, body)
    return values


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise bad_request("strings must be encoded in UTF-8") from error


def _multipart(content_type: str, body: bytes) -> Values:
    parsed = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    values: Values = {}
    for part in parsed.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            continue
        filename = part.get_filename()
        if filename is None:
            values[name] = _text(content)
        else:
            values[name] = Upload(filename, part.get_content_type(), content)
    return values


class Params:
    """Typed reading of the parameters of a call, or of the fields of a nested object."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """A string, empty when absent; numbers are written out as in JSON."""
        value = self._values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number; what is not one counts as `default`, as Telegram does."""
        try:
            return int(str(self._values.get(name)))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        """A Boolean."""
        return str(self._values.get(name, "")).lower() in ("true", "1", "yes")

    def fields(self, name: str, what: str) -> "Params":
        """A nested object, without fields when absent. `what` names it in the refusal."""
        value = self._nested(name, what)
        if not isinstance(value, dict | None):
            raise bad_request(f"can't parse {what}: object expected")
        return Params(value or {})

    def items(self, name: str, what: str) -> list[object] | None:
        """A nested list, None when absent."""
        value = self._nested(name, what)
        if not isinstance(value, list | None):
            raise bad_request(f"can't parse {what}: expected an Array")
        return value

    def _nested(self, name: str, what: str) -> object:
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return read_json(value, strict=True) if value else None
        except ValueError as error:
            raise bad_request(f"can't parse {what} JSON object") from error

    # What many methods have in common

    def chat_id(self) -> int:
        """The target chat; the bot names none by its @username."""
        if "chat_id" not in self:
            raise bad_request("chat_id is empty")
        return self.integer("chat_id")

    def message_id(self) -> int:
        """The target message."""
        number = self.integer("message_id")
        if number <= 0:
            raise bad_request("message identifier is not specified")
        return number

    def formatted(self, name: str = "text", entities: str = "entities") -> Formatted:
        """A text with its entities; parse modes are refused, for the bot sends none."""
        if "parse_mode" in self:
            raise bad_request(f"unsupported parse_mode {self.text('parse_mode')}; the stand-in reads {entities} only")
        marks = self.items(entities, "message entities") or []
        return Formatted(self.text(name), tuple(_entity(mark) for mark in marks))

    def keyboard(self) -> Keyboard:
        """The inline keyboard of reply_markup; other markups are accepted and show nothing."""
        rows = self.fields("reply_markup", "reply keyboard markup").items("inline_keyboard", "inline keyboard") or []
        if not all(isinstance(row, list) for row in rows):
            raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup should be an Array of Arrays')
        return tuple(tuple(_button(each) for each in row) for row in rows if isinstance(row, list) and row)

    def upload(self, name: str) -> Upload:
        """A file sent along, by itself or by `attach://`."""
        value = self._values.get(name, "")
        if isinstance(value, str) and value.startswith("attach://"):
            value = self._values.get(value.removeprefix("attach://"), "")
        if not isinstance(value, Upload):
            raise bad_request(
                "wrong file identifier/HTTP URL specified" if value else f"there is no {name} in the request"
            )
        return value


def _entity(value: object) -> Entity:
    match value:
        case {"type": str(kind), "offset": int(offset), "length": int(length)}:
            return Entity(kind, offset, length)
    raise bad_request("can't parse MessageEntity: type, offset and length are required")


def _button(value: object) -> SeenButton:
    """A button with callback data, the only kind that the bot has."""
    match value:
        case {"text": "", **_others}:
            raise bad_request("can't parse inline keyboard button: text is empty")
        case {"text": str(text), "callback_data": str(data)}:
            if not 0 < len(data.encode()) <= MAX_CALLBACK_DATA_BYTES:
                raise bad_request("BUTTON_DATA_INVALID")
            return SeenButton(text, data)
        case {"text": str()}:
            raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    raise bad_request('can\'t parse inline keyboard button: Field "text" must be of type String')
