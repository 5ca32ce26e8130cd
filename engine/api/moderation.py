"""The wire format of OpenAI's moderations: `POST /v1/moderations`. Knows field names; judges nothing."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from engine.api.bodies import Body, clean, parsed


class _ModerationBody(Body):
    input: str


def parse_moderation(body: bytes) -> str:
    """The text to judge.

    Raises:
        RequestError: the body has none.
    """
    return clean(parsed(body, _ModerationBody).input)


def moderation_object(model: str, found: Collection[str]) -> dict[str, Any]:
    """The answer: what was found, as categories that are true."""
    result = {
        "flagged": bool(found),
        "categories": dict.fromkeys(sorted(found), True),
        "category_scores": dict.fromkeys(sorted(found), 1.0),
    }
    return {"id": f"modr-{uuid.uuid4().hex}", "model": model, "results": [result]}


def read_moderation(answer: Mapping[str, Any]) -> frozenset[str]:
    """The answer, as a client reads it; KeyError, TypeError, IndexError or AttributeError if it is something else."""
    result = answer["results"][0]
    found = frozenset(str(name) for name, is_found in result["categories"].items() if is_found)
    return found or frozenset({"flagged"} if result["flagged"] else ())
