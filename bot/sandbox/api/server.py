"""The Bot API over HTTP: `/bot<token>/<method>`. How calls arrive, are recorded, refused and answered."""

import hmac
import json
import time
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.sandbox.api.faults import Fault, Faults, FloodGate
from bot.sandbox.api.methods import HANDLERS, Methods
from bot.sandbox.api.params import Params, Values, read_body
from bot.sandbox.world.errors import ApiError, flood
from bot.sandbox.world.records import Json
from bot.sandbox.world.state import State


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the method as it was written, its parameters as they were sent, the HTTP status it got.

    Values of forms are text, files are `Upload`s. `status` is 0 when the connection was cut without an answer.
    """

    method: str
    params: Mapping[str, object]
    at: datetime
    status: int
    result: object = None
    """What was answered under `result`; None for refusals."""
    error: str | None = None
    """The description of a refusal."""
    seconds: float = field(default=0.0, compare=False)
    """From the request's arrival to its answer."""


@dataclass(slots=True)
class BotApi:
    """The stand-in for api.telegram.org for one bot. `calls` gets every answered request; a deque may bound it."""

    token: str
    state: State
    methods: Methods
    flood_gate: FloodGate | None = None
    faults: Faults = field(default_factory=Faults)
    calls: MutableSequence[Call] = field(default_factory=list)

    def routes(self) -> list[Route]:
        """The routes to mount at the server's root."""
        return [
            Route("/bot{token}/{method}", self._answer, methods=["GET", "POST"]),
            Route("/file/bot{token}/{kind}/{file_id}", self._download, methods=["GET"]),
        ]

    async def _download(self, request: Request) -> Response:
        """A file by the path that getFile has told."""
        found = self.state.files.get(request.path_params["file_id"])
        if not self._is_admitted(request) or found is None:
            error = ApiError(404, "Not Found") if found is None else ApiError(401, "Unauthorized")
            return Response(json.dumps(_envelope(None, error)), error.code, media_type="application/json")
        return Response(found[1], media_type="application/octet-stream")

    def _is_admitted(self, request: Request) -> bool:
        return hmac.compare_digest(request.path_params["token"].encode(), self.token.encode())

    async def _answer(self, request: Request) -> Response:
        began, at = time.monotonic(), self.state.clock()
        method = request.path_params["method"]
        is_admitted = self._is_admitted(request)
        fault = self.faults.next_for(method) if is_admitted else None
        values: Values = {}
        result, refusal = None, None
        try:
            if not is_admitted:
                raise ApiError(401, "Unauthorized")
            values = read_body(request.url.query, request.headers.get("content-type", ""), await request.body())
            result = await self._carry_out(method.lower(), values, fault)
        except ApiError as error:
            refusal = error
        is_answered = fault is None or fault.kind in ("refuse", "hold")
        code = 200 if refusal is None else refusal.code
        description = None if refusal is None else refusal.description
        seconds = time.monotonic() - began
        self.calls.append(Call(method, values, at, code if is_answered else 0, result, description, seconds))
        self.state.events.nudge()
        if fault is not None and fault.until is not None:
            await fault.until.wait()
        if fault is not None and not is_answered:
            return Hangs() if fault.kind == "hang" else CutsOff()
        # escaped to ASCII, as Telegram does
        return Response(json.dumps(_envelope(result, refusal)), code, media_type="application/json")

    async def _carry_out(self, method: str, values: Values, fault: Fault | None) -> object:
        if method not in HANDLERS:
            raise ApiError(404, "Not Found: method not found")
        if fault is not None and fault.error is not None:
            raise fault.error
        if fault is not None and not fault.takes_effect:
            return None
        params = Params(values)
        if self.flood_gate is not None and (wait := self.flood_gate.wait_seconds(method, params.text("chat_id"))):
            raise flood(wait)
        return await HANDLERS[method](self.methods, params)


def _envelope(result: object, refusal: ApiError | None) -> Json:
    if refusal is None:
        return {"ok": True, "result": result}
    body: Json = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    return body | ({"parameters": refusal.parameters} if refusal.parameters else {})


class Hangs(Response):
    """No answer until the caller gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the caller to hang up."""
        while (await receive())["type"] != "http.disconnect":
            pass


class CutsOff(Response):
    """A head that promises a body, then the end of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head only; the server then closes the connection."""
        head = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps({"ok": True})[:3].encode(), "more_body": True})
