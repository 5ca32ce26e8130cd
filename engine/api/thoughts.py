"""What a reasoning model thinks aloud before it answers, taken out of its text as that is written.

Models put it between tags, `<think>` and `</think>` mostly. Some chat templates write the first tag themselves, so that
the text begins with the thought and only its end is to be seen; and a thought that uses up the tokens never ends.
"""

import re
from typing import Final, Literal

_TAGS: Final = {
    "<think>": "</think>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
}
_TAGS_AT_THE_BEGINNING: Final = {
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
}
"""Words in angle brackets that may well be meant elsewhere."""
_ALL_TAGS = _TAGS | _TAGS_AT_THE_BEGINNING
TAGS: Final = frozenset({*_ALL_TAGS, *_ALL_TAGS.values()})
_TAG = re.compile("|".join(map(re.escape, (*_ALL_TAGS, *_TAGS.values()))))
_SAID = re.compile(r"\S")
_OPENED_AT_THE_END = re.compile(f"({'|'.join(map(re.escape, _ALL_TAGS))})(\\s*)$")
_FIRST_CHARACTERS = frozenset(tag[0] for tag in TAGS)


class Thoughts:
    """Takes a text piece by piece and gives back what is not thought.

    What may be the beginning of a tag is held back until it is one or not. A tag that stands in backquotes is spoken
    of and stays. `may_begin_in_one`: the text may begin within a thought, so all of it is held back until a tag says.
    """

    def __init__(self, *, may_begin_in_one: bool = False) -> None:
        self._state: Literal["text", "thought", "unclear"] = "unclear" if may_begin_in_one else "text"
        self._closing = ""
        self._held = ""
        self._aside: list[str] = []
        """What was held before that and has no tag in it, as long as it is unclear whether it is a thought."""
        self._before = ""
        """The last character that was let through."""
        self._is_at_the_beginning = True
        """Whether nothing but white space was let through."""
        self._strips = False
        """Whether the white space is to go that stands between a thought and the answer."""
        self.began_in_one = False
        """Whether a thought has ended that never began: all that was let through until then was thought."""

    @property
    def is_open(self) -> bool:
        """Whether the text stands in a thought, as far as is known."""
        return self._state != "text"

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may be shown now.

        Where `began_in_one` becomes true, what was returned before was thought, and only this is not.
        """
        is_plain = self._state == "text" and not self._held and not self._is_at_the_beginning
        if is_plain and _FIRST_CHARACTERS.isdisjoint(text):  # as nearly every piece is
            self._before = text[-1:] or self._before
            return text
        self._held += text
        shown, place = "", 0
        while True:
            if self._state == "thought":
                end = self._held.find(self._closing, place)
                if end < 0:
                    self._held = self._held[max(place, len(self._held) - _beginning(self._held, (self._closing,))) :]
                    return shown
                place = end + len(self._closing)
                self._state, self._strips = "text", self._is_at_the_beginning
                continue
            tag = self._first_tag(place)
            if tag is not None and tag[0] not in _ALL_TAGS:
                self.began_in_one = True
                self._state, place, shown = "text", tag.end(), ""
                self._is_at_the_beginning, self._strips, self._before, self._aside = True, True, "", []
            elif tag is not None and (self._state == "text" or not self._is_said_before(tag.start(), place)):
                shown += self._let_through("".join([*self._aside, self._held[place : tag.start()]]))
                self._state, self._closing, self._aside = "thought", _ALL_TAGS[tag[0]], []
                place = tag.end()
            else:
                ready = len(self._held) - _beginning(self._held, TAGS) if tag is None else tag.start()
                let, self._held = self._held[place : max(place, ready)], self._held[max(place, ready) :]
                if self._state == "text":
                    return shown + self._let_through(let)
                self._aside.append(let)
                return shown

    def finish(self, *, is_cut_off: bool = False) -> str:
        """The end of the text: what was held back and is no thought.

        Where it may have begun in one and no tag has come, it was an answer, unless it is cut off in the middle.
        """
        held, self._held, self._aside = "".join([*self._aside, self._held]), "", []
        if self._state == "thought" or (self._state == "unclear" and is_cut_off):
            return ""
        return self._let_through(held)

    def _first_tag(self, place: int) -> re.Match[str] | None:
        """The first tag from a place on that is meant as one."""
        for found in _TAG.finditer(self._held, place):
            before = self._held[found.start() - 1] if found.start() > place else self._last_before()
            if before == "`":
                continue
            if found[0] in _TAGS_AT_THE_BEGINNING and self._is_said_before(found.start(), place):
                continue
            return found
        return None

    def _last_before(self) -> str:
        """The last character before what is held."""
        return next((each[-1] for each in reversed(self._aside) if each), self._before)

    def _is_said_before(self, end: int, place: int) -> bool:
        """Whether there is more than white space in what is held from a place to an end, or before it."""
        found = _SAID.search(self._held, place, end)
        return found is not None or not self._is_at_the_beginning or any(map(str.strip, self._aside))

    def _let_through(self, text: str) -> str:
        if self._strips:
            text = text.lstrip()
        if text:
            self._strips, self._before = False, text[-1]
            self._is_at_the_beginning = self._is_at_the_beginning and not text.strip()
        return text


def without_thoughts(text: str) -> str:
    """A whole text without what its model thought aloud.

    >>> without_thoughts("<think>Tea, then.</think>Green tea, slowly."), without_thoughts("Hm.</think> Tea.")
    ('Green tea, slowly.', 'Tea.')
    """
    thoughts = Thoughts()
    return thoughts.feed(text) + thoughts.finish()


def closed(prompt: str) -> str:
    """A prompt whose template opens a thought, with that thought closed: then the answer begins at once."""
    opened = _OPENED_AT_THE_END.search(prompt)
    if opened is None:
        return prompt
    return f"{prompt.removesuffix(opened[2])}\n\n{_ALL_TAGS[opened[1]]}\n\n"


def _beginning(text: str, tags: frozenset[str] | tuple[str, ...]) -> int:
    """The length of the longest end of a text that begins one of the tags."""
    longest = min(max(map(len, tags)) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if any(tag.startswith(text[-length:]) for tag in tags)), 0)
