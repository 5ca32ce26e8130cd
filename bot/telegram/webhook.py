"""Updates by webhook: checked, committed to the inbox, and only then acknowledged. The other way in beside polling.

Telegram repeats what is not answered by 2XX, so an update that cannot be stored is answered by 503 and comes again.
Knows HTTP and the inbox. Knows nothing of what an update says.
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
from bot.telegram.inbox import MAX_PENDING, Inbox, InboxProcessor, id_of
from storage.db.errors import StorageError

logger = logging.getLogger(__name__)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
MAX_BODY_BYTES = 1_000_000
"""Telegram's updates are far smaller."""

_RETRY_AFTER = {"Retry-After": "5"}


class Webhook:
    """The application that Telegram posts to."""

    def __init__(self, *, inbox: Inbox, processor: InboxProcessor, secret: str, metrics: BotMetrics) -> None:
        self._inbox = inbox
        self._processor = processor
        self._secret = secret.encode()
        self._metrics = metrics

    def app(self, path: str) -> Starlette:
        """An application with the one route."""
        return Starlette(routes=[Route(path, self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode()
        if not hmac.compare_digest(given, self._secret):
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
        if self._processor.pending > MAX_PENDING:
            return _not_now()
        try:
            await self._inbox.take([raw])
        except StorageError:
            logger.exception("an update cannot be stored; Telegram sends it again")
            return _not_now()
        self._metrics.polled_at = time.monotonic()
        return Response()


def _not_now() -> Response:
    return PlainTextResponse("Not now.", status_code=503, headers=_RETRY_AFTER)
