"""The record of what the bot asked for. Knows no method; tests judge the record.

The Bot API over HTTP: `/bot<token>/<method>` by GET or POST, and file downloads.

Knows how calls arrive, are recorded, refused and answered; what each method does is in `methods`.
"""

import hmac
import json
import time
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.sandbox.api.faults import Fault, Faults, FloodGate
from bot.sandbox.api.methods import BY_LOWER_NAME, METHODS
from bot.sandbox.api.methods.context import Context
from bot.sandbox.api.params import Params, Values, read_body
from bot.sandbox.world.errors import ApiError, flood


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
class Outcome:
    """What one call came to."""

    status: int
    result: object = None
    error: ApiError | None = None

    def body(self) -> dict[str, object]:
        """The Bot API's envelope."""
        if self.error is None:
            return {"ok": True, "result": self.result}
        body: dict[str, object] = {
            "ok": False,
            "error_code": self.error.code,
            "description": self.error.description,
        }
        return body | ({"parameters": self.error.parameters} if self.error.parameters else {})


@dataclass(slots=True)
class BotApi:
    """The stand-in for api.telegram.org for one bot. `calls` gets every answered request; a deque may bound it."""

    token: str
    context: Context
    faults: Faults = field(default_factory=Faults)
    flood_gate: FloodGate | None = None
    calls: MutableSequence[Call] = field(default_factory=list)

    def routes(self) -> list[Route]:
        """The routes to mount at the server's root."""
        return [
            Route("/bot{token}/{method}", self._answer, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._download, methods=["GET"]),
        ]

    async def _answer(self, request: Request) -> Response:
        began, at = time.monotonic(), self.context.state.clock()
        method = request.path_params["method"]
        values: Values = {}
        fault = self.faults.next_for(method) if self._is_token(request) else None
        try:
            self._admit(request)
            values = read_body(request.url.query, request.headers.get("content-type", ""), await request.body())
            outcome = await self._carry_out(method, values, fault)
        except ApiError as error:
            outcome = Outcome(error.code, error=error)
        answered = fault is None or fault.kind in ("refuse", "hold")
        description = outcome.error.description if outcome.error else None
        seconds = time.monotonic() - began
        status = outcome.status if answered else 0
        self.calls.append(Call(method, values, at, status, outcome.result, description, seconds))
        self.context.state.feed.nudge()
        if fault is not None and fault.until is not None:
            await fault.until.wait()
        if not answered:
            return Hangs() if fault is not None and fault.kind == "hang" else CutsOff()
        # escaped to ASCII, as Telegram does
        return Response(json.dumps(outcome.body()), outcome.status, media_type="application/json")

    async def _carry_out(self, method: str, values: Values, fault: Fault | None) -> Outcome:
        name = BY_LOWER_NAME.get(method.lower())
        if name is None:
            raise ApiError(404, "Not Found: method not found")
        if fault is not None and fault.error is not None:
            raise fault.error
        if fault is not None and not fault.takes_effect:
            return Outcome(0)
        self._hold_back_floods(name, values)
        return Outcome(200, await METHODS[name](self.context, Params(values)))

    def _hold_back_floods(self, method: str, values: Mapping[str, object]) -> None:
        if self.flood_gate is None:
            return
        chat_id = values.get("chat_id")
        wait = self.flood_gate.wait_seconds(method, None if chat_id is None else str(chat_id))
        if wait:
            raise flood(wait)

    def _admit(self, request: Request) -> None:
        if not self._is_token(request):
            raise ApiError(401, "Unauthorized")
        if self.context.is_logged_out:
            raise ApiError(400, "Logged out")

    def _is_token(self, request: Request) -> bool:
        return hmac.compare_digest(request.path_params["token"].encode(), self.token.encode())

    async def _download(self, request: Request) -> Response:
        found = self.context.state.files.get(request.path_params["path"])
        if not self._is_token(request) or found is None:
            return JSONResponse({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        attachment, content = found
        return Response(content, media_type=attachment.content_type)


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
