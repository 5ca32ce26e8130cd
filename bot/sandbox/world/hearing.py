"""Telegram's privacy mode: which messages a bot is shown. Knows rooms and messages, no updates."""

from bot.sandbox.world.records import SeenMessage
from bot.sandbox.world.rooms import Room
from bot.sandbox.world.state import State
from bot.sandbox.world.text import Formatted, commands_in


def is_shown(state: State, room: Room, message: SeenMessage) -> bool:
    """Plain members get commands for them and replies to them, not mentions."""
    if room.bot_sees_all or room.chat.kind == "channel" or not state.privacy_mode:
        return True
    replied = room.messages.get(message.reply_to or 0)
    if replied is not None and state.is_bots(replied):
        return True
    own = f"@{state.bot.username}".lower()
    commands = commands_in(Formatted(message.text, message.entities))
    return any("@" not in command or command.lower().endswith(own) for command in commands)
