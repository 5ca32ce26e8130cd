"""A text that is longer than a message stands in several, and is one text all the same."""

import signal
from random import Random

import pytest

from bot.messaging.messenger import MOST_MESSAGES
from bot.sandbox.server import Sandbox
from bot.sandbox.world.records import Chat, SeenMessage
from tests.support.fake_engine import FakeEngine
from tests.support.scene import ADMIN_ID, BotProcess, Scene, values

_WORDS = [
    first + second for first in "bo da fi ga ke lu mi no pe ru".split() for second in "lan mer net rok sil tos".split()
]


def prose(seed: int, sentences: int) -> str:
    """Sentences of which none says what another says: a text that loops would be cut."""
    random = Random(seed)
    return " ".join(" ".join(random.sample(_WORDS, 7)).capitalize() + "." for _ in range(sentences))


PARAGRAPHS = [f"Paragraph {number}: {prose(number, 20)}" for number in range(1, 13)]
TEXT = "\n\n".join(paragraph.strip() for paragraph in PARAGRAPHS)


@pytest.fixture
def long_engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.writes = lambda *_: TEXT
    return fake_engine


def pages(sandbox: Sandbox, chat: Chat) -> list[SeenMessage]:
    return [m for m in sandbox.world.messages(chat) if "Paragraph" in m.text and sandbox.world.state.is_bots(m)]


def is_whole(sandbox: Sandbox, chat: Chat) -> bool:
    shown = pages(sandbox, chat)
    if len(shown) != 3 or shown[-1].button("up:") is None:
        return False
    words = "\n\n".join(page.text for page in shown)
    return all(paragraph.strip() in words for paragraph in PARAGRAPHS)


@pytest.mark.parametrize("kind", ["story", "article"])
async def test_it_is_broken_between_paragraphs_with_label_and_buttons_on_the_last(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, long_engine: FakeEngine, kind: str
) -> None:
    await bot.start(ENGINE_URL=long_engine.url)
    ada, chat = scene.person("Ada")
    sandbox.world.say(ada, chat, f"/{kind} trees")
    await sandbox.world.until(lambda: is_whole(sandbox, chat), 60)
    first, second, last = pages(sandbox, chat)
    assert all(page.text.startswith("Paragraph") for page in (first, second, last))
    assert not first.buttons and not second.buttons
    assert "AI-generated" in last.text and "AI-generated" not in first.text + second.text
    assert (second.reply_to, last.reply_to) == (first.id, first.id)


@pytest.mark.parametrize(
    ("method", "calls"),
    [
        ("sendMessage", 1),
        ("sendMessage", 3),
        ("editMessageText", 2),
        pytest.param("sendMessage", 2, marks=pytest.mark.slow),
        pytest.param("editMessageText", 1, marks=pytest.mark.slow),
        pytest.param("editMessageText", 3, marks=pytest.mark.slow),
    ],
)
async def test_a_kill_at_any_point_leaves_it_standing_once(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, long_engine: FakeEngine, method: str, calls: int
) -> None:
    await bot.start(ENGINE_URL=long_engine.url)
    ada, chat = scene.person("Ada")
    sandbox.world.say(ada, chat, "/story trees")
    await sandbox.world.until(lambda: len(sandbox.calls_of(method)) >= calls, 30)
    await bot.stop(signal.SIGKILL)
    await bot.start()
    await sandbox.world.until(lambda: is_whole(sandbox, chat), 60)
    await bot.settled()
    left = [m for m in sandbox.world.messages(chat) if m.text.endswith("…")]
    assert is_whole(sandbox, chat) and len(left) <= 1, "at most a placeholder is there twice"
    for orphan in left:
        stop = orphan.button("stop:")
        assert stop is not None
        await sandbox.world.press(ada, orphan, stop.callback_data)
    assert all(not m.text.endswith("…") for m in sandbox.world.messages(chat)) and is_whole(sandbox, chat)


async def test_any_of_the_messages_counts_for_the_text(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, long_engine: FakeEngine
) -> None:
    await bot.start(ENGINE_URL=long_engine.url)
    world = sandbox.world
    admin, _ = scene.person("Admin", person_id=ADMIN_ID)
    world.say(admin, world.private_chat(admin), "/start")
    group, (ada, bob) = await scene.company("Ada", "Bob")
    world.say(ada, group, "/story trees")
    await world.until(lambda: is_whole(sandbox, group), 60)
    first, second, last = pages(sandbox, group)
    for place, page in enumerate((first, second, last), start=1):
        world.react(bob if place == 1 else ada, page, ["👍"])
    await values(bot, 1.0, 1.0)
    await world.until(lambda: world.current(last).button("up:").text == "👍 2" or None, 20)
    long_engine.writes = lambda *_: "Short."
    await scene.ask(bob, group, "shorter", reply_to=second)
    assert (await bot.export("generations"))[-1]["parent"] == 1
    told_bob = (await scene.answer(world.say(bob, group, "/report", reply_to=second))).text
    assert "hidden" in told_bob, bot.log[-3000:]
    await world.until(lambda: not pages(sandbox, group) or None, 20)
    assert all("hidden" in world.current(page).text for page in (first, second, last))
    told = await world.until(
        lambda: next((m for m in world.messages(world.private_chat(admin)) if m.button("clear:")), None), 20
    )
    clear = told.button("clear:")
    assert clear is not None
    await world.press(admin, told, clear.callback_data)
    await world.until(lambda: is_whole(sandbox, group), 20)


async def test_a_text_without_end_is_cut_at_the_most_messages(
    bot: BotProcess, scene: Scene, sandbox: Sandbox, fake_engine: FakeEngine
) -> None:
    fake_engine.writes = lambda *_: "\n\n".join(f"Paragraph {n} {prose(n, 80)}" for n in range(15))
    await bot.start(ENGINE_URL=fake_engine.url)
    ada, chat = scene.person("Ada")
    sandbox.world.say(ada, chat, "/story trees")
    await sandbox.world.until(lambda: pages(sandbox, chat) and pages(sandbox, chat)[-1].button("up:"), 60)
    assert len(pages(sandbox, chat)) == MOST_MESSAGES
