"""The web chat's main story by keyboard alone, on a phone and a desktop, light and dark, in both languages; on the way
axe-core looks for faults of accessibility, and the page for what does not fit.
"""

import re
from dataclasses import dataclass

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect

from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat
from bot.sandbox.world.world import World
from tests.bot.sandbox.web.test_sandbox_browser import PHONE, Handlers, running, send, tab

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PANEL = {
    "version": "v1",
    "ratings": 120,
    "texts": 48,
    "newest": [{"emoji": "🔥", "kind": "slogan", "text": 48, "version": "v1"}],
    "versions": [
        {"name": "starter", "share": 0.46, "ratings": 80},
        {"name": "v1", "share": 0.614, "ratings": 40},
        {"name": "v2-which-nobody-has-rated-yet", "share": None, "ratings": 0},
    ],
    "evenings": [{"share": 0.46, "version": "starter"}, {"share": 0.614, "version": "v1"}],
    "run": {"stage": {"en": "learning", "zh": "正在学习"}, "share": 0.4, "seconds_left": 30},
    "verdict": {"en": "Run 1: promoted.", "zh": "第 1 次训练：已晋升。"},
}
WORDS = {
    "en": {"react": "React", "fire": "🔥, 1", "loop": "The loop", "back": "Back to the chats"},
    "zh": {"react": "回应", "fire": "🔥，1 个", "loop": "学习循环", "back": "回到聊天列表"},
}
UNWIELDY = [
    "😀" * 2048,
    "https://example.org/" + "a" * 400,
    "Donaudampfschifffahrtsgesellschaftskapitän" * 20,
    "صباح الخير! هل يمكن أن تكتب شعارًا عن الشاي الأخضر؟ (green tea) 12%",
]


@dataclass(frozen=True)
class Look:
    """A screen, a theme and a language."""

    screen: dict
    theme: str
    language: str

    @property
    def words(self) -> dict[str, str]:
        return WORDS[self.language]

    @property
    def is_phone(self) -> bool:
        return self.screen is PHONE


LOOKS = {
    "phone-light-en": Look(PHONE, "light", "en"),
    "phone-dark-zh": Look(PHONE, "dark", "zh"),
    "desktop-light-zh": Look(DESKTOP, "light", "zh"),
    "desktop-dark-en": Look(DESKTOP, "dark", "en"),
}


async def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    for _ in range(40):
        await page.keyboard.press(key)
        if await target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{target} is not reached by {key}")


async def assert_accessible(page: Page) -> None:
    await page.locator("main:not([hidden])").wait_for()  # the page's script shows the one that is wanted
    found = await Axe().run(page)
    assert not found.violations_count, found.generate_report()


async def assert_fits(page: Page) -> None:
    """Nothing on the screen is wider than its place, the window included."""
    too_wide = await page.evaluate(
        """[...document.querySelectorAll("html, .side, .chats, .chat, .log, .bubble, .panel, .picker, .composer")]
            .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth)
            .map((each) => `${each.tagName}.${each.className}: ${each.scrollWidth} in ${each.clientWidth}`)"""
    )
    assert too_wide == []


def say_what_is_unwieldy(world: World, room: Chat) -> None:
    long = world.add_person("Bartholomew-Maximilian Featherstonehaugh-Wolfeschlegelsteinhausen")
    layla = world.add_person("ليلى الزهراء")
    for person in (long, layla):
        world.join(person, room)
        for text in UNWIELDY:
            world.say(person, room, text)


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(look, id=name, marks=[] if name in {"desktop-dark-en", "phone-dark-zh"} else [pytest.mark.slow])
        for name, look in LOOKS.items()
    ],
)
async def test_the_story_works_by_keys_in_every_look_without_a_fault(browser: Browser, look: Look):
    options = {**look.screen, "color_scheme": look.theme, "reduced_motion": "reduce", "locale": look.language}
    async with running() as (sandbox, handlers):
        page = await tab(browser, sandbox, "", **options)
        await assert_accessible(page)
        await page.keyboard.type("Ada")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Tea house")).to_be_visible()

        await prompt(page, look, sandbox, handlers)
        await react(page, look)
        await sandbox.world.until(lambda: handlers.reactions)
        await watch_the_loop(page, look, sandbox)
        await talk_in_private(page, look)
        say_what_is_unwieldy(sandbox.world, sandbox.room)
        await read_the_unwieldy(page, look)
        assert page.faults == []
    assert handlers.reactions == [("Ada", ["🔥"])]


async def prompt(page: Page, look: Look, sandbox: Sandbox, handlers: Handlers) -> None:
    """By the menu of commands, in the group; the text is seen while it is written."""
    await tab_to(page, page.get_by_role("button", name="Tea house"), "Shift+Tab")
    await page.keyboard.press("Enter")
    field = page.get_by_role("textbox")
    if look.is_phone:  # where the focus would bring the keyboard up
        await tab_to(page, field)
    await expect(field).to_be_focused()
    handlers.pen.clear()
    await page.keyboard.type("/sl")
    await expect(page.get_by_role("option")).to_have_count(1)
    await assert_accessible(page)
    await page.keyboard.press("Tab")
    await page.keyboard.type("green tea")
    await page.keyboard.press("Enter")
    text = page.locator(".message.bot")
    await expect(text).to_contain_text("<b>Green</b> …")
    handlers.pen.set()
    await expect(text).to_contain_text("Green tea!")


async def react(page: Page, look: Look) -> None:
    """With an emoji from the picker."""
    text = page.locator(".message.bot")
    await tab_to(page, page.get_by_role("log"), "Shift+Tab")
    await page.keyboard.press("ArrowUp")
    await expect(text).to_be_focused()
    await tab_to(page, text.get_by_role("button", name=look.words["react"]))
    await page.keyboard.press("Enter")
    await assert_accessible(page)
    await assert_fits(page)
    for key in ("ArrowDown", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        await page.keyboard.press(key)
    await expect(text.get_by_role("button", name=look.words["fire"])).to_have_attribute("aria-pressed", "true")
    await expect(text.get_by_role("button", name=look.words["react"])).to_be_focused()


async def watch_the_loop(page: Page, look: Look, sandbox: Sandbox) -> None:
    """In the side panel, which on a phone is opened and closed."""
    panel = page.get_by_role("region", name=look.words["loop"])
    toggle = page.get_by_role("button", name=look.words["loop"])
    await expect(panel).to_be_hidden()
    sandbox.publish_panel(PANEL)
    if look.is_phone:
        await expect(toggle).to_contain_text("40 %")
        await tab_to(page, toggle, "Shift+Tab")
        await page.keyboard.press("Enter")
        await expect(panel.get_by_role("button")).to_be_focused()
    await expect(panel.get_by_role("progressbar")).to_have_js_property("value", 0.4)
    await expect(panel).to_contain_text(PANEL["run"]["stage"][look.language])
    await expect(panel).to_contain_text(PANEL["verdict"][look.language])
    await expect(panel.get_by_role("row", name="v1").first).to_have_text("v161 %40")
    await expect(panel.get_by_role("listitem")).to_have_text(["🔥/slogan #48v1"])
    await assert_accessible(page)
    await assert_fits(page)
    sandbox.publish_panel({**PANEL, "run": None, "ratings": 121})
    await expect(panel.get_by_role("progressbar")).to_be_hidden()
    await expect(panel.get_by_role("definition").nth(1)).to_have_text("121")
    if look.is_phone:
        await page.keyboard.press("Escape")
        await expect(panel).to_be_hidden()
        await expect(toggle).to_be_focused()
        await expect(toggle).to_contain_text("61 %")


async def talk_in_private(page: Page, look: Look) -> None:
    """The bot answers with a button, an alert and a photo."""
    if look.is_phone:
        await page.get_by_role("button", name=look.words["back"]).press("Enter")
    await page.get_by_role("button", name=re.compile("^Ovation")).press("Enter")
    await send(page, "/start")
    await page.get_by_role("button", name="Yes").press("Enter")
    await expect(page.get_by_role("dialog")).to_contain_text("Thank you!")
    await assert_accessible(page)
    await page.keyboard.press("Enter")
    await send(page, "/stats")
    await expect(page.get_by_role("img", name="Satisfaction")).to_be_visible()
    await assert_accessible(page)


async def read_the_unwieldy(page: Page, look: Look) -> None:
    """Long words, many emoji and lines from right to left, at last on the narrowest screen."""
    if look.is_phone:
        await page.get_by_role("button", name=look.words["back"]).press("Enter")
    await page.get_by_role("button", name="Tea house").press("Enter")
    await expect(page.locator(".message.in")).to_have_count(1 + 2 * len(UNWIELDY))
    await assert_accessible(page)
    await assert_fits(page)
    await page.set_viewport_size({"width": 360, "height": 640})
    await assert_fits(page)
