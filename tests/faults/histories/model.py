"""What must hold of texts and ratings, reckoned as the people see it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from bot.sandbox.world.records import Person, SeenMessage


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says to a text; no value where that is nothing, or nothing that counts."""

    source: Literal["reaction", "button"]
    value: float | None = None
    emoji: str = ""


@dataclass(eq=False, slots=True)
class Text:
    """A prompt that was accepted, and the text it is to become."""

    author: Person
    asked: SeenMessage
    """What the answer replies to."""
    parent: "Text | None"
    versions: set[str]
    """Those that may have written it."""
    stands: int = 1
    """Finished answers that there must be in the end."""
    is_forgotten: bool = False


class Model:
    """The texts, the words said to each message, and the version that answers."""

    def __init__(self, champion: str) -> None:
        self.champion = champion
        self.texts: list[Text] = []
        self._words: dict[tuple[int, int], dict[int, list[Word]]] = defaultdict(lambda: defaultdict(list))

    def ask(self, author: Person, asked: SeenMessage, parent: Text | None = None) -> None:
        """A prompt was sent."""
        self.texts.append(Text(author, asked, parent, {self.champion}))

    def rate(self, person: Person, message: SeenMessage, word: Word) -> None:
        """A person reacted to a message or pressed a button under it."""
        self._words[message.chat.id, message.id][person.id].append(word)

    def promote(self, champion: str, unfinished: list[Text]) -> None:
        """Another version answers from now on; what was unfinished then may be by either."""
        self.champion = champion
        for text in unfinished:
            text.versions.add(champion)

    def forget(self, person: Person, count: Callable[[Text], int]) -> None:
        """All that is a person's goes, with what descends from it; `count` tells what of it is in the chat for good."""
        for text in self.texts:  # a parent comes before its children
            is_theirs = text.author == person or (text.parent is not None and text.parent.is_forgotten)
            if is_theirs and not text.is_forgotten:
                text.is_forgotten, text.stands = True, count(text)
        for words in self._words.values():
            words.pop(person.id, None)

    def verdicts(self, message: SeenMessage) -> dict[int, Word]:
        """The last word of each person on a message, where that is a rating."""
        said = self._words[message.chat.id, message.id]
        verdicts = {person_id: last_word(words) for person_id, words in said.items()}
        return {person_id: word for person_id, word in verdicts.items() if word.value is not None}


def last_word(words: list[Word]) -> Word:
    """What stands after all of these, in this order."""
    stands = Word("reaction")
    for word in words:
        if word.source == "button":
            stands = replace(word, value=None) if word == stands else word
        elif word.value is not None or stands.source == "reaction":
            stands = word
    return stands


def finished_of(messages: tuple[SeenMessage, ...]) -> tuple[SeenMessage, ...]:
    """Those that show a finished text."""
    return tuple(message for message in messages if message.button("up:"))


def number_of(answer: SeenMessage) -> int:
    """The number of the text that a finished answer shows."""
    button = answer.button("up:")
    assert button is not None and button.callback_data is not None
    return int(button.callback_data.removeprefix("up:"))


def version_of(answer: SeenMessage) -> str:
    """The version that the footer names."""
    return answer.text.rsplit("\n\n", 1)[1].split(" · ")[-2]


def assert_same(exported: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """Fail with what differs: exported, and expected."""
    differing = {key: (exported.get(key), expected.get(key)) for key in exported.keys() | expected.keys()}
    assert exported == expected, {key: pair for key, pair in differing.items() if pair[0] != pair[1]}
