"""Texts of a model that are written once and measured often: what a head alone can make of the base's own texts.

They lie in a folder outside of the repository, a line each, and an interrupted writing goes on where it stopped.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.progress import track

from bot.sandbox.people.tastes import TOPICS, Asked
from engine.api.types import Message
from engine.evaluation.sampling import Prompt, sample_replies
from engine.models.loader import load_base
from engine.runs.config import RunConfig

FOLDER = Path.home() / ".cache" / "ovation-benchmarks"
FRESH_PROMPTS, FRESH_TAKES = 48, 16
RATED = 150

_WISHES = {
    "slogan": "Write one slogan about {topic}.",
    "title": "Write one title for an article about {topic}.",
    "poem": "Write a poem of four lines about {topic}.",
    "story": "Write a story of three or four sentences about {topic}.",
    "post": "Write a short post for our channel about {topic}.",
    "pitch": "Write a pitch of three sentences for {topic}.",
    "character": "Describe in three sentences a character who has to do with {topic}.",
    "write": "Write two or three sentences about {topic}.",
}
_CONFIG = RunConfig(temperature=0.8, top_p=0.95, min_p=0.05, max_new_tokens=112, threads=1)
_AT_ONCE = 48
_LAST_SENTENCE = re.compile(r"(?s)^(.*[.!?…][\"'”’)*]*)")


@dataclass(frozen=True, slots=True)
class PoolText:
    """A text, what it was asked for, and the number of its request, which other takes of it share."""

    prompt: int
    asked: Asked
    text: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A model's texts: `rated` ones a take each, and `FRESH_TAKES` of each request on topics that nobody rates."""

    rated: Sequence[PoolText]
    fresh: Sequence[PoolText]


def requests(chance: Random, count: int, *, first: int) -> list[Asked]:
    """English requests on every second topic from the first."""
    return [Asked(chance.choice(list(_WISHES)), chance.choice(TOPICS["en"][first::2])) for _ in range(count)]


def messages_for(asked: Asked) -> tuple[Message, ...]:
    """The turn that asks for it, in plain words, whatever the bot's own templates say today."""
    return (Message("user", _WISHES[asked.kind].format(topic=asked.topic)),)


def whole(text: str) -> str:
    """The text up to its last whole sentence, as the bot shows one that ran out; all of it where it has none."""
    found = _LAST_SENTENCE.match(text.strip())
    return found[1] if found else text.strip()


def pool_of(model: str, folder: Path = FOLDER) -> Pool:
    """The model's pool, read or written; a model's name becomes the file's."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{Path(model).name}.jsonl"
    rated, fresh = requests(Random("rated"), RATED, first=0), requests(Random("fresh"), FRESH_PROMPTS, first=1)
    wanted = [(place, asked) for place, asked in enumerate([*rated, *fresh * FRESH_TAKES])]
    kept = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if missing := wanted[len(kept) :]:
        base = load_base(model)
        for begin in track(range(0, len(missing), _AT_ONCE), description=f"{model} writes"):
            some = missing[begin : begin + _AT_ONCE]
            prompts = [Prompt.of(base, messages_for(asked)) for _, asked in some]
            seed = len(kept) + begin
            replies = sample_replies(base.model, base, prompts, config=_CONFIG, count=len(prompts), seed=seed)
            with file.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps(text, ensure_ascii=False) + "\n" for text in replies.texts)
        kept = file.read_text(encoding="utf-8").splitlines()
    texts = [
        PoolText(place if place < RATED else RATED + (place - RATED) % FRESH_PROMPTS, asked, whole(json.loads(line)))
        for (place, asked), line in zip(wanted, kept, strict=True)
    ]
    return Pool(texts[:RATED], texts[RATED:])
