"""How many steps a regular expression takes: a matcher that backtracks as Python's does and counts what it looks at.

Time cannot be asserted, and what `re` does inside cannot be seen. It is pessimistic: `re` skips places where a match
cannot begin.
"""

import re
from collections.abc import Callable, Sequence
from re import _constants as sre
from re import _parser
from typing import Any

Then = Callable[[int], bool]
_KNOWN: dict[tuple[str, int, str], bool] = {}
"""For what matches one character, and its flags: whether this one."""
_ONE = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)


class TooManySteps(Exception):
    """The bound is passed."""


class Counter:
    """Searches a text for one pattern; raises TooManySteps beyond `most` steps."""

    def __init__(self, pattern: re.Pattern[str], text: str, *, most: int) -> None:
        self._parsed = _parser.parse(pattern.pattern, pattern.flags)
        self._flags, self._most = self._parsed.state.flags, most
        self._text = text.lower() if self._flags & re.IGNORECASE else text
        self._groups: dict[int, tuple[int, int]] = {}
        self._names: dict[int, str] = {}
        self.steps = 0

    def look_everywhere(self) -> int:
        """Take the steps of `finditer`, and return how many there were."""
        begin, ends = 0, list[int]()
        while begin <= len(self._text):
            ends.clear()
            found = self._match(list(self._parsed), 0, begin, lambda end: not ends.append(end))
            begin = max(ends[-1], begin + 1) if found else begin + 1
        return self.steps

    def _match(self, ops: Sequence[Any], k: int, place: int, then: Then) -> bool:  # noqa: C901, PLR0911 - a table of all there is
        while k < len(ops) and ops[k][0] in _ONE:
            if not self._is(ops[k], place):
                return False
            k, place = k + 1, place + 1
        if k == len(ops):
            return then(place)
        op, args = ops[k]

        def go_on(end: int) -> bool:
            return self._match(ops, k + 1, end, then)

        if op is sre.AT:
            return self._is_at(args, place) and go_on(place)
        if op is sre.BRANCH:
            return any(self._match(each, 0, place, go_on) for each in args[1])
        if op is sre.SUBPATTERN:
            return self._match(args[-1], 0, place, lambda end: self._grouped(args[0], place, end, go_on))
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(args, place, go_on, is_greedy=op is sre.MAX_REPEAT)
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            direction, inner = args
            begin = place if direction > 0 else place - inner.getwidth()[0]
            holds = begin >= 0 and self._match(inner, 0, begin, lambda end: direction > 0 or end == place)
            return holds == (op is sre.ASSERT) and go_on(place)
        if op is sre.GROUPREF:
            begin, end = self._groups.get(args, (0, 0))
            self._step(end - begin)
            return self._text[begin:end] == self._text[place : place + end - begin] and go_on(place + end - begin)
        if op is sre.FAILURE:
            return False
        raise NotImplementedError(f"{op}: teach it to {__name__}")

    def _repeat(self, args: Any, place: int, then: Then, *, is_greedy: bool) -> bool:
        least, most, inner = args
        if len(inner) == 1 and inner[0][0] in _ONE:
            count = 0
            while count < most and (is_greedy or count < least) and self._is(inner[0], place + count):
                count += 1
            if is_greedy:
                return any(then(place + taken) for taken in range(count, least - 1, -1))
            while count >= least:
                if then(place + count):
                    return True
                if count >= most or not self._is(inner[0], place + count):
                    return False
                count += 1
            return False

        def again(count: int, begin: int) -> bool:
            def more() -> bool:
                return count < most and self._match(
                    inner, 0, begin, lambda end: (end > begin or count < least) and again(count + 1, end)
                )

            if is_greedy:
                return more() or (count >= least and then(begin))
            return (count >= least and then(begin)) or more()

        return again(0, place)

    def _grouped(self, group: int | None, begin: int, end: int, then: Then) -> bool:
        if group is not None:
            self._groups[group] = begin, end
        return then(end)

    def _step(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > self._most:
            raise TooManySteps

    def _is(self, op: Any, place: int) -> bool:
        self._step()
        if place >= len(self._text):
            return False
        character = self._text[place]
        if op[0] is sre.LITERAL and not self._flags & re.IGNORECASE:
            return chr(op[1]) == character
        name = self._names.get(id(op)) or self._names.setdefault(id(op), str(op))
        key = (name, self._flags, character)
        if key not in _KNOWN:
            alone = _parser.SubPattern(self._parsed.state, [op])
            _KNOWN[key] = re._compiler.compile(alone, self._flags).fullmatch(character) is not None
        return _KNOWN[key]

    def _is_at(self, where: Any, place: int) -> bool:
        self._step()
        before, after = self._text[place - 1 : place] if place else "", self._text[place : place + 1]
        if where in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
            is_line = where is sre.AT_BEGINNING and self._flags & re.MULTILINE
            return place == 0 or bool(is_line and before == "\n")
        if where in (sre.AT_END, sre.AT_END_STRING):
            is_line = self._flags & re.MULTILINE and after == "\n"
            return place >= len(self._text) - (after == "\n" and where is sre.AT_END) or bool(is_line)
        is_edge = (before.isalnum() or before == "_") != (after.isalnum() or after == "_")
        return is_edge == (where is sre.AT_BOUNDARY)
