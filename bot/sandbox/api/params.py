"""The parameters of one call, however they were sent: query string, form, multipart or JSON.

Forms carry everything as text and nested values as JSON text; the readers below accept both. Knows no method.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

from bot.sandbox.world.errors import bad_request


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a call; `content` is left out of the repr."""

    name: str
    content_type: str
    content: bytes

    def __repr__(self) -> str:
        return f"Upload({self.name!r}, {self.content_type!r}, {len(self.content)} bytes)"


Values = dict[str, object]


def read_body(query: str, content_type: str, body: bytes) -> Values:
    """All parameters of a request by name; files are `Upload`s.

    Raises:
        ApiError: 400 when JSON cannot be parsed or is not an object.
    """
    values: Values = dict(parse_qsl(query, keep_blank_values=True))
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" and body:
        values |= _json_object(body)
    elif kind == "application/x-www-form-urlencoded":
        values |= dict(parse_qsl(body.decode(), keep_blank_values=True))
    elif kind == "multipart/form-data":
        values |= _multipart(content_type, body)
    return values


def _json_object(body: bytes) -> Values:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise bad_request("can't parse JSON object") from error
    if not isinstance(value, dict):
        raise bad_request("JSON object expected")
    return value


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
            values[name] = content.decode()
        else:
            values[name] = Upload(filename, part.get_content_type(), content)
    return values


class Params:
    """Typed reading of parameters, refusing in Telegram's words what has the wrong type."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """A string; numbers are written out as in JSON."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        return value.name if isinstance(value, Upload) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number; what is not one counts as `default`, as Telegram does."""
        value = self._values.get(name)
        if isinstance(value, int):
            return int(value)
        try:
            return int(str(value))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        """A Boolean."""
        return str(self._values.get(name, "")).lower() in ("true", "1", "yes")

    def structure(self, name: str, what: str) -> object:
        """A nested value, or None when absent. `what` names it in the refusal."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError as error:
            raise bad_request(f"can't parse {what} JSON object") from error

    def fields(self, name: str, what: str) -> dict[str, object]:
        """A nested object, empty when absent."""
        value = self.structure(name, what)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad_request(f"can't parse {what}: object expected")
        return value

    def items(self, name: str, what: str) -> list[object] | None:
        """A nested list, None when absent."""
        value = self.structure(name, what)
        if value is not None and not isinstance(value, list):
            raise bad_request(f"can't parse {what}: expected an Array")
        return value

    def upload(self, name: str) -> Upload | str:
        """A file sent along (also by `attach://`), or the text that names one."""
        value = self._values.get(name, "")
        if isinstance(value, str) and value.startswith("attach://"):
            value = self._values.get(value.removeprefix("attach://"), "")
        return value if isinstance(value, Upload) else str(value)
