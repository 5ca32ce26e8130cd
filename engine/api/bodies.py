"""Request bodies: JSON checked against a pydantic model, and conversations in OpenAI's form.

Knows JSON and how a wrong field is told. Knows nothing of endpoints. Fields that a body does not know are ignored, as
OpenAI's server ignores them; fields that it knows must have the right type.
"""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.api.chat import Message, Role
from engine.errors import RequestError

MAX_NAME_CHARACTERS = 256

Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)]
"""Somebody or something, in the caller's words."""

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class Body(BaseModel):
    """What all bodies and their parts have in common."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


AnyBody = TypeVar("AnyBody", bound=Body)


class _Part(Body):
    type: str
    text: str = ""


class Turn(Body):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None

    def message(self) -> Message:
        """The turn as a message; RequestError if it holds anything but text."""
        parts = self.content if isinstance(self.content, list) else [_Part(type="text", text=self.content or "")]
        if any(part.type != "text" for part in parts):
            raise RequestError("messages: this model reads text only; leave out parts of other types.")
        return Message(_ROLES[self.role], clean("".join(part.text for part in parts)))


def parsed(body: bytes, kind: type[AnyBody]) -> AnyBody:
    """Read a body.

    Raises:
        RequestError: it is not JSON, or a field is missing or of the wrong type; the sentence names it.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(map(str, problem["loc"])) or "the body"
        raise RequestError(f"{path}: {problem['msg']}.") from error


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
