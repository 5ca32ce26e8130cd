"""What the bot is and says about itself: name, descriptions, command menus, logging out."""

import re
from dataclasses import replace

from bot.sandbox.api.methods.context import Context, Handler
from bot.sandbox.api.params import Params
from bot.sandbox.world import serializers
from bot.sandbox.world.errors import bad_request
from bot.sandbox.world.menus import ANY_LANGUAGE, ScopeKey
from bot.sandbox.world.records import Command

MAX_COMMANDS = 100
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_LONGEST = {"name": 64, "description": 512, "short_description": 120}
_SCOPES = frozenset(
    {
        "default",
        "all_private_chats",
        "all_group_chats",
        "all_chat_administrators",
        "chat",
        "chat_administrators",
        "chat_member",
    }
)


async def get_me(context: Context, params: Params) -> object:
    """The bot's own User, with what it can do."""
    return serializers.user(context.state.bot) | {
        "can_join_groups": True,
        "can_read_all_group_messages": not context.state.privacy_mode,
        "supports_guest_queries": False,
        "supports_inline_queries": True,
        "can_connect_to_business": False,
        "has_main_web_app": False,
        "has_topics_enabled": False,
        "allows_users_to_create_topics": False,
        "can_manage_bots": False,
        "supports_join_request_queries": False,
    }


async def set_my_commands(context: Context, params: Params) -> object:
    """Set the command menu of a scope and language."""
    given = params.items("commands", "commands")
    if given is None:
        raise bad_request("commands must be specified")
    if len(given) > MAX_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    context.state.menus.commands[_scope(context, params), _language(params)] = tuple(_command(e) for e in given)
    context.state.tell("commands")
    return True


async def get_my_commands(context: Context, params: Params) -> object:
    """Exactly what was set for this scope and language."""
    found = context.state.menus.commands.get((_scope(context, params), _language(params)), ())
    return [{"command": each.name, "description": each.description} for each in found]


async def delete_my_commands(context: Context, params: Params) -> object:
    """Remove the menu of a scope and language."""
    context.state.menus.commands.pop((_scope(context, params), _language(params)), None)
    context.state.tell("commands")
    return True


def _command(value: object) -> Command:
    match value:
        case {"command": str(name), "description": str(description)}:
            if not _COMMAND.fullmatch(name.removeprefix("/")):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(description) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
            return Command(name.removeprefix("/"), description)
    raise bad_request("can't parse BotCommand: command and description are required")


def _scope(context: Context, params: Params) -> ScopeKey:
    given = params.fields("scope", "bot command scope")
    kind = str(given.get("type", "default"))
    if kind not in _SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    if not kind.startswith("chat"):
        return (kind, 0, 0)
    chat = context.side.room(_number(given, "chat_id")).chat
    return (kind, chat.id, _number(given, "user_id") if kind == "chat_member" else 0)


def _number(fields: dict[str, object], name: str) -> int:
    value = str(fields.get(name, ""))
    if not value.lstrip("-").isdigit():
        raise bad_request(f"can't parse BotCommandScope: {name} is required")
    return int(value)


def _language(params: Params) -> str:
    code = params.text("language_code")
    if code and not _LANGUAGE.fullmatch(code):
        raise bad_request("LANG_CODE_INVALID")
    return code or ANY_LANGUAGE


def _setter(name: str) -> Handler:
    async def set_word(context: Context, params: Params) -> object:
        text = params.text(name)
        if len(text) > _LONGEST[name]:
            raise bad_request(f"{name.replace('_', ' ')} is too long")
        context.state.menus.words[name, _language(params)] = text
        if name == "name" and text and _language(params) == ANY_LANGUAGE:
            context.state.bot = replace(context.state.bot, name=text)
        return True

    return set_word


def _getter(name: str) -> Handler:
    async def get_word(context: Context, params: Params) -> object:
        fallback = context.state.bot.name if name == "name" else ""
        return {name: context.state.menus.word(name, _language(params)) or fallback}

    return get_word


async def log_out(context: Context, params: Params) -> object:
    """Leave this server; every later call is refused."""
    context.is_logged_out = True
    return True


async def close(context: Context, params: Params) -> object:
    """Nothing to close here."""
    return True


METHODS: dict[str, Handler] = {
    "getMe": get_me,
    "setMyCommands": set_my_commands,
    "getMyCommands": get_my_commands,
    "deleteMyCommands": delete_my_commands,
    "setMyName": _setter("name"),
    "getMyName": _getter("name"),
    "setMyDescription": _setter("description"),
    "getMyDescription": _getter("description"),
    "setMyShortDescription": _setter("short_description"),
    "getMyShortDescription": _getter("short_description"),
    "logOut": log_out,
    "close": close,
}
