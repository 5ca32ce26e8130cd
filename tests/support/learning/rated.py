"""What the tests of serving share: an engine behind its HTTP API, in the test's own loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from engine.inference.engine import Engine
from engine.server.app import build_app


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(engine, versions_dir=None))
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60) as http:
        yield http
