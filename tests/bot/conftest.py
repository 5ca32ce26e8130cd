"""What tests of the bot's services share, and the browser of the web chat's."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from storage.db.database import Database
from tests.support.stored.keys import keyring_in

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "ovation.db", keyring_in(tmp_path))
    yield opened
    await opened.close()


def found_browser() -> str:
    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if path is None:
        if os.environ.get("OVATION_REQUIRE_BROWSER") == "1":
            pytest.fail("OVATION_REQUIRE_BROWSER is 1 and no Chromium is on the PATH; install chromium")
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests; it lives in the session's loop, and so do they."""
    path = found_browser()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser, with no window open before the test and after it."""
    yield chromium
    for context in chromium.contexts:
        await context.close()
