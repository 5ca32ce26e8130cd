"""The web chat in a real browser: two tabs, a prompt that streams in, a reaction, a button, a phone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.ext import CallbackQueryHandler, CommandHandler, MessageReactionHandler

from bot.sandbox.server import Sandbox
from tests.bot.sandbox.test_sandbox import PNG, polling

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


class Handlers:
    """A small bot; `reactions` and `presses` are what reached it. While `pen` is cleared a text stops half-way."""

    def __init__(self) -> None:
        self.pen = asyncio.Event()
        self.pen.set()
        self.reactions: list[tuple[str, list[str]]] = []
        self.presses: list[tuple[str, str]] = []

    def all(self):
        return (
            CommandHandler("slogan", self.write),
            CommandHandler("start", self.start),
            CommandHandler("stats", self.chart),
            MessageReactionHandler(self.reacted),
            CallbackQueryHandler(self.pressed),
        )

    async def write(self, update, context):
        message = await update.message.reply_text("✍️ …", reply_parameters=ReplyParameters(update.message.message_id))
        await message.edit_text("<b>Green</b> …")
        await self.pen.wait()
        keyboard = [
            [InlineKeyboardButton("👍", callback_data="up:1"), InlineKeyboardButton("👎", callback_data="down:1")]
        ]
        markup = InlineKeyboardMarkup(keyboard)
        await message.edit_text("<img src=x onerror=alert(1)> Green tea!\n\nAI · v1 · #1", reply_markup=markup)

    async def start(self, update, context):
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="optin:1")]])
        await update.message.reply_text("May I learn? See https://example.org/privacy", reply_markup=keyboard)

    async def chart(self, update, context):
        await update.message.reply_photo(PNG, caption="Satisfaction")

    async def reacted(self, update, context):
        change = update.message_reaction
        self.reactions.append((change.user.first_name, [each.emoji for each in change.new_reaction]))

    async def pressed(self, update, context):
        query = update.callback_query
        self.presses.append((query.from_user.first_name, query.data))
        await query.answer("Thank you!", show_alert=query.data == "optin:1")


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Sandbox, Handlers]]:
    handlers = Handlers()
    async with Sandbox(admin_id=42, room="Tea house") as sandbox, polling(sandbox, *handlers.all()) as app:
        await app.bot.set_my_commands([("slogan", "A slogan"), ("start", "Begin")])
        await app.bot.set_my_commands([("slogan", "一句口号")], language_code="zh")
        try:
            yield sandbox, handlers
        finally:
            handlers.pen.set()


async def tab(browser: Browser, sandbox: Sandbox, query: str, **options) -> Page:
    """A page of its own, that is a person of their own; its errors fail the test that closes it by `calm`."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
    await page.goto(f"{sandbox.url}/{query}")
    return page


async def send(page: Page, text: str) -> None:
    await page.get_by_role("textbox").fill(text)
    await page.get_by_role("textbox").press("Enter")


async def test_two_people_share_a_group_prompt_react_and_press(browser):
    async with running() as (sandbox, handlers):
        ada = await tab(browser, sandbox, "?name=Ada&lang=en")
        ben = await tab(browser, sandbox, "?name=Ben&lang=en")
        for page in (ada, ben):
            await page.get_by_role("button", name="Tea house").click()
        await send(ada, "/slogan green tea")
        text = ben.get_by_role("article", name="Green tea!")
        await expect(text).to_contain_text("<img src=x onerror=alert(1)> Green tea!")
        await expect(text).to_contain_text("/slogan green tea")

        await text.hover()
        await text.get_by_role("button", name="React").click()
        await ben.get_by_role("dialog", name="Choose a reaction").get_by_text("🔥", exact=True).click()
        chip = ada.get_by_role("button", name="🔥, 1")
        await expect(chip).to_be_visible()
        await chip.click()
        await expect(ben.get_by_role("button", name="🔥, 2")).to_have_attribute("aria-pressed", "true")
        await ben.get_by_role("button", name="🔥, 2").click()
        await expect(ada.get_by_role("button", name="🔥, 1")).to_have_attribute("aria-pressed", "true")

        await ben.get_by_role("button", name="👎").click()
        await expect(ben.locator("#toast")).to_have_text("Thank you!")
        await sandbox.world.until(lambda: len(handlers.reactions) == 3)
        faults = [*ada.faults, *ben.faults]
    assert handlers.reactions == [("Ben", ["🔥"]), ("Ada", ["🔥"]), ("Ben", [])]
    assert handlers.presses == [("Ben", "down:1")]
    assert faults == []


async def test_the_private_chat_starts_by_a_button_and_alerts(browser):
    async with running() as (sandbox, handlers):
        page = await tab(browser, sandbox, "?name=Ada&lang=en")
        await page.get_by_role("button", name="Ovation").click()
        await page.get_by_role("button", name="Start", exact=True).click()
        await page.get_by_role("button", name="Yes").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Thank you!")
        await page.get_by_role("button", name="OK").click()
        link = page.get_by_role("link", name="https://example.org/privacy")
        await expect(link).to_have_attribute("rel", "noopener noreferrer")
        await send(page, "/stats")
        await expect(page.get_by_role("img", name="Satisfaction")).to_have_js_property("naturalWidth", 1)
        assert page.faults == []
    assert handlers.presses == [("Ada", "optin:1")]


async def test_the_command_menu_speaks_the_persons_language_and_obeys_keys(browser):
    async with running() as (sandbox, _):
        page = await tab(browser, sandbox, "?name=小雨&lang=zh")
        await page.get_by_role("button", name="Tea house").click()
        field = page.get_by_role("textbox", name="消息")
        await field.press_sequentially("/s")
        await expect(page.get_by_role("option")).to_have_text(["/slogan一句口号"])
        await field.press("Tab")
        await expect(field).to_have_value("/slogan ")
        await field.press_sequentially("绿茶")
        await field.press("Enter")
        await expect(page.get_by_role("article", name="Green tea!")).to_be_visible()
        assert await page.locator("html").get_attribute("lang") == "zh-Hans"
        assert page.faults == []


async def test_the_command_menu_stays_where_the_field_has_lost_the_focus_and_got_it_back(browser):
    async with running() as (sandbox, _):
        page = await tab(browser, sandbox, "?name=Ada&lang=en")
        await page.get_by_role("button", name="Tea house").click()
        field = page.get_by_role("textbox")
        await field.evaluate("field => { field.focus(); field.blur(); field.focus(); }")
        await page.keyboard.type("/")
        await page.evaluate("() => new Promise((done) => setTimeout(done, 200))")  # after what a blur leaves behind
        await expect(page.get_by_role("option")).to_have_count(2)


async def test_a_message_can_be_replied_to(browser):
    async with running() as (sandbox, _):
        page = await tab(browser, sandbox, "?name=Ada&lang=en")
        await page.get_by_role("button", name="Tea house").click()
        ben = sandbox.world.add_person("Ben")
        sandbox.world.join(ben, sandbox.room)
        said = sandbox.world.say(ben, sandbox.room, "Who wants tea?")
        message = page.get_by_role("article", name="Ben: Who wants tea?")
        await message.hover()
        await message.get_by_role("button", name="Reply").click()
        await send(page, "Me!")
        await expect(page.get_by_role("article", name="Ada: Me!")).to_contain_text("Who wants tea?")
        assert sandbox.world.messages(sandbox.room)[-1].reply_to == said.id


async def test_on_a_phone_one_thing_is_seen_at_a_time(browser):
    async with running() as (sandbox, _):
        page = await tab(browser, sandbox, "?name=Ada&lang=en", **PHONE)
        await expect(page.get_by_role("button", name="Tea house")).to_be_visible()
        await expect(page.get_by_role("textbox")).to_be_hidden()
        ben = sandbox.world.add_person("Ben")
        sandbox.world.join(ben, sandbox.room)
        sandbox.world.say(ben, sandbox.room, "Good morning")
        await expect(page.get_by_role("button", name="1 unread")).to_be_visible()
        await page.get_by_role("button", name="Tea house").click()
        await expect(page.get_by_role("article", name="Ben: Good morning")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await page.get_by_role("button", name="Back to the chats").click()
        await expect(page.get_by_role("button", name="unread")).to_have_count(0)
        assert page.faults == []


async def test_the_door_offers_names_languages_and_the_admin(browser):
    async with running() as (sandbox, _):
        page = await tab(browser, sandbox, "", locale="en-GB")
        await page.get_by_label("简体中文").check()
        await expect(page.get_by_role("heading", name="你是谁？")).to_be_visible()
        await page.get_by_role("button", name="以管理员身份打开").click()
        await expect(page.locator("#me-name")).to_have_text("管理员")
        await page.reload()
        await expect(page.locator("#me-role")).to_have_text("管理员")
    assert [(person.id, person.language) for person in sandbox.world.people] == [(42, "zh")]
