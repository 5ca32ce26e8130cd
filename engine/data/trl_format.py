"""Ratings in TRL's format of unpaired preferences, out and in, so that its KTO learns from ours and ours from its data.

One JSON object a line, conversational, as `trl.KTOTrainer` takes it; it looks at the first three keys only::

    {"prompt": [{"role": "user", "content": "tea"}], "completion": [{"role": "assistant", "content": "…"}],
     "label": true, "value": 0.83, "weight": 0.5}

value and weight are those of an `engine.data.dataset.Example`. Read are these, the same with plain strings as prompt
and completion, and the rows of a run's dataset.jsonl.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.api.types import Message
from engine.data.dataset import Example, RatedGeneration, Rating, json_line, read_row
from engine.data.rewards import LABEL_PSEUDO_VOTES
from engine.errors import RunError, first_problem

_MOST_VOTES = 50


def kto_record(example: Example) -> Mapping[str, object]:
    """A labelled text as TRL takes it."""
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in example.messages],
        "completion": [{"role": "assistant", "content": example.text}],
        "label": example.value > 0.0,
        "value": example.value,
        "weight": example.weight,
    }


def kto_lines(examples: Iterable[Example]) -> Iterable[str]:
    """One line for each text."""
    return (json_line(kto_record(example)) for example in examples)


def read_ratings(path: Path) -> tuple[RatedGeneration, ...]:
    """Read a file of ratings in any of the formats; other keys are TRL's business and left alone.

    Nobody is named in TRL's files. So each line counts as rated by people of its own, all of one opinion, as many as
    its weight stands for: one where none is given.

    Raises:
        RunError: the file is missing or empty, or a line is none of these; the sentence gives its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    if not lines:
        raise RunError(f"{path} is empty: give one JSON object a line, as `ovation export ratings --format kto` does.")
    return tuple(_row(line, number, path) for number, line in enumerate(lines, start=1))


class _Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str


class _Preference(BaseModel):
    """One line of TRL's."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    prompt: str | Annotated[list[_Turn], Field(min_length=1)]
    completion: str | Annotated[list[_Turn], Field(min_length=1, max_length=1)]
    label: bool
    value: float | None = Field(None, ge=-1.0, le=1.0)
    weight: float | None = Field(None, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _label_matches_value(self) -> Self:
        if self.value is not None and (self.value > 0.0) != self.label:
            raise ValueError(f"the label {self.label} does not go with the value {self.value}".lower())
        return self


def _row(line: bytes, number: int, path: Path) -> RatedGeneration:
    """A line in whichever format it is."""
    where = f"{path}, line {number}"
    try:
        parsed: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{where} is not JSON.") from error
    if isinstance(parsed, dict) and "ratings" in parsed:
        return read_row(line, where)
    try:
        preference = _Preference.model_validate(parsed)
    except ValidationError as error:
        raise RunError(f"{where}: {first_problem(error, 'the line')}.") from error
    prompt, completion = preference.prompt, preference.completion
    value = preference.value if preference.value is not None else 1.0 if preference.label else -1.0
    return RatedGeneration(
        id=f"{number:09}",
        kind="imported",
        chat="file",
        author="",
        version="",
        messages=(
            (Message("user", prompt),)
            if isinstance(prompt, str)
            else tuple(Message(turn.role, turn.content) for turn in prompt)
        ),
        text=completion if isinstance(completion, str) else completion[0].content,
        ratings=tuple(Rating(f"{number}.{vote}", value) for vote in range(_votes(preference.weight))),
    )


def _votes(weight: float | None) -> int:
    """How many full votes make a label of this weight, w = n / (n + 2)."""
    if weight is None:
        return 1
    return min(_MOST_VOTES, max(1, round(LABEL_PSEUDO_VOTES * weight / (1.0 - weight))))
