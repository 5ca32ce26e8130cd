"""The 73 emoji that Telegram accepts as a reaction, in the order of its picker. Knows nothing else.

Source: ReactionTypeEmoji in the Bot API. Emoji are compared without the variation selector U+FE0F, because
clients and libraries disagree about it.

Text as Telegram measures it: UTF-16 units, trimmed ends, entities found by themselves.

Knows nothing of parse modes (see `markup`) and nothing of messages.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Entity

VARIATION_SELECTOR = "\ufe0f"

_PICKER = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮
💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥 🌚 🌭 💯 🤣 ⚡
🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻
👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿
🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷\u200d♂ 🤷 🤷\u200d♀ 😡
"""

REACTIONS: tuple[str, ...] = tuple(_PICKER.split())
"""As the Bot API writes them, without variation selectors."""

_KNOWN = frozenset(REACTIONS)


def plain(emoji: str) -> str:
    """The emoji as the Bot API writes it: without variation selectors."""
    return emoji.replace(VARIATION_SELECTOR, "")


def is_reaction(emoji: str) -> bool:
    """Whether Telegram accepts the emoji as a reaction."""
    return plain(emoji) in _KNOWN


MAX_TEXT = 4096
"""The longest message text, in UTF-16 units after entity parsing."""
MAX_CAPTION = 1024
"""The longest caption, in UTF-16 units after entity parsing."""

_FOUND_BY_ITSELF = re.compile(
    r"(?P<url>https?://[^\s<>\"“”「」]+[^\s<>\"“”「」.,;:!?)'])"
    r"|(?P<bot_command>(?<![\w/<>.])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/]))"
    r"|(?P<mention>(?<![\w@])@[A-Za-z][A-Za-z0-9_]{2,31}\b)"
    r"|(?P<hashtag>(?<!\w)#\w*[^\W\d]\w*)"
)
_OPAQUE = frozenset({"code", "pre", "text_link", "text_mention"})


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text and its entities, sorted by offset."""

    text: str
    entities: tuple[Entity, ...] = ()


def utf16_length(text: str) -> int:
    """The length in UTF-16 units: characters outside the basic plane count twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def slice_utf16(text: str, offset: int, length: int) -> str:
    """The stretch of `text` that starts at `offset` and is `length` long, both in UTF-16 units."""
    units = text.encode("utf-16-le")
    return units[2 * offset : 2 * (offset + length)].decode("utf-16-le", errors="replace")


def trimmed(formatted: Formatted) -> Formatted:
    """The text without white space at its ends, entities moved and cut to fit."""
    text = formatted.text.rstrip()
    lead = len(text) - len(text.lstrip())
    text = text[lead:]
    limit = utf16_length(text)
    entities = []
    for entity in formatted.entities:
        start = max(entity.offset - lead, 0)
        end = min(entity.offset + entity.length - lead, limit)
        if end > start:
            entities.append(replace(entity, offset=start, length=end - start))
    return Formatted(text, tuple(entities))


def with_found_entities(formatted: Formatted) -> Formatted:
    """Add the commands, mentions, links and hashtags that Telegram finds by itself outside code and links."""
    opaque = [(entity.offset, entity.offset + entity.length) for entity in formatted.entities if entity.kind in _OPAQUE]
    found = []
    for match in _FOUND_BY_ITSELF.finditer(formatted.text):
        offset = utf16_length(formatted.text[: match.start()])
        length = utf16_length(match.group())
        inside = any(start < offset + length and offset < end for start, end in opaque)
        if not inside and match.lastgroup is not None:
            found.append(Entity(match.lastgroup, offset, length))
    return Formatted(formatted.text, in_order((*formatted.entities, *found)))


def in_order(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Entities by offset, longer ones first, each once."""
    return tuple(sorted(dict.fromkeys(entities), key=lambda entity: (entity.offset, -entity.length)))


def commands_in(formatted: Formatted) -> list[str]:
    """The commands of a text, with their slash and, where given, the name of the bot."""
    return [
        slice_utf16(formatted.text, entity.offset, entity.length)
        for entity in formatted.entities
        if entity.kind == "bot_command"
    ]


def typed(text: str) -> Formatted:
    """The text as a person's message shows it.

    Raises:
        WorldError: nothing is left of it, or it is too long.
    """
    content = with_found_entities(trimmed(Formatted(text)))
    if not 0 < utf16_length(content.text) <= MAX_TEXT:
        raise WorldError(f"A message has 1 to {MAX_TEXT} characters; write at least one, and send long texts in parts.")
    return content
