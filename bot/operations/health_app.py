"""Health over HTTP, for machines on this machine: /live, /ready, /metrics. Knows HTTP; `health` knows the truth."""

from collections.abc import Sequence

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.operations.health import Check, Health
from storage.db.errors import StorageError


def health_app(health: Health) -> Starlette:
    """An application with the three routes: 200 when all is well, 503 with the reasons when not."""

    async def live(_: Request) -> Response:
        return _answer(await health.alive())

    async def ready(_: Request) -> Response:
        return _answer(await health.ready())

    async def metrics(_: Request) -> Response:
        try:
            return Response(await health.numbers(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
        except StorageError as error:
            return JSONResponse({"error": str(error)}, 503)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", metrics)])


def _answer(checks: Sequence[Check]) -> Response:
    is_ok = all(check.is_ok for check in checks)
    body = {
        "status": "ok" if is_ok else "failing",
        "checks": {check.name: {"ok": check.is_ok, "says": check.says} for check in checks},
    }
    return JSONResponse(body, 200 if is_ok else 503)
