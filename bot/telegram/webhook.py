"""Updates by webhook: checked, committed to the inbox, and only then acknowledged.

Telegram repeats what is not answered by 2XX, so an update that cannot be stored is answered by 503 and comes again.
"""

import hmac
import json
import logging
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bot.common.metrics import BotMetrics
from bot.telegram.inbox import Inbox, id_of
from storage.db.errors import StorageError

logger = logging.getLogger(__name__)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
MAX_BODY_BYTES = 1_000_000
"""Telegram's updates are far smaller."""


def webhook_app(path: str, *, inbox: Inbox, secret: str, metrics: BotMetrics) -> Starlette:
    """The application that Telegram posts to, at `path`."""

    async def receive(request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode()
        if not hmac.compare_digest(given, secret.encode()):
            return PlainTextResponse("The secret is wrong.", status_code=403)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return PlainTextResponse("The body is too large.", status_code=413)
        try:
            raw = json.loads(body)
        except ValueError:
            raw = None
        if id_of(raw) is None:
            return PlainTextResponse("The body is not an update.", status_code=400)
        not_now = PlainTextResponse("Not now.", status_code=503, headers={"Retry-After": "5"})
        if inbox.is_full:
            return not_now
        try:
            await inbox.accept([raw])
        except StorageError:
            logger.exception("an update cannot be stored; Telegram sends it again")
            return not_now
        metrics.polled_at = time.monotonic()
        return Response()

    return Starlette(routes=[Route(path, receive, methods=["POST"])])
