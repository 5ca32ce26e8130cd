"""The corpus: conversations as the bot holds them, in English and Chinese, composed by the grammar from a seed.

One record is one conversation in the words of the chat template. Knows nothing of tokens.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from engine.api.chat import Message
from recipes import grammar, topics, wishes
from recipes.grammar import KINDS, LANGUAGES, MORE, Language, Topic

PEOPLE_OCCASIONS = frozenset({"thanks", "congratulation", "welcome", "farewell"})
"""Free wishes whose text is about somebody rather than something."""

_STYLE_CHANGES = ("playful", "plain", "poetic", "bold", "asking", "quiet", "numbers", "you", "old", "rhyme")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, and what is in it."""

    kind: str
    language: Language
    style: str
    topic: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """The text that is on the table: what it is (a kind or an occasion), how, and about what."""

    form: str
    style: str
    topic: Topic
    text: str


def conversations(count: int, *, seed: int) -> Iterator[Conversation]:
    """The corpus, in order; the same for the same seed on every machine."""
    random = Random(seed)
    for _ in range(count):
        kind = random.choice((*KINDS, "write"))
        yield conversation(kind, random.choice(LANGUAGES), random)


def conversation(kind: str, language: Language, random: Random) -> Conversation:
    """One conversation of a kind: one to four texts, each new text by a wish about the last one or on a new topic."""
    wish, draft = _free(language, random) if kind == "write" else _fixed(kind, language, random)
    messages = [*_system(kind, language, random), Message("user", wish), Message("assistant", draft.text)]
    for _ in range(random.choices((0, 1, 2, 3), (35, 30, 20, 15))[0]):
        if random.random() < 0.5:
            wish, draft = _change(draft, language, random)
        else:
            wish, draft = _free(language, random) if kind == "write" else _fixed(kind, language, random)
        messages += [Message("user", wish), Message("assistant", draft.text)]
    return Conversation(kind, language, draft.style, draft.topic.text, tuple(messages))


def write_corpus(path: Path, items: Iterable[Conversation]) -> None:
    """Write conversations as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            file.write(json.dumps(asdict(item), ensure_ascii=False) + "\n")


def _system(kind: str, language: Language, random: Random) -> Sequence[Message]:
    """The bot's own instruction mostly, sometimes another wording; a free wish sometimes comes without any."""
    if kind == "write" and random.random() < 0.15:
        return ()
    own, *others = wishes.instructions(kind, language)
    return (Message("system", own if random.random() < 0.75 else random.choice(others)),)


def _fixed(kind: str, language: Language, random: Random) -> tuple[str, Draft]:
    topic = topics.topic(language, random)
    draft = _compose(kind, random.choice(grammar.styles(kind, language)), topic, language, random)
    if random.random() < 0.9:
        return topic.text, draft
    return random.choice(wishes.requests(language)[kind]).replace("{t}", topic.text), draft


def _free(language: Language, random: Random) -> tuple[str, Draft]:
    requests = wishes.requests(language)
    form = random.choice((*requests, "praise", "praise"))
    request = random.choice(requests[form])
    thing, person = topics.topic(language, random), topics.person(language, random)
    topic = person if form in PEOPLE_OCCASIONS else thing
    draft = _compose(form, random.choice(grammar.styles(form, language)), topic, language, random)
    return request.replace("{t}", thing.text).replace("{p}", person.text), draft


def _compose(form: str, style: str, topic: Topic, language: Language, random: Random) -> Draft:
    return Draft(form, style, topic, grammar.write(form, style, topic, language, random))


def _change(draft: Draft, language: Language, random: Random) -> tuple[str, Draft]:
    """A wish about the draft and the text that follows it."""
    possible = ["longer", "another", "topic", "topic"]
    possible += ["shorter"] if draft.style != "quiet" and draft.form != "title" else []
    possible += [c for c in _STYLE_CHANGES if c in grammar.templates(language)[draft.form] and c != draft.style]
    possible += ["without_emoji", "without_emoji"] if grammar.has_emoji(draft.text) else ["with_emoji", "with_emoji"]
    change = random.choice(possible)
    new_topic = topics.topic(language, random) if change == "topic" else draft.topic
    wish = random.choice(wishes.changes(language)[change]).replace("{t}", new_topic.text)
    return wish, follow(change, draft, new_topic, language, random)


def follow(change: str, draft: Draft, new_topic: Topic, language: Language, random: Random) -> Draft:
    """What the assistant writes after a wish of this sort; `new_topic` matters to a change of topic only."""
    form, style, topic = draft.form, draft.style, draft.topic
    match change:
        case "topic":
            return _compose(form, style, new_topic, language, random)
        case "shorter":
            return _shorter(draft, language, random)
        case "another":
            return _compose(form, random.choice(grammar.styles(form, language)), topic, language, random)
        case "longer" | "with_emoji" | "without_emoji":
            edit = {"longer": _longer, "with_emoji": _with_emoji, "without_emoji": _without_emoji}[change]
            return Draft(form, style, topic, edit(draft, language, random))
        case _:
            return _compose(form, change, topic, language, random)


def _longer(draft: Draft, language: Language, random: Random) -> str:
    addition = grammar.write(draft.form, MORE, draft.topic, language, random)
    if draft.form == "title":
        return draft.text.rstrip("!?！？") + addition
    closed = language == "zh" and draft.text[-1] in "。！？”"
    gap = "\n" if draft.form == "poem" else "" if closed else " "
    return draft.text + gap + addition


def _without_emoji(draft: Draft, _language: Language, _random: Random) -> str:
    return grammar.without_emoji(draft.text)


def _shorter(draft: Draft, language: Language, random: Random) -> Draft:
    """A quiet text that is clearly shorter than the draft, or else as short as they come."""
    tries = [_compose(draft.form, "quiet", draft.topic, language, random) for _ in range(6)]
    shortest = min(tries, key=lambda other: len(other.text))
    fitting = [other for other in tries if len(other.text) < 0.7 * len(draft.text)]
    return random.choice(fitting or [shortest])


def _with_emoji(draft: Draft, language: Language, random: Random) -> str:
    lists = grammar.words(language)
    emoji = lists.get(draft.topic.theme, lists["any"]).get("e") or lists["any"]["e"]
    lines = draft.text.split("\n")
    marked = random.sample(range(len(lines)), k=min(len(lines), 2))
    decorated = [f"{line} {random.choice(emoji)}" if i in marked and line else line for i, line in enumerate(lines)]
    return (f"{random.choice(emoji)} " if random.random() < 0.5 else "") + "\n".join(decorated)
