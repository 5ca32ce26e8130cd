"""The 73 emoji that Telegram accepts as a reaction, in the order of its picker. Knows nothing else.

Source: ReactionTypeEmoji in the Bot API. Emoji are compared without the variation selector U+FE0F, because
clients and libraries disagree about it.
"""

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
