"""The web chat's own HTTP: its files, the people's verbs by POST, and a WebSocket that tells what happens.

    GET  /api/about    {canBeAdmin}
    POST /api/people   {name, language, admin?, key?} -> {person, key}; with a known key, that person again
    POST /api/say      {chat, text, replyTo?}
    POST /api/react    {chat, message, emojis}
    POST /api/press    {chat, message, data} -> {answered, text, alert}
    GET  /api/files/ID a photo or document
    WS   /api/live?key=KEY  first a snapshot, then events

Verbs carry the key as `Authorization: Bearer KEY`. A refusal is {"error": sentence} with status 400, 401 or 403.
Offsets of entities are UTF-16 units, which is what JavaScript counts in. Dates are Unix seconds.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from bot.common.tasks import cancel
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Attachment, Chat, Event, Json, Person, SeenMessage, Service
from bot.sandbox.world.state import ChatState, State
from bot.sandbox.world.text import REACTIONS
from bot.sandbox.world.world import World
from engine.foreign_json import read_json

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PRESS_SECONDS = 15.0
LANGUAGES = ("en", "zh")
MOST_BYTES = 100_000
"""Of a request: a message has 4,096 characters, and there are no uploads."""
HISTORY = 200
"""The most recent messages of each chat that a newly opened page gets."""

Verb = Callable[[Person, Mapping[str, object]], Awaitable[Json]]


class WebChat:
    """The people behind the open tabs, each known by a secret key.

    Args:
        world: where they live.
        admin_id: whom `admin: true` becomes; None refuses it.
        room: a group that everybody joins.
    """

    def __init__(self, world: World, *, admin_id: int | None, room: Chat | None) -> None:
        self._world = world
        self._state = world.state
        self._admin_id = admin_id
        self._room = room
        self._person_ids: dict[str, int] = {}
        self._panel: Json = {}

    def publish_panel(self, panel: Mapping[str, object]) -> None:
        """Show this in the side panel of every page.

        Fields, all optional: `version` (its name), `ratings` and `texts` (counts), `newest` (the newest ratings, of
        {emoji, kind, text, version}, the text by its number), `versions` ({name, share, ratings}; the share of likes
        is None where nobody has rated), `evenings` ({share, version}), `run` ({stage, share, seconds_left} or None),
        `verdict`. A share is from 0 to 1; `stage` and `verdict` are sentences by language.
        """
        self._panel = dict(panel)
        self._state.events.publish(Event("panel", panel=self._panel))

    def routes(self) -> list[BaseRoute]:
        """The routes to mount at the server's root."""
        files = {f"/{file.name}": file for file in STATIC.iterdir()}
        files["/"] = files.pop("/index.html")
        verbs: dict[str, Verb] = {"say": self._say, "react": self._react, "press": self._press}
        return [
            *(Route(path, _file(file), methods=["GET"]) for path, file in files.items()),
            Route("/api/about", self._about, methods=["GET"]),
            Route("/api/people", self._enter, methods=["POST"]),
            *(Route(f"/api/{name}", self._verb(verb), methods=["POST"]) for name, verb in verbs.items()),
            Route("/api/files/{file_id}", self._download, methods=["GET"]),
            WebSocketRoute("/api/live", self._live),
        ]

    async def _about(self, request: Request) -> Response:
        return JSONResponse({"canBeAdmin": self._admin_id is not None}, headers=HEADERS)

    async def _enter(self, request: Request) -> Response:
        try:
            given = await _json(request)
            person = self._person_for(given)
        except WorldError as error:
            return _refusal(400, str(error))
        key = str(given.get("key") or "")
        if self._person_ids.get(key) != person.id:
            key = secrets.token_urlsafe(16)
            self._person_ids[key] = person.id
        self._world.private_chat(person)
        if self._room is not None:
            self._world.join(person, self._room, as_admin=person.id == self._admin_id)
        return JSONResponse({"person": person_view(person), "key": key}, headers=HEADERS)

    def _person_for(self, given: Mapping[str, object]) -> Person:
        name = " ".join(str(given.get("name") or "").split())[:64]
        if not name:
            raise WorldError("A name has 1 to 64 characters.")
        language = str(given.get("language") or "en")
        if language not in LANGUAGES:
            raise WorldError(f"The page speaks {' and '.join(LANGUAGES)}.")
        known = self._person_ids.get(str(given.get("key") or ""))
        if given.get("admin"):
            if self._admin_id is None:
                raise WorldError("This sandbox has no admin; start it with ADMIN_IDS set.")
            known = self._admin_id
        return self._world.add_person(name, language, id=known)

    def _verb(self, verb: Verb) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            person = self._whose(request.headers.get("authorization", "").removeprefix("Bearer "))
            if person is None:
                return _refusal(401, "This tab is not known any more; reload the page to enter again.")
            try:
                return JSONResponse(await verb(person, await _json(request)), headers=HEADERS)
            except WorldError as error:
                return _refusal(400, str(error))

        return answer

    async def _say(self, person: Person, given: Mapping[str, object]) -> Json:
        reply_to = _number(given, "replyTo") if given.get("replyTo") else None
        chat = self._state.of(_number(given, "chat")).chat
        return {"message": self._world.say(person, chat, str(given.get("text") or ""), reply_to=reply_to).id}

    async def _react(self, person: Person, given: Mapping[str, object]) -> Json:
        emojis = given.get("emojis")
        if not isinstance(emojis, list):
            raise WorldError("Reactions come as a list of emoji.")
        return message_view(self._world.react(person, self._message(given), map(str, emojis)), person)

    async def _press(self, person: Person, given: Mapping[str, object]) -> Json:
        data = str(given.get("data") or "")
        answer = await self._world.press(person, self._message(given), data, timeout_seconds=PRESS_SECONDS)
        if answer is None:
            return {"answered": False, "text": None, "alert": False}
        return {"answered": True, "text": answer.text, "alert": answer.is_alert}

    def _message(self, given: Mapping[str, object]) -> SeenMessage:
        return self._state.message(_number(given, "chat"), _number(given, "message"))

    async def _download(self, request: Request) -> Response:
        found = self._state.files.get(request.path_params["file_id"])
        if found is None:
            return _refusal(404, "There is no such file.")
        attachment, content = found
        if attachment.kind == "photo":
            return Response(content, media_type=attachment.content_type, headers=HEADERS)
        return Response(
            content, media_type="application/octet-stream", headers=HEADERS | {"Content-Disposition": "attachment"}
        )

    async def _live(self, socket: WebSocket) -> None:
        person = self._whose(socket.query_params.get("key", ""))
        if person is None:
            await socket.close(4401)
            return
        await socket.accept()
        with self._state.events.listen() as events:
            telling = asyncio.create_task(self._tell(socket, person.id, events))
            try:
                while (await socket.receive())["type"] != "websocket.disconnect":
                    pass  # the page has nothing to say here
            finally:
                await cancel(telling)

    async def _tell(self, socket: WebSocket, person_id: int, events: "asyncio.Queue[Event]") -> None:
        await socket.send_json(snapshot(self._state, self._state.people[person_id]) | {"panel": self._panel})
        while True:
            view = event_view(self._state, await events.get(), self._state.people[person_id])
            if view is not None:
                await socket.send_json(view)

    def _whose(self, key: str) -> Person | None:
        return self._state.people.get(self._person_ids.get(key, 0))


# What the page gets to see, as JSON


def snapshot(state: State, viewer: Person) -> Json:
    """Everything a page needs when it opens."""
    return {
        "type": "snapshot",
        "me": person_view(viewer),
        "bot": person_view(state.bot) | {"username": state.bot.username},
        "reactions": REACTIONS,
        "chats": [
            chat_view(state, inside, viewer, list(inside.messages.values())[-HISTORY:])
            for inside in state.chats_of(viewer)
        ],
    }


def event_view(state: State, event: Event, viewer: Person) -> Json | None:
    """The event as this viewer sees it; None when it does not concern them."""
    if event.kind == "commands":
        menus = {str(inside.chat.id): _menu(state, inside, viewer) for inside in state.chats_of(viewer)}
        return {"type": "commands", "menus": menus}
    if event.chat is None:
        return {"type": "panel", "panel": event.panel}
    inside = state.chats.get(event.chat.id)
    if inside is None or viewer.id not in inside.members:
        return None
    if event.message is None:
        return {"type": event.kind, "chat": chat_view(state, inside, viewer)}
    return {"type": event.kind, "chat": event.chat.id, "message": message_view(event.message, viewer)}


def person_view(person: Person) -> Json:
    """A person."""
    return {"id": person.id, "name": person.name, "language": person.language, "isBot": person.is_bot}


def chat_view(state: State, inside: ChatState, viewer: Person, messages: Sequence[SeenMessage] = ()) -> Json:
    """A chat with its command menu for the viewer; a private chat goes by the bot's name."""
    is_private = inside.chat.is_private
    return {
        "id": inside.chat.id,
        "kind": inside.chat.kind,
        "title": state.bot.name if is_private else inside.chat.title,
        "members": len(inside.members) + 1,
        "botStatus": inside.bot_status,
        "description": state.menus.text("description", viewer.language) if is_private else "",
        "commands": _menu(state, inside, viewer),
        "messages": [message_view(each, viewer) for each in messages],
    }


def message_view(seen: SeenMessage, viewer: Person) -> Json:
    """A message; `mine` on a reaction is true when the viewer set it."""
    mine = seen.emojis_of(viewer.id)
    return {
        "id": seen.id,
        "chat": seen.chat.id,
        "sender": None if seen.sender is None else person_view(seen.sender),
        "title": None if seen.sender_chat is None else seen.sender_chat.title,
        "text": seen.text,
        "entities": [{"kind": each.kind, "offset": each.offset, "length": each.length} for each in seen.entities],
        "date": int(seen.date.timestamp()),
        "edited": seen.edited,
        "replyTo": seen.reply_to,
        "keyboard": [[{"text": each.text, "data": each.callback_data} for each in row] for row in seen.keyboard],
        "reactions": [
            {"emoji": emoji, "count": count, "mine": emoji in mine} for emoji, count in seen.reaction_counts.items()
        ],
        "file": None if seen.attachment is None else _file_view(seen.attachment),
        "service": None if seen.service is None else _service_view(seen.service),
    }


def _menu(state: State, inside: ChatState, viewer: Person) -> list[Json]:
    commands = state.menus.commands_for(inside.chat, viewer.language)
    return [{"name": command.name, "description": command.description} for command in commands]


def _file_view(attachment: Attachment) -> Json:
    return {
        "kind": attachment.kind,
        "url": f"/api/files/{attachment.file_id}",
        "name": attachment.name,
        "size": attachment.size,
        "width": attachment.width,
        "height": attachment.height,
    }


def _service_view(service: Service) -> Json:
    return {"kind": service.kind, "name": service.about.name if isinstance(service.about, Person) else None}


# Reading requests


async def _json(request: Request) -> dict[str, object]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise WorldError("Requests come as application/json.")
    try:
        value = read_json(await _body(request), strict=True)
    except ValueError as error:
        raise WorldError(f"Requests come as JSON, of {MOST_BYTES} bytes at most.") from error
    if not isinstance(value, dict):
        raise WorldError("Requests come as a JSON object.")
    return value


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise ValueError("too long")
    return body


def _number(given: Mapping[str, object], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise WorldError(f"{name} is a number.")
    return value


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, headers=HEADERS)


def _file(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return FileResponse(file, headers=HEADERS)

    return answer
