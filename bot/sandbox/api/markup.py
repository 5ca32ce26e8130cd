"""Telegram's parse modes: HTML and MarkdownV2 to plain text and entities.

Refuses what Telegram refuses, in its words. Offsets in refusals are UTF-8 bytes, offsets in entities UTF-16 units.
MarkdownV2 is read without custom emoji and with one-line quotations only. Knows nothing of messages.
"""

import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qs, urlparse

from bot.sandbox.world.errors import ApiError, bad_request
from bot.sandbox.world.records import Entity
from bot.sandbox.world.text import Formatted, in_order, utf16_length

_HTML_KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9-]*)(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE = re.compile(r"([a-zA-Z-]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+)))?")
_CHARACTER_REFERENCE = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")

_RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
_MARKS = (
    ("```", "pre"),
    ("`", "code"),
    ("||", "spoiler"),
    ("__", "underline"),
    ("*", "bold"),
    ("_", "italic"),
    ("~", "strikethrough"),
)


@dataclass(slots=True)
class _Open:
    """A tag or mark that waits for its end."""

    name: str
    kind: str
    offset: int
    source_byte: int
    value: str | None = None


def parse(text: str, parse_mode: str | None) -> Formatted:
    """Text and entities of `text` in the given parse mode (case does not matter; None or empty is plain text).

    Raises:
        ApiError: 400 "can't parse entities: …", or an unknown parse mode.
    """
    match (parse_mode or "").lower():
        case "":
            return Formatted(text)
        case "html":
            return _parse_html(text)
        case "markdownv2":
            return _parse_markdown(text)
        case "markdown":
            return Formatted(text)
        case _:
            raise bad_request("unsupported parse_mode")


def _unparsable(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")


def _byte(text: str, index: int) -> int:
    return len(text[:index].encode())


def _parse_html(text: str) -> Formatted:
    out: list[str] = []
    length = 0
    stack: list[_Open] = []
    entities: list[Entity] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == "&" and (reference := _CHARACTER_REFERENCE.match(text, at)):
            piece, at = unescape(reference.group()), reference.end()
        elif character == "<":
            tag = _TAG.match(text, at)
            if tag is None:
                raise _no_tag(text, at)
            if tag["close"]:
                entities += _close_tag(text, tag, stack, length)
            else:
                stack.append(_open_tag(text, tag, length))
            piece, at = "", tag.end()
        else:
            piece, at = character, at + 1
        out.append(piece)
        length += utf16_length(piece)
    if stack:
        raise _unparsable(f'Can\'t find end tag corresponding to start tag "{stack[-1].name}"')
    return Formatted("".join(out), in_order(entities))


def _no_tag(text: str, at: int) -> ApiError:
    """What Telegram says of a "<" that begins no tag it can read."""
    name = re.compile(r"[^\s>]*").match(text, at + 1)
    if name is None or name.end() == len(text) or _HTML_KINDS.get(name.group().lower()):
        return _unparsable(f"Unclosed start tag at byte offset {_byte(text, at)}")
    return _unparsable(f'Unsupported start tag "{name.group().lower()}" at byte offset {_byte(text, at)}')


def _open_tag(text: str, tag: re.Match[str], offset: int) -> _Open:
    name = tag["name"].lower()
    place = _byte(text, tag.start())
    if name not in _HTML_KINDS:
        raise _unparsable(f'Unsupported start tag "{name}" at byte offset {place}')
    values = {m[1].lower(): unescape(m[2] or m[3] or m[4] or "") for m in _ATTRIBUTE.finditer(tag["attributes"])}
    if name == "span" and values.get("class") != "tg-spoiler":
        raise _unparsable(f'Tag "span" must have class "tg-spoiler" at byte offset {place}')
    kind = _HTML_KINDS[name]
    if name == "blockquote" and "expandable" in values:
        kind = "expandable_blockquote"
    value = {"a": values.get("href"), "code": values.get("class"), "tg-emoji": values.get("emoji-id")}.get(name)
    return _Open(name, kind, offset, place, value)


def _close_tag(text: str, tag: re.Match[str], stack: list[_Open], end: int) -> list[Entity]:
    name = tag["name"].lower()
    place = _byte(text, tag.start())
    if not stack:
        raise _unparsable(f"Unexpected end tag at byte offset {place}")
    start = stack.pop()
    if start.name != name:
        raise _unparsable(f'Unmatched end tag at byte offset {place}, expected "</{start.name}>", found "</{name}>"')
    if end == start.offset:
        return []
    if start.kind == "code" and stack and stack[-1].kind == "pre":
        stack[-1].value = (start.value or "").removeprefix("language-") or None
        return []
    return _entity(start, end)


def _entity(start: _Open, end: int) -> list[Entity]:
    length = end - start.offset
    match start.kind:
        case "text_link":
            return _link(start, length)
        case "pre":
            return [Entity("pre", start.offset, length, language=start.value)]
        case "custom_emoji":
            return [Entity("custom_emoji", start.offset, length, custom_emoji_id=start.value)]
    return [Entity(start.kind, start.offset, length)]


def _link(start: _Open, length: int) -> list[Entity]:
    address = urlparse(start.value or "")
    if address.scheme == "tg" and address.netloc == "user":
        user_id = parse_qs(address.query).get("id", [""])[0]
        return [Entity("text_mention", start.offset, length, user_id=int(user_id))] if user_id.isdigit() else []
    if address.scheme in ("http", "https", "tg") and address.netloc:
        return [Entity("text_link", start.offset, length, url=start.value)]
    return []


def _parse_markdown(text: str) -> Formatted:
    reader = _MarkdownReader(text)
    while reader.at < len(text):
        reader.step()
    return reader.finish()


class _MarkdownReader:
    """Reads MarkdownV2 from left to right; `at` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._out: list[str] = []
        self._length = 0
        self._stack: list[_Open] = []
        self._entities: list[Entity] = []

    def step(self) -> None:
        """Consume one character, escape or mark."""
        character = self.text[self.at]
        following = self.text[self.at + 1 : self.at + 2]
        if character == "\\" and following and ord(following) <= 126:
            self._take(following, 2)
        elif self._inside_code() and not self._code_ends():
            self._take(character, 1)
        elif character == "]" and self._top() == "text_link":
            self._end_link()
        elif mark := self._mark():
            self._toggle(*mark)
        elif character == "[":
            self._open("[", "text_link", 1)
        elif character == ">" and (self.at == 0 or self.text[self.at - 1] == "\n"):
            self._open(">", "blockquote", 1)
        elif character == "\n" and self._top() == "blockquote":
            self._close_top()
            self._take(character, 1)
        elif character in _RESERVED:
            raise _unparsable(f"Character '{character}' is reserved and must be escaped with the preceding '\\'")
        else:
            self._take(character, 1)

    def finish(self) -> Formatted:
        """The result; an open mark is refused."""
        if self._top() == "blockquote":
            self._close_top()
        if self._stack:
            start = self._stack[-1]
            name = start.kind.replace("_", "").capitalize()
            raise _unparsable(f"Can't find end of {name} entity at byte offset {start.source_byte}")
        return Formatted("".join(self._out), in_order(self._entities))

    def _top(self) -> str | None:
        return self._stack[-1].kind if self._stack else None

    def _inside_code(self) -> bool:
        return self._top() in ("code", "pre")

    def _code_ends(self) -> bool:
        return self.text.startswith(self._stack[-1].name, self.at)

    def _mark(self) -> tuple[str, str] | None:
        if self._inside_code():
            return (self._stack[-1].name, self._stack[-1].kind)
        return next(((mark, kind) for mark, kind in _MARKS if self.text.startswith(mark, self.at)), None)

    def _take(self, piece: str, consumed: int) -> None:
        self._out.append(piece)
        self._length += utf16_length(piece)
        self.at += consumed

    def _open(self, mark: str, kind: str, consumed: int, value: str | None = None) -> None:
        self._stack.append(_Open(mark, kind, self._length, _byte(self.text, self.at), value))
        self.at += consumed

    def _close_top(self) -> None:
        start = self._stack.pop()
        if self._length > start.offset:
            self._entities += _entity(start, self._length)

    def _toggle(self, mark: str, kind: str) -> None:
        if self._top() == kind:
            self._close_top()
            self.at += len(mark)
        elif kind == "pre":
            language = re.compile(r"([A-Za-z0-9_+#-]*)\n|").match(self.text, self.at + 3)
            header = language.group() if language else ""
            self._open(mark, kind, 3 + len(header), header.strip() or None)
        else:
            self._open(mark, kind, len(mark))

    def _end_link(self) -> None:
        address = re.compile(r"\]\(((?:\\.|[^)\\])*)\)").match(self.text, self.at)
        self._stack[-1].value = re.sub(r"\\(.)", r"\1", address[1]) if address else None
        self._close_top()
        self.at = address.end() if address else self.at + 1
