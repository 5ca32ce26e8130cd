"""What the bot says about itself: command menus and descriptions, per scope and language. Knows no chats.

Resolution follows the Bot API's "Determining list of commands": the narrowest scope first, and in each scope the
person's language before the entry for all languages.
"""

from dataclasses import dataclass, field

from bot.sandbox.world.records import Chat, Command

ANY_LANGUAGE = ""

ScopeKey = tuple[str, int, int]
"""Scope type, chat id and user id, 0 where the scope has none."""

DEFAULT_SCOPE: ScopeKey = ("default", 0, 0)


@dataclass(slots=True)
class Menus:
    """All that setMyCommands, setMyName, setMyDescription and setMyShortDescription have set."""

    commands: dict[tuple[ScopeKey, str], tuple[Command, ...]] = field(default_factory=dict)
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    """Keyed by (name, description or short_description; language)."""

    def commands_for(self, chat: Chat, person_id: int, language: str, *, is_admin: bool) -> tuple[Command, ...]:
        """The menu that this person sees in this chat."""
        for scope in _scopes(chat, person_id, is_admin=is_admin):
            for code in (language, ANY_LANGUAGE):
                if found := self.commands.get((scope, code)):
                    return found
        return ()

    def word(self, name: str, language: str) -> str:
        """A name or description in the language, else the one for all languages, else empty."""
        return self.words.get((name, language)) or self.words.get((name, ANY_LANGUAGE), "")


def _scopes(chat: Chat, person_id: int, *, is_admin: bool) -> list[ScopeKey]:
    if chat.is_private:
        return [("chat", chat.id, 0), ("all_private_chats", 0, 0), DEFAULT_SCOPE]
    scopes: list[ScopeKey] = [("chat_member", chat.id, person_id)]
    if is_admin:
        scopes += [("chat_administrators", chat.id, 0)]
    scopes += [("chat", chat.id, 0)]
    if is_admin:
        scopes += [("all_chat_administrators", 0, 0)]
    return [*scopes, ("all_group_chats", 0, 0), DEFAULT_SCOPE]
