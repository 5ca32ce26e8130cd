"""Lines of a text that read like the label and footer which only we may set, and the text without them.

A model writes what it is asked for, so anybody can have "AI-generated / AI 生成 · v9 · #7", or worse, "Human-written ·
v9 · #7", stand above the real footer. A line is read here as people read it: look-alike letters, entities, markup,
blanks and signs between letters, and line breaks within a label change nothing.
"""

import html
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from bot.common.settings import DEFAULT_LABEL
from bot.common.text import SENTENCE_END, sentence_ends
from engine.safety.filter import fold

_OTHER_LETTERS = str.maketrans(
    {
        **{chr(first + place): chr(97 + place) for first in (0x1F150, 0x1F170, 0x1F1E6) for place in range(26)},
        **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢǝɐ", "abcdefghijklmnopqrstuvwyzea", strict=True)),
        "♯": "#",
    }
)
"""Letters in black circles and squares, those that flags are made of, small capitals, and two on their heads."""
_ONE_OF_THE_LIKES = str.maketrans("l013456789@$€", "ioieasgtbgase")

_PIECE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});|\]\([^()\s]*\)|.", re.DOTALL)
"""What is shown as one character: an entity is, and the address behind the words of a link does not belong to them."""
_LINE_BREAK = re.compile(r"\n|<br\s{0,9}/?>", re.IGNORECASE)


def _words(pattern: str) -> str:
    """A pattern for letters alone, as they are compared: an l is an i."""
    return re.sub(r"\s+", "", pattern).replace("l", "i")


_TEXT = "(?:(?:text|content|message|post|answer|reply|response|article|story|poem|work|output|material)s?)"
_AI = "(?:an?)?(?:ai|artificialintelligence|llm|(?:large)?languagemodel|chatbot|chatgpt|neuralnetwork)"
_MACHINE = f"(?:{_AI}|(?:an?)?(?:machine|computer|robot|bot))"
_NOT = "(?:not|non|no|never|ioo|fully|entirely|partly|partially|purely|automatically|machine){0,3}"
_WRITTEN = "(?:generated|written|created|produced|composed|authored|drafted|synthesi[sz]ed)"
_MADE = f"(?:{_WRITTEN}|made|assisted)"
_HUMAN = "(?:(?:an?|real|actual|true){0,3}(?:human(?:being)?s?|persons?|people))"
_TEXT_ZH = "(?:文本|文字|文章|内容|信息|消息|回答|回复|作品|段文字|文|贴|帖)"
_AI_ZH = "(?:ai|人工智能|人工智慧|机器人?|大?语言模型|大模型|算法|chatgpt)"
_WRITTEN_ZH = (
    "(?:自动|辅助|模型|合成){0,2}(?:生成合成|生成|撰写|创作|写成|写作|编写|写就|制作|产生|合成|所写|写的?)(?:的)?"
)
_HUMAN_ZH = "(?:真人|人类|人工|纯人工|纯手工|作者本人|真实人类)"
_HEED_ZH = "(?:仅供参考|请(?:仔细|注意|谨慎)?(?:甄别|核实|辨别|使用))?"

_NAMES = _words(
    f"""
    {_NOT} (?:{_AI}{_MADE} | {_MACHINE}{_WRITTEN}) (?:by|with)? {_TEXT}? | {_NOT} {_AI} {_TEXT}
    | {_NOT} {_WRITTEN} automatically | {_NOT} (?:{_MADE}(?:automatically)?(?:by|with|using|withthehelpof){_MACHINE})
    | {_NOT} {_HUMAN}{_WRITTEN} {_TEXT}? | {_NOT}{_WRITTEN}by{_HUMAN}(?:and)?(?:{_NOT}(?:by)?{_AI})?
    | non?{_AI}(?:used|wasused|involved)? | not(?:by)?{_AI}
    | (?:非|不是|并非|无|由)?{_AI_ZH}{_WRITTEN_ZH}{_TEXT_ZH}?{_HEED_ZH} | 非{_AI_ZH}
    | 由?{_HUMAN_ZH}(?:原创|{_WRITTEN_ZH}){_TEXT_ZH}?
    """
)
"""What a label says, in the languages of ours: that a machine has written it, or that none has."""
_SENTENCES = _words(
    f"""
    (?:this|the|above|following|all){{0,3}}{_TEXT}(?:above|below)?(?:was|is|were|are|hasbeen|havebeen)(?:{_NAMES})
    | (?:本|此|该|以上|以下|这段|这篇|全部){{0,3}}{_TEXT_ZH}?(?:均|皆|全部|完全){{0,2}}
    (?:并)?(?:非|不是|不)?(?:由|系|是|为|经|用)?(?:{_NAMES})
    """
)
"""The same as a sentence, which may also be all that somebody has asked for."""

_STRONG = "·•‧∙⋅・᛫●◦|∣¦╎"
"""What may stand between the parts of a footer and stands between the words of few texts."""
_SIGNS = rf"(?:[^\w#\0{_STRONG}]|_){{0,24}}"
_VERSION = r"(?:v\s?\d{1,9}|starter|vae|gan|base|[a-z][a-z._-]{0,40}\d[a-z0-9._-]{0,40})"
_ONE_WORD = r"[\w.-]{1,64}"
_FOOTER_WITHIN = re.compile(
    rf"(?:\0{_SIGNS}){{1,6}}(?:[{_STRONG}]{_SIGNS}(?:{_ONE_WORD}{_SIGNS}[{_STRONG}]?{_SIGNS})?"
    rf"|{_VERSION}{_SIGNS}[{_STRONG}]?{_SIGNS})#\s?\d{{1,12}}(?!\w)"
)
"""A label, a version and a number in the middle of a line."""
_FOOTER_AT_END = re.compile(rf"(?:\0{_SIGNS}(?:[{_STRONG}]{_SIGNS})?){{1,6}}(?:{_ONE_WORD}{_SIGNS})?$")
"""A label at the end of a line, perhaps with a version."""
_DETAILS_BEGUN = re.compile(rf"[{_STRONG}]{_SIGNS}{_VERSION}{_SIGNS}[{_STRONG}]{_SIGNS}(?:#\s?\d{{0,12}})?{_SIGNS}$")
_PARTS = re.compile(f"[{_STRONG}]")
_BETWEEN = re.compile(r"[^\w#\0.-]+|_+")
_IS_VERSION = re.compile(_VERSION)
_IS_NUMBER = re.compile(r"第?#?\d{1,12}[号篇段]?")
_NAMES_OF_DETAILS = frozenset(
    "version ver model text number no nr id seed by note label disclaimer 模型 版本 编号 种子 第 号 声明 标识".split()
)
_MOST_TOKENS = 10
_LONGEST_LINE = 300
"""A longer line is no footer, whatever stands in it as a part."""
_LONGEST_LABEL = 160
_FEWEST_LETTERS = 4
"""Of a part of the configured label that is a label by itself."""
_LONGEST_OTHER_LABEL = 60
_HELD_BACK = 30
"""Of a growing line, what may yet become a footer behind a label."""
_MOST_LINES = 24
"""Over which a label may be spread, a letter a line."""
_LONG_LABEL = 10
"""Letters of a configured label that is none of the words of a text by chance."""
_LABEL = "\0"
"""In the place of a label in what is read."""
_RULE = re.compile(r"(?:[-=*_~—]\s*){3,}")
_EMPTY_FENCE = re.compile(r"^(```|~~~)[^\n]{0,40}\n\s*\1[ \t]*$", re.MULTILINE)


def without_labels(text: str, label: str = DEFAULT_LABEL, *, is_growing: bool = False) -> str:
    """A text without the lines, and the ends of lines, that read like a label or footer; `label` is the configured one.

    Of one that is growing, what may become such a line is held back.

    Ordinary texts stay as they are: "AI-generated pictures", "version 3 is out" and "#12" are no labels; a sentence
    that says who wrote a text goes only where others stand beside it. None of the 2,604 answers that SmolLM2 was
    taught is changed, none of the 50 in `good_texts.json`, and none of the 71 about AI and versions in the tests.
    """
    labels = _labels(label)
    lines = _lines(text)
    if not lines or not labels.may_stand_in(lines):
        return text
    kept = labels.kept(lines)
    if is_growing and kept[-1]:
        kept[-1] = labels.settled(lines[-1])
    if all(line.text == words for line, words in zip(lines, kept, strict=True)):
        return text
    return _joined(lines, kept)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, and how it is read."""

    text: str
    end: str
    """What breaks it."""
    read: str
    """As it is shown, with the letters folded."""
    places: tuple[int, ...]
    """Of each character that is read, where it stands in the line, and where the line ends."""
    bare: str
    """Its letters, figures and # alone, of those that look alike the first."""
    bare_places: tuple[int, ...]
    """Of each of these, where it stands in what is read."""

    @property
    def tokens(self) -> list[str]:
        """What stands between its signs and blanks."""
        return _tokens(self.read)


def _lines(text: str) -> list[_Line]:
    found, begin = [], 0
    for match in (*_LINE_BREAK.finditer(text), None):
        end = len(text) if match is None else match.start()
        found.append(_line(text[begin:end], "" if match is None else match[0]))
        begin = end if match is None else match.end()
    return found


def _line(text: str, end: str) -> _Line:
    read, places = [], []
    for match in _PIECE.finditer(text):
        shown = _shown(match[0])
        read.append(shown)
        places.extend([match.start()] * len(shown))
    joined = re.sub(r"(?<=[a@4])[|!¡](?=\W)", "i", "".join(read))
    bare, bare_places = [], []
    for place, character in enumerate(joined.translate(_ONE_OF_THE_LIKES)):
        if character == "#" or character.isalnum():
            bare.append(character)
            bare_places.append(place)
    return _Line(text, end, joined, (*places, len(text)), "".join(bare), tuple(bare_places))


@lru_cache(16_384)
def _shown(piece: str) -> str:
    if piece.startswith("]("):
        return ""
    return fold(html.unescape(piece).translate(_OTHER_LETTERS)).translate(_OTHER_LETTERS)


def _tokens(read: str) -> list[str]:
    return [
        token for piece in _BETWEEN.split(read) for token in re.split(r"(\0)", piece.strip(".-")) if token.strip(".-")
    ]


class _Labels:
    """Finds labels; `label` is the configured one, whatever it says."""

    def __init__(self, label: str) -> None:
        self._own = _line(label, "").bare
        parts = {_line(part, "").bare for part in re.split(rf"\s/\s|[{_STRONG}]", label)}
        own = [each for each in {self._own, *(part for part in parts if len(part) >= _FEWEST_LETTERS)} if each]
        self._name = re.compile("|".join((*map(re.escape, sorted(own, key=len, reverse=True)), _NAMES)))
        self.names = re.compile(f"#{{0,6}}(?:(?:{self._name.pattern})#{{0,6}}){{1,4}}")
        self.sentence = re.compile(f"#{{0,6}}(?:{_SENTENCES})#{{0,6}}")
        self._literal = "" if own else label.strip()
        self._signs = "" if own else _signs(label)
        self._longest = max(_LONGEST_LABEL, 2 * len(self._own))

    def may_stand_in(self, lines: list[_Line]) -> bool:
        """Whether it is worth looking closely."""
        bare = "".join(line.bare for line in lines)
        return (
            any(map(self._is_signs, lines))
            or re.search(r"#\w", bare) is not None
            or self._name.search(bare) is not None
        )

    def kept(self, lines: list[_Line]) -> list[str]:
        """What is left of each line."""
        kept = [line.text for line in lines]
        names, sentences = self._spread(lines)
        for number, line in enumerate(lines):
            if number in names or self._is_signs(line) or self._is_footer(line):
                names.add(number)
                kept[number] = ""
            elif line.bare and number not in sentences:
                kept[number] = self._without_end(line)
        for number in (*range(len(lines)), *reversed(range(len(lines)))):
            beside = (number - 1 in names) or (number + 1 in names)
            if beside and kept[number] and _are_details(lines[number].tokens):
                names.add(number)
                kept[number] = ""
        others = [words for number, words in enumerate(kept) if words.strip() and number not in sentences]
        if names or others:
            for number in sentences:
                kept[number] = ""
        return kept

    def settled(self, line: _Line) -> str:
        """As much of a line that is still growing as is no part of a label."""
        if (words := self._without_end(line)) != line.text:
            return words
        marked, places = self._marked(line)
        last = marked.rfind(_LABEL)
        before = marked[: max(last, 0)].rstrip(_LABEL + " ")
        begins = not _tokens(before) or before.endswith(tuple(_STRONG)) or SENTENCE_END.search(before[-2:]) is not None
        if last >= 0 and begins and len(marked) - last <= _HELD_BACK:
            return line.text[: places[len(before)]].rstrip()
        if _DETAILS_BEGUN.search(marked) and len(marked) < _LONGEST_LINE:
            return line.text[: places[max(sentence_ends(marked), default=0)]].rstrip()
        return line.text

    def _is_signs(self, line: _Line) -> bool:
        """Whether it is a label without letters, as an emoji is, perhaps with a version and a number."""
        if not self._signs or len(line.text) > _LONGEST_LINE:
            return False
        rest = [token for token in line.tokens if not _is_detail(token)]
        return not rest and _signs(line.text).startswith(self._signs)

    def _spread(self, lines: list[_Line]) -> tuple[set[int], set[int]]:
        """The lines that are nothing but labels, alone or together; and those that are a sentence saying the same."""
        names, sentences = set[int](), set[int]()
        written = [number for number, line in enumerate(lines) if line.bare]
        bare = "".join(lines[number].bare for number in written)
        place = 0
        for first, number in enumerate(written):
            end = place + len(lines[number].bare)
            if end - place <= self._longest and self.sentence.fullmatch(bare, place, end):
                sentences.add(number)
            begins = self.names.match(bare, place, place + self._longest)
            for last in written[first : first + _MOST_LINES] if begins else ():
                end = end if last == number else end + len(lines[last].bare)
                if end - place > self._longest:
                    break
                if self.names.fullmatch(bare, place, end):
                    names.update(range(number, last + 1))
            place += len(lines[number].bare)
        return names, sentences - names

    def _is_footer(self, line: _Line) -> bool:
        if len(line.read) > _LONGEST_LINE or not line.bare:
            return False
        marked, _ = self._marked(line)
        parts = [part for part in _PARTS.split(marked) if _tokens(part)]
        if _LABEL not in marked:
            return not any(SENTENCE_END.search(part) for part in parts[:-2]) and _is_other_footer(parts)
        tokens = _tokens(marked)
        strange = [token for token in tokens if token != _LABEL and not _is_detail(token)]
        if len(tokens) > _MOST_TOKENS:
            return False
        if not strange:
            return len(parts) > 1 or "#" in marked or not any(map(str.isdigit, tokens))
        return len(strange) == 1 and any(_tokens(part) == strange for part in parts[1:])

    def _without_end(self, line: _Line) -> str:
        marked, places = self._marked(line)
        if _LABEL not in marked:
            words = _without_other_footer(line.text, marked, places)
            return words if words == line.text else words.removesuffix(self._literal).rstrip()
        found = _FOOTER_WITHIN.search(marked) or _FOOTER_AT_END.search(marked)
        if found is None:
            return line.text
        begin, end = places[found.start()], places[found.end()]
        if found.re is _FOOTER_AT_END and not self._is_label_of_ours(line.text[begin:], found[0]):
            return line.text
        before, after = line.text[:begin], line.text[end:].lstrip()
        if before.rstrip().endswith(tuple("([{（【「")):
            before, after = before.rstrip().rstrip("([{（【「"), after.lstrip(")]}）】」")
        before = before.rstrip(f" \t-–—,:;/{_STRONG}")
        return f"{before} {after}".strip() if any(map(str.isalnum, after)) else (before + after).strip()

    def _is_label_of_ours(self, words: str, marked: str) -> bool:
        """Whether it is the configured label, or has two languages or a version as ours has; else it may be prose."""
        bare = _line(words, "").bare
        has_both = any(map(_is_han, bare)) and any(map(str.isascii, bare))
        has_version = any(_IS_VERSION.fullmatch(token) for token in _tokens(marked)) and any(map(marked.count, _STRONG))
        return has_both or has_version or (len(self._own) >= _LONG_LABEL and bare.startswith(self._own))

    def _marked(self, line: _Line) -> tuple[str, list[int]]:
        r"""What is read in a line with \0 in the place of each label, and where each character of it stands."""
        read, at, bare = line.read, line.bare_places, line.bare
        starts = [n for n, place in enumerate(at) if _is_edge(read[place - 1 : place], read[place])]
        ends = [n + 1 for n, place in enumerate(at) if _is_edge(read[place], read[place + 1 : place + 2])]
        marked, places, done = [], [], 0
        for begin in starts:
            if at[begin] < done or self._name.match(bare, begin, begin + self._longest) is None:
                continue
            first = bisect_right(ends, begin)
            within = ends[first : bisect_right(ends, begin + self._longest)]
            end = next((end for end in reversed(within) if self._name.fullmatch(bare, begin, end)), None)
            if end is not None:
                marked += [read[done : at[begin]], _LABEL]
                places += [*line.places[done : at[begin]], line.places[at[begin]]]
                done = at[end - 1] + 1
        return "".join([*marked, read[done:]]), [*places, *line.places[done:]]


@lru_cache(8)
def _labels(label: str) -> _Labels:
    return _Labels(label)


def _signs(text: str) -> str:
    """What there is in a line beside letters and markup."""
    return re.sub(r"[\w\s*~`>|#\ufe0f-]+", "", text)


def _is_edge(before: str, after: str) -> bool:
    """Whether a word may begin or end between two characters: between two scripts one may."""
    return not before.isalnum() or not after.isalnum() or _is_han(before) != _is_han(after)


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"


def _is_detail(token: str) -> bool:
    is_known = token in _NAMES_OF_DETAILS or _IS_NUMBER.fullmatch(token) is not None
    return is_known or _IS_VERSION.fullmatch(token) is not None


def _are_details(tokens: list[str]) -> bool:
    return 0 < len(tokens) <= 4 and all(map(_is_detail, tokens))


def _is_other_footer(parts: list[str]) -> bool:
    """Whether a line ends like a footer of ours, whatever its label says."""
    if not 2 <= len(parts) <= 4:
        return False
    *label, version, number = (" ".join(_tokens(part)) for part in parts)
    is_number = (
        re.fullmatch(r"(?:text |seed |no |id |编号 |第 ?)?#? ?\d{1,12}(?: ?[号篇段])?", number) and "#" in number
    )
    has_version = re.fullmatch(rf"(?:version |ver |model |模型 |版本 ?)?{_VERSION}", version)
    return bool(is_number and has_version) and len("".join(label)) <= _LONGEST_OTHER_LABEL


def _without_other_footer(text: str, read: str, places: Sequence[int]) -> str:
    """A line without its end, from its last sentence on, where that ends like a footer of ours."""
    begin = max((end for end in sentence_ends(read[-_LONGEST_LINE:])), default=0)
    begin += max(0, len(read) - _LONGEST_LINE)
    parts = [part for part in _PARTS.split(read[begin:]) if _tokens(part)]
    return text[: places[begin]].rstrip() if begin and _is_other_footer(parts) else text


def _joined(lines: list[_Line], kept: list[str]) -> str:
    """The lines that are left, without the blank ones that would follow one another now."""
    told: list[str] = []
    is_cut = False
    for line, words in zip(lines, kept, strict=True):
        if line.text.strip() and not words.strip():
            is_cut = True
            if told and _RULE.fullmatch(told[-1].strip()):  # it would make a heading of what stands above it
                told.pop()
            continue
        if is_cut and not words.strip() and (not told or not told[-1].strip()):
            continue
        told.append(words + line.end)
        is_cut = is_cut and not words.strip()
    if is_cut:
        while told and (not told[-1].strip() or _RULE.fullmatch(told[-1].strip())):
            told.pop()
    text, fences = _EMPTY_FENCE.subn("", "".join(told))
    return (re.sub(r"\n{3,}", "\n\n", text) if fences else text).strip()
