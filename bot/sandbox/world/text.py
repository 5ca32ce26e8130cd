"""Text as Telegram measures it: UTF-16 units, trimmed ends, entities found by themselves; and its reaction emoji.

Emoji are compared without the variation selector U+FE0F, because clients and libraries disagree about it.
"""

import re
from dataclasses import dataclass, replace

from bot.sandbox.world.records import Entity

MAX_TEXT = 4096
"""The longest message text, in UTF-16 units."""
MAX_CAPTION = 1024
"""The longest caption, in UTF-16 units."""

_PICKER = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮
💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥 🌚 🌭 💯 🤣 ⚡
🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻
👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿
🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷\u200d♂ 🤷 🤷\u200d♀ 😡
"""
REACTIONS: tuple[str, ...] = tuple(_PICKER.split())
"""What Telegram accepts as a reaction (ReactionTypeEmoji in the Bot API), in the order of its picker."""

_FOUND_BY_ITSELF = re.compile(
    r"(?P<url>https?://[^\s<>\"“”「」]+[^\s<>\"“”「」.,;:!?)'])"
    r"|(?P<bot_command>(?<![\w/<>.])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/]))"
    r"|(?P<mention>(?<![\w@])@[A-Za-z][A-Za-z0-9_]{2,31}\b)"
    r"|(?P<hashtag>(?<!\w)#\w*[^\W\d]\w*)"
)
_CODE = frozenset({"code", "pre"})


@dataclass(frozen=True, slots=True)
class Formatted:
    """A text and its entities, sorted by offset."""

    text: str
    entities: tuple[Entity, ...] = ()


def plain(emoji: str) -> str:
    """The emoji as the Bot API writes it: without variation selectors."""
    return emoji.replace("\ufe0f", "")


def utf16_length(text: str) -> int:
    """The length in UTF-16 units: characters outside the basic plane count twice."""
    return len(text) + sum(character > "\uffff" for character in text)


def as_kept(content: Formatted) -> Formatted:
    """What Telegram makes of a text: no white space at its ends, and the entities that it finds by itself added."""
    return with_found_entities(trimmed(content))


def trimmed(content: Formatted) -> Formatted:
    """The text without white space at its ends, entities moved and cut to fit."""
    text = content.text.rstrip()
    lead = len(text) - len(text.lstrip())
    text = text[lead:]
    limit = utf16_length(text)
    entities = []
    for entity in content.entities:
        start = max(entity.offset - lead, 0)
        end = min(entity.offset + entity.length - lead, limit)
        if end > start:
            entities.append(replace(entity, offset=start, length=end - start))
    return Formatted(text, tuple(entities))


def with_found_entities(content: Formatted) -> Formatted:
    """Add the commands, mentions, links and hashtags that Telegram finds by itself outside of code.

    Entities come by offset, longer ones first, each once.
    """
    opaque = [(entity.offset, entity.offset + entity.length) for entity in content.entities if entity.kind in _CODE]
    found = list(content.entities)
    for match in _FOUND_BY_ITSELF.finditer(content.text):
        offset = utf16_length(content.text[: match.start()])
        length = utf16_length(match.group())
        inside = any(start < offset + length and offset < end for start, end in opaque)
        if not inside and match.lastgroup is not None:
            found.append(Entity(match.lastgroup, offset, length))
    in_order = sorted(dict.fromkeys(found), key=lambda entity: (entity.offset, -entity.length))
    return Formatted(content.text, tuple(in_order))


def commands_in(content: Formatted) -> list[str]:
    """The commands of a text, with their slash and, where given, the name of the bot."""
    units = content.text.encode("utf-16-le")
    return [
        units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le", errors="replace")
        for entity in content.entities
        if entity.kind == "bot_command"
    ]
