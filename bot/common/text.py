"""Text for Telegram: Markdown as plain text with spans, text from outside made safe, and lengths as Telegram counts."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_block.table import escapedSplit
from markdown_it.rules_inline import StateInline, emphasis, strikethrough
from markdown_it.token import Token

from engine.unicode import stream_safe

TELEGRAM_LIMIT = 4096
"""UTF-16 units that one message can hold."""

SENTENCE_END = re.compile(
    r"[.!?…][\"'”’)\]*_»]*(?=\s|$)|[。！？][）”’」』*_]*|[\U0001F300-\U0001FAFF\u2600-\u27BF]\uFE0F?(?=\s|$)"
)
"""Where a sentence ends, its closing quotes included; an emoji may take the place of a stop."""

_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e)|(?:^|\n)\s*\d{1,2})\.$")
"""A stop that ends no sentence: "Dr.", or the number of a list's item."""


_BREAKS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
"""What other programs take for the end of a line."""
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls
    "\xad\u061c\u115f\u1160\u17b4\u17b5\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"  # no width
    "\ufff0-\ufffb\ufffd\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # of private use
    "\ufdd0-\ufdef" + "".join(chr(0x10000 * plane + end) for plane in range(17) for end in (0xFFFE, 0xFFFF)) + "]"
)
"""What nobody sees, and what has no meaning here: it would hide words, turn our label around, or tell texts apart."""
_DEPENDENT = re.compile(
    "[\u034f\u180b-\u180f\u200b-\u200d\u2800\ufe00-\ufe0f\U0001107f\U00013430-\U00013440\U00016fe4\U000e0000-\U000effff]"
)
"""What is unseen and needed in some places: variation selectors, joiners, tags, and blanks of scripts."""

_PICTURE = re.compile(
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_TONES_AND_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
_REGION = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""The flag of a part of a country, as Scotland's."""
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_VARIES = re.compile(
    "[\u1000-\u109f\u2190-\u22ff\u2a00-\u2aff\u3001\u3002\ua840-\ua877\uaa60-\uaa7f\uff01\uff0c\uff0e\uff1a\uff1b\uff1f]"
)
"""Beside Han characters and pictures: mathematical signs, full-width punctuation, Burmese and Phags-pa."""
_JOINED = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1700-\u18af\u1a20-\u1aaf\u1b00-\u1c4f\ua800-\ua8ff\ua900-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010aff\U00010d00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
"""Letters and marks of scripts in which a joiner, or what keeps letters apart, is a letter: Arabic, Indic and more."""
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
_NUMBERS_OR_KHITAN = re.compile("[\U00011052-\U00011065\U00018b00-\U00018cff]")
"""Brahmi's numbers, of which some are joined, and Khitan's small letters, some of which need a blank before them."""
_WITHOUT_BLANKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1a20-\u1aaf\uaa60-\uaa7f]")
"""Thai, Lao, Burmese and Khmer, in which a blank without width says where a line may break."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters that look a certain way; offset and length in UTF-16 units."""

    kind: str
    offset: int
    length: int
    language: str | None = None
    """Of a program's text."""


def parse_markdown(markdown: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its marks, and what the marks meant.

    No word vanishes: addresses stand behind what links to them, so that nobody is led astray by a hidden one, and in
    angle brackets everything stands as it was written but `<br>`. What is nested too deeply stays Markdown, and so does
    what is far too long for one message.
    """
    if len(markdown) > _LONGEST_MARKDOWN:
        return markdown, ()
    tokens = _MARKDOWN.parse(markdown)
    if any(token.level >= _DEEPEST - 2 for token in tokens):
        return markdown, ()
    shown = _Shown()
    shown.blocks(tokens)
    return shown.text, tuple(sorted(shown.spans, key=lambda span: (span.offset, -span.length)))


_DEEPEST = 40
"""Lists and quotes in one another; the parser drops what is deeper."""
_LONGEST_MARKDOWN = 4 * TELEGRAM_LIMIT
_RULE = "—" * 8
_INLINE = {"strong": "bold", "em": "italic", "s": "strikethrough"}
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_WIDEST = 100
"""Columns of a screen that a column of a table is filled up to; a wider cell stands out."""
_LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{1,20}")


@dataclass(slots=True)
class _Shown:
    """A text that grows token by token; between its blocks stands what was between them in the Markdown."""

    spans: list[Span] = field(default_factory=list)
    _written: list[str] = field(default_factory=list)
    _units: int = 0
    """Of what is written, in UTF-16."""
    _before: str = ""
    """What comes before the next block."""
    _lists: list[bool] = field(default_factory=list)
    """Of each list that is open, the innermost last, whether its items stand close together."""
    _quotes: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(self._written)

    def blocks(self, tokens: Sequence[Token]) -> None:  # noqa: C901, PLR0912 - a table of all there is
        """Add blocks; `tokens` as the parser has them."""
        heading: tuple[int, str] | None = None
        for token in tokens:
            match token.type:
                case "paragraph_open":
                    if self._lists and not token.hidden:
                        self._lists[-1] = False
                    self._begin_block()
                case "heading_open":
                    self._begin_block()
                    heading = self._units, token.tag
                case "inline":
                    self.line(token.children or ())
                case "heading_close" if heading is not None:
                    begin, level = heading
                    for kind in ("bold", "underline") if level in ("h1", "h2") else ("bold",):
                        self._add_span(kind, begin)
                    self._end_block()
                case "paragraph_close":
                    self._end_block()
                case "bullet_list_open" | "ordered_list_open":
                    self._lists.append(True)
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                    self._end_block()
                case "list_item_open":
                    self._begin_block(outdent=1)
                    self._write("• " if token.markup in "*+-" else f"{token.info}{token.markup} ")
                    self._before = ""
                case "list_item_close":
                    self._end_block()
                case "blockquote_open":
                    self._begin_block()
                    self._quotes.append(self._units)
                case "blockquote_close":
                    begin = self._quotes.pop()
                    if not self._quotes:  # Telegram has none in another
                        self._add_span("blockquote", begin)
                    self._end_block()
                case "fence":
                    self._add_program(token.content.removesuffix("\n"), token.info.strip())
                case "table":
                    self._add_program("\n".join(_aligned(token.content.rstrip("\n").split("\n"))), "")
                case "hr":
                    self._begin_block()
                    self._write(_RULE)
                    self._end_block()

    def line(self, tokens: Iterable[Token], newline: str | None = None) -> None:  # noqa: C901 - the same
        """Add what stands in a paragraph or a cell; `newline` in the place of the breaks in it."""
        newline = newline or "\n" + self._indent()
        opened: list[tuple[int, int, Token]] = []
        for token in tokens:
            match token.type.rpartition("_")[2] if token.nesting else token.type:
                case "open":
                    opened.append((self._units, len(self._written), token))
                    if token.tag == "a" and not _address_of(token):
                        self._write("[")
                case "close":
                    begin, first, opening = opened.pop()
                    kind = _INLINE.get(token.tag)
                    if kind is None:
                        address = _address_of(opening)
                        self._write(_behind("".join(self._written[first:]), address) if address else "]()")
                    elif all(other.tag != token.tag for *_, other in opened):
                        self._add_span(kind, begin)
                case "image":
                    self._write(token.content + _behind(token.content, _address_of(token)))
                case "softbreak" | "hardbreak":
                    self._write(newline)
                case "code_inline":
                    begin = self._units
                    self._write(token.content)
                    self._add_span("code", begin)
                case "text_special" if not all(map(_is_kept, token.content)):
                    self._write(token.markup)
                case _:
                    self._write(token.content)

    def _add_program(self, content: str, info: str) -> None:
        is_language = bool(content and _LANGUAGE.fullmatch(info))
        self._begin_block()
        begin = self._units
        self._write(content if is_language else f"{info}\n{content}".strip("\n"))
        self._add_span("pre", begin, info if is_language else None)
        self._end_block()

    def _begin_block(self, *, outdent: int = 0) -> None:
        if self._before and self._units:
            self._write(self._before + self._indent(outdent))
        self._before = ""

    def _end_block(self) -> None:
        self._before = "\n" if self._lists and self._lists[-1] else "\n\n"

    def _indent(self, outdent: int = 0) -> str:
        return "  " * (len(self._lists) - outdent)

    def _write(self, text: str) -> None:
        self._written.append(text)
        self._units += utf16_length(text)

    def _add_span(self, kind: str, begin: int, language: str | None = None) -> None:
        if (length := self._units - begin) > 0:
            self.spans.append(Span(kind, begin, length, language))


def _address_of(token: Token) -> str:
    """The address of a link or picture, with its title."""
    address, title = token.attrs.get("href") or token.attrs.get("src") or "", token.attrs.get("title")
    return "".join(filter(_is_kept, f'{address} "{title}"' if title else str(address)))


def _behind(words: str, address: str) -> str:
    """What stands behind the words of a link, so that its address can be read."""
    if words == address:
        return ""
    return f" ({address})" if words else address


def _aligned(rows: Iterable[str]) -> Iterator[str]:
    """The rows of a table, its columns under one another; no cell is left out, however many a row has."""
    table = [[_plain(cell) for cell in _cells(row)] for number, row in enumerate(rows) if number != 1]
    widths: list[int] = []
    for cells in table:
        widths += [0] * (len(cells) - len(widths))
        for place, cell in enumerate(cells):
            widths[place] = max(widths[place], min(_width(cell), _WIDEST))
    for number, cells in enumerate(table):
        yield " | ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=False)
        ).rstrip()
        if number == 0:
            yield "-+-".join("-" * width for width in widths)


def _cells(row: str) -> list[str]:
    cells = escapedSplit(row.strip())
    return cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]


def _plain(cell: str) -> str:
    """The text of a cell: in a table, which is set as a program's text is, nothing is bold."""
    (inline,) = _MARKDOWN.parseInline(cell.strip())
    shown = _Shown()
    shown.line(inline.children or (), newline=" ")
    return shown.text


def _width(text: str) -> int:
    """In columns of a screen, of which a Chinese character takes two."""
    return sum(1 + (unicodedata.east_asian_width(each) in "WF") - bool(unicodedata.combining(each)) for each in text)


class _Markdown(MarkdownIt):
    """CommonMark with tables and strikethrough; without what makes words vanish or is no Markdown to people.

    Off are HTML, `[name]: …` as the definition of a link, `<…>` as one, and four blanks that begin a program's text.
    """

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "maxNesting": _DEEPEST})
        self.enable(["table", "strikethrough"]).disable(["code", "reference", "html_block", "html_inline", "autolink"])
        self.disable("text_join")  # so that what came of an entity can be told
        self.block.ruler.at("table", _table, {"alt": ["paragraph"]})
        self.inline.ruler.before("entity", "break", _break)
        for name, rule in (("emphasis", emphasis), ("strikethrough", strikethrough)):
            self.inline.ruler.at(name, _as_people_mean_it(rule.tokenize))

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's
        """Whether it looks like an address; `items[0](name)` has none."""
        return bool(super().validateLink(url)) and any(mark in url for mark in ".:/#@?")

    def normalizeLink(self, url: str) -> str:  # noqa: N802 - the library's
        """The address as it was written."""
        return url


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table as one token with its lines: the library's cells lack those that a row has too many."""
    known = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    if not silent:
        del state.tokens[known:]
        state.push("table", "", 0).content = state.getLines(start, state.line, state.blkIndent, False)
    return True


def _break(state: StateInline, silent: bool) -> bool:
    """`<br>` is what people write for a new line, in cells above all."""
    found = _BREAK.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _as_people_mean_it(tokenize: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """CommonMark's rule of marks, but for two things.

    It looks for blanks around words and quotes, which Chinese has not, so that `是**“重点”**内` would keep its stars:
    beside a Chinese character, and where a doubled one stands within a word, a mark may begin as well as end something.
    And stars beside figures multiply.
    """

    def rule(state: StateInline, silent: bool) -> bool:
        begin, known = state.pos, len(state.delimiters)
        if not tokenize(state, silent):
            return False
        before, after = state.src[begin - 1 : begin] if begin else "", state.src[state.pos : state.pos + 1]
        if not before.strip() or not after.strip():
            return True
        marker, is_double = state.src[begin], state.pos - begin > 1
        is_chinese = _is_chinese(before) or _is_chinese(after)
        figures = before.isdigit() + after.isdigit()
        is_product = marker == "*" and before.isalnum() and after.isalnum() and not is_chinese and figures > is_double
        is_either = is_chinese and is_double if marker == "_" else is_chinese or is_double
        for each in state.delimiters[known:]:
            if is_product or is_either:
                each.open = each.close = is_either and not is_product
        return True

    return rule


def _is_chinese(character: str) -> bool:
    """Whether it is of a script that sets no blanks between words, or of its punctuation."""
    return unicodedata.east_asian_width(character) in "WF" and unicodedata.category(character) != "So"


_MARKDOWN = _Markdown()


def sanitize(text: str) -> str:
    """The text without what nobody sees, without lone surrogates and outer blanks; every line ends with a line feed.

    Of marks on one letter, which could be drawn over other lines, no more stay than any script has.
    What is unseen and needed stays where it is: joiners in emoji and in scripts that have them as letters, selectors
    of a look behind what has several, the tags in flags. Unassigned characters stay, for they may be new emoji.
    """
    valid = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    plain = _UNSEEN.sub("", _BREAKS.sub("\n", valid))
    return stream_safe(_with_dependents(plain) if _DEPENDENT.search(plain) else plain).strip()


def _with_dependents(text: str) -> str:
    """The text without dependent characters that stand where they mean nothing."""
    kept, place = [""], 0
    while place < len(text):
        character = text[place]
        if region := _REGION.match(text, place):
            kept.append(region[0])
            place = region.end()
            continue
        place += 1
        if not _DEPENDENT.match(character) or _is_needed(character, kept[-1], text[place : place + 1]):
            kept.append(character)
        elif character == "\u2800":
            kept.append(" ")
    return "".join(kept)


def _is_needed(character: str, before: str, after: str) -> bool:  # noqa: C901, PLR0911 - a table of all there is
    """Whether a dependent character has a meaning between two others."""
    match character:
        case "\ufe0e" | "\ufe0f":
            is_picture = _PICTURE.match(before) is not None and _TONES_AND_FLAGS.match(before) is None
            return is_picture or (before in tuple("#*0123456789") and after == "\u20e3")
        case "\u200d" if before == "\ufe0f" or _PICTURE.match(before) or before.endswith("\U000e007f"):
            return _PICTURE.match(after) is not None
        case "\u200d":
            return _is_joined(before) or (not before.strip() and _is_joined(after))
        case "\u200c":  # Persian has it behind figures, brackets and words of other scripts, too: ۱۹۸۰‌ها, PDF‌ها
            return _is_joined(before) or (_is_shown(before) and _is_joined(after))
        case "\u200b":  # also where a figure or a word of another script stands among them
            is_among_them = _WITHOUT_BLANKS.match(before) or _WITHOUT_BLANKS.match(after)
            return bool(is_among_them and _is_shown(before) and _is_shown(after))
        case "\u034f":
            return unicodedata.combining(before or "a") > 0 and unicodedata.combining(after or "a") > 0
        case "\u2800":
            return any("\u2800" < other <= "\u28ff" for other in (before, after))
        case "\U0001107f" | "\U00016fe4":
            return _NUMBERS_OR_KHITAN.match(before) is not None
        case _ if "\U00013430" <= character <= "\U00013440":
            return any("\U00013000" <= other <= "\U000143ff" and _is_shown(other) for other in (before, after))
        case _ if "\u180b" <= character <= "\u180f":
            return _MONGOLIAN.match(before) is not None
        case _ if "\ufe00" <= character <= "\ufe02":
            return bool(_HAN.match(before) or _VARIES.match(before))
        case _:
            return "\U000e0100" <= character <= "\U000e01ef" and _HAN.match(before) is not None


def _is_joined(character: str) -> bool:
    """Whether it is a letter or a mark of a script that has joiners."""
    is_letter = _JOINED.match(character) is not None and unicodedata.category(character)[0] in "LM"
    return is_letter and not _DEPENDENT.match(character)


def _is_shown(character: str) -> bool:
    """Whether there is one, and something to see of it."""
    return bool(character.strip()) and not _DEPENDENT.match(character)


def _is_kept(character: str) -> bool:
    """Whether it may stand by itself."""
    return character in "\n\t" or not (_UNSEEN.match(character) or _DEPENDENT.match(character))


def sentence_ends(text: str) -> list[int]:
    """The places right after each sentence of a text.

    >>> sentence_ends("Dr. Lee came. She sm")
    [13]
    """
    return [
        found.end()
        for found in SENTENCE_END.finditer(text)
        if not _ABBREVIATION.search(text[max(0, found.end() - 12) : found.end()])
    ]


def utf16_length(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def truncate(text: str, limit: int) -> str:
    """The longest beginning of `text` within `limit` UTF-16 units, with an ellipsis where something was cut."""
    if utf16_length(text) <= limit:
        return text
    units = text.encode("utf-16-le")[: 2 * (limit - 1)]
    return units.decode("utf-16-le", "ignore").rstrip() + "…"


def split(text: str, limit: int, *, last: int, most: int) -> tuple[str, ...]:
    """A text in pieces of at most `limit` UTF-16 units, the last of at most `last`.

    It is broken between paragraphs where they are short enough, else between lines, sentences or words. There are
    `most` pieces at most; what is beyond is cut off.
    """
    pieces: list[str] = []
    while utf16_length(text) > last and len(pieces) < most - 1:
        room = limit if utf16_length(text) > limit else last
        fits = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore")
        piece = beginning(text, len(fits))
        pieces.append(piece.rstrip())
        text = text[len(piece) :].lstrip()
    return (*pieces, truncate(text, last))


def beginning(text: str, most: int) -> str:
    """The longest beginning within so many characters that ends with a paragraph, or else a sentence, or else a word.

    Of what fits, half at least is kept: a break that comes sooner is passed over for a lesser one.
    """
    if len(text) <= most:
        return text
    fits = text[: most + 1]  # the blank behind a sentence need not fit
    for mark in ("\n\n", "\n", "。", ". ", "！", "? ", " "):
        end = fits.rfind(mark)
        whole = fits[: end + len(mark)].rstrip()
        if end >= most // 2 and len(whole) <= most:
            return whole
    return text[:most]
