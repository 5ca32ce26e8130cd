"""The web chat's own HTTP: its files, the people's verbs by POST, and a WebSocket that tells what happens.

    GET  /api/about    {canBeAdmin}
    POST /api/people   {name, language, admin?, key?} -> {person, key}; with a known key, that person again
    POST /api/say      {chat, text, replyTo?}
    POST /api/react    {chat, message, emojis}
    POST /api/press    {chat, message, data} -> {answered, text, alert, url}
    GET  /api/files/ID a photo or document
    WS   /api/live?key=KEY  first a snapshot, then events

Verbs carry the key as `Authorization: Bearer KEY`. A refusal is {"error": sentence} with status 400, 401 or 403.
Knows people's verbs in `world`; knows nothing of the Bot API.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.sandbox.web import views
from bot.sandbox.web.views import View
from bot.sandbox.world.errors import WorldError
from bot.sandbox.world.records import Chat, Event, Person
from bot.sandbox.world.text import REACTIONS
from bot.sandbox.world.world import World

WEB = Path(__file__).parent / "static"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_STYLES = ("style", "panel")
_SCRIPTS = ("app", "chats", "composer", "dom", "link", "log", "messages", "panel", "picker", "richtext", "words")
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

Verb = Callable[[Person, Mapping[str, object]], Awaitable[View]]


class Page:
    """The people behind the open tabs, each known by a secret key.

    Args:
        world: where they live.
        admin_id: whom `admin: true` becomes; None refuses it.
        room: a group that everybody joins.
    """

    def __init__(self, world: World, *, admin_id: int | None, room: Chat | None) -> None:
        self._world = world
        self._admin_id = admin_id
        self._room = room
        self._person_ids: dict[str, int] = {}
        self._panel: dict[str, object] = {}

    def publish_panel(self, panel: Mapping[str, object]) -> None:
        """Show this in the side panel of every page.

        Fields, all optional: `version` (its name), `ratings` and `texts` (counts), `newest` (the newest ratings, of
        {emoji, kind, text, version}, the text by its number), `versions` ({name, share, ratings}; the share of likes
        is None where nobody has rated), `evenings` ({share, version}), `run` ({stage, share, seconds_left} or None),
        `verdict`. A share is from 0 to 1; `stage` and `verdict` are sentences by language.
        """
        self._panel = dict(panel)
        self._world.state.tell("panel", detail={"panel": self._panel})

    def routes(self) -> list[BaseRoute]:
        """The routes to mount at the server's root."""
        styles = {f"/{name}.css": (f"{name}.css", "text/css; charset=utf-8") for name in _STYLES}
        scripts = {f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS}
        files = _FILES | styles | scripts
        verbs: dict[str, Verb] = {"say": self._say, "react": self._react, "press": self._press}
        return [
            *(Route(path, _file(*file), methods=["GET"]) for path, file in files.items()),
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
        return JSONResponse({"person": views.person(person), "key": key}, headers=HEADERS)

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
            if not _is_same_origin(request):
                return _refusal(403, "Only the sandbox's own page may do that.")
            try:
                return JSONResponse(await verb(person, await _json(request)), headers=HEADERS)
            except WorldError as error:
                return _refusal(400, str(error))

        return answer

    async def _say(self, person: Person, given: Mapping[str, object]) -> View:
        reply_to = _number(given, "replyTo") if given.get("replyTo") else None
        chat = self._world.state.room(_number(given, "chat")).chat
        said = self._world.say(person, chat, str(given.get("text") or ""), reply_to=reply_to)
        return {"message": said.id}

    async def _react(self, person: Person, given: Mapping[str, object]) -> View:
        message = self._world.message(_number(given, "chat"), _number(given, "message"))
        emojis = given.get("emojis")
        if not isinstance(emojis, list):
            raise WorldError("Reactions come as a list of emoji.")
        return views.message(self._world.react(person, message, map(str, emojis)), person)

    async def _press(self, person: Person, given: Mapping[str, object]) -> View:
        message = self._world.message(_number(given, "chat"), _number(given, "message"))
        data = str(given.get("data") or "")
        return views.answer(await self._world.press(person, message, data, timeout_seconds=PRESS_SECONDS))

    async def _download(self, request: Request) -> Response:
        found = self._world.state.files.get(request.path_params["file_id"])
        if found is None:
            return _refusal(404, "There is no such file.")
        attachment, content = found
        headers = dict(HEADERS)
        if attachment.kind == "document":
            headers["Content-Disposition"] = "attachment"
        media_type = attachment.content_type if attachment.kind == "photo" else "application/octet-stream"
        return Response(content, media_type=media_type, headers=headers)

    async def _live(self, socket: WebSocket) -> None:
        person = self._whose(socket.query_params.get("key", ""))
        if person is None or not _is_same_origin(socket):
            await socket.close(4401)
            return
        await socket.accept()
        with self._world.state.feed.listen() as events:
            telling = asyncio.create_task(self._tell(socket, person.id, events))
            try:
                while True:
                    await socket.receive_text()
            except WebSocketDisconnect:
                pass
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, socket: WebSocket, person_id: int, events: "asyncio.Queue[Event]") -> None:
        state = self._world.state
        opening = views.snapshot(state, state.people[person_id], REACTIONS)
        await socket.send_json(opening | {"panel": self._panel})
        while True:
            view = views.event(state, await events.get(), state.people[person_id])
            if view is not None:
                await socket.send_json(view)

    def _whose(self, key: str) -> Person | None:
        return self._world.state.people.get(self._person_ids.get(key, 0))


async def _json(request: Request) -> dict[str, object]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise WorldError("Requests come as application/json.")
    try:
        value = json.loads(await request.body())
    except ValueError as error:
        raise WorldError("Requests come as JSON.") from error
    if not isinstance(value, dict):
        raise WorldError("Requests come as a JSON object.")
    return value


def _number(given: Mapping[str, object], name: str) -> int:
    value = given.get(name)
    if not isinstance(value, int):
        raise WorldError(f"{name} is a number.")
    return value


def _is_same_origin(connection: HTTPConnection) -> bool:
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, headers=HEADERS)


def _file(name: str, content_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        content = (WEB / name).read_bytes()
        return Response(content, media_type=content_type, headers=HEADERS)

    return answer
