"""`POST /v1/taste`, our own addition to OpenAI's API: rated texts in, what a fit of them found out.

Knows field names and bounds. Knows nothing of tastes or of the engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from engine.api.bodies import Body, Name, Turn, clean, parsed
from engine.api.tasting import PersonalRating, RatedText, TasteFitted

_Value = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]


class _Text(Body):
    messages: list[Turn] = Field(min_length=1)
    text: str
    value: _Value
    weight: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class _Rating(Body):
    text: Annotated[int, Field(ge=0)]
    value: _Value


class _TasteBody(Body):
    name: Annotated[Name, Field(min_length=1)]
    texts: list[_Text]
    people: dict[Name, list[_Rating]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TasteRequest:
    """A taste to fit; without texts, one to remove."""

    name: str
    texts: tuple[RatedText, ...]
    people: Mapping[str, Sequence[PersonalRating]]


def parse_taste(body: bytes) -> TasteRequest:
    """Read the body of `POST /v1/taste`; RequestError if it is malformed."""
    taste = parsed(body, _TasteBody)
    return TasteRequest(
        name=taste.name,
        texts=tuple(
            RatedText(tuple(turn.message() for turn in text.messages), clean(text.text), text.value, text.weight)
            for text in taste.texts
        ),
        people={
            person: tuple(PersonalRating(rating.text, rating.value) for rating in ratings)
            for person, ratings in taste.people.items()
        },
    )


def taste_object(
    name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
) -> dict[str, Any]:
    """The body of `POST /v1/taste`, as a client writes it."""
    return {
        "name": name,
        "texts": [
            {
                "messages": [{"role": message.role, "content": message.content} for message in text.messages],
                "text": text.text,
                "value": text.value,
                "weight": text.weight,
            }
            for text in texts
        ],
        "people": {
            person: [{"text": rating.text_index, "value": rating.value} for rating in ratings]
            for person, ratings in people.items()
        },
    }


def fitted_object(name: str, fitted: TasteFitted) -> dict[str, Any]:
    """The answer to it."""
    return {
        "name": name,
        "texts": fitted.texts,
        "people": fitted.people,
        "auroc": fitted.auroc,
        "seconds": fitted.seconds,
    }


def read_fitted(answer: Mapping[str, Any]) -> TasteFitted:
    """The answer, as a client reads it; KeyError, TypeError or ValueError if it is something else."""
    auroc = answer["auroc"]
    return TasteFitted(
        texts=int(answer["texts"]),
        people=int(answer["people"]),
        auroc=None if auroc is None else float(auroc),
        seconds=float(answer["seconds"]),
    )
