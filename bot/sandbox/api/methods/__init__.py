"""The methods of the Bot API that the stand-in answers, by name. Knows which exist, not how a call arrives."""

from bot.sandbox.api.methods import chats, files, inline, messages, polling, profile
from bot.sandbox.api.methods.context import Handler

METHODS: dict[str, Handler] = {
    **polling.METHODS,
    **messages.METHODS,
    **inline.METHODS,
    **files.METHODS,
    **chats.METHODS,
    **profile.METHODS,
}
"""Handlers by the method's proper name."""

BY_LOWER_NAME: dict[str, str] = {name.lower(): name for name in METHODS}
"""Telegram takes method names in any case."""
