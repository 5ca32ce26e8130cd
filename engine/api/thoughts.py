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
_OPENING = re.compile("|".join(map(re.escape, _ALL_TAGS)))
_CLOSING = re.compile("|".join(map(re.escape, _TAGS.values())))
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
        shown = ""
        while True:
            if self._state == "thought":
                _, closing, rest = self._held.partition(self._closing)
                if not closing:
                    self._held = self._held[len(self._held) - _beginning(self._held, (self._closing,)) :]
                    return shown
                self._state, self._held, self._strips = "text", rest, self._is_at_the_beginning
                continue
            opening, end = self._first(_OPENING), self._first(_CLOSING)
            if end is not None and (opening is None or end.start() < opening.start()):
                self.began_in_one = True
                self._state, self._held, shown = "text", self._held[end.end() :], ""
                self._is_at_the_beginning, self._strips, self._before = True, True, ""
            elif opening is not None and (self._state == "text" or not self._held[: opening.start()].strip()):
                shown += self._let_through(self._held[: opening.start()])
                self._state, self._closing = "thought", _ALL_TAGS[opening[0]]
                self._held = self._held[opening.end() :]
            elif self._state == "unclear":
                return shown
            else:
                ready = len(self._held) - _beginning(self._held, TAGS)
                let, self._held = self._held[:ready], self._held[ready:]
                return shown + self._let_through(let)

    def finish(self, *, is_cut_off: bool = False) -> str:
        """The end of the text: what was held back and is no thought.

        Where it may have begun in one and no tag has come, it was an answer, unless it is cut off in the middle.
        """
        held, self._held = self._held, ""
        if self._state == "thought" or (self._state == "unclear" and is_cut_off):
            return ""
        return self._let_through(held)

    def _first(self, tags: re.Pattern[str]) -> re.Match[str] | None:
        """The first tag that is meant as one."""
        for found in tags.finditer(self._held):
            before = self._held[: found.start()]
            if (before[-1:] or self._before) == "`":
                continue
            if found[0] in _TAGS_AT_THE_BEGINNING and (before.strip() or not self._is_at_the_beginning):
                continue
            return found
        return None

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
