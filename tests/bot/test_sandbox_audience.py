"""The simulated people: their tastes, their characters, and an evening with a real bot over HTTP."""

from random import Random

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.ext import CallbackQueryHandler, CommandHandler, MessageReactionHandler

from bot.sandbox.audience import Audience, Evening, without_footer
from bot.sandbox.judges import DISLIKES, LIKES, Temper, make_judge
from bot.sandbox.reactions import is_reaction
from bot.sandbox.records import Person
from bot.sandbox.server import Sandbox
from bot.sandbox.surface import FEATURES, surface
from bot.sandbox.tastes import ACCEPTED, DISLIKED, LOVED, TASTES, Taste
from bot.sandbox.topics import KINDS
from bot.sandbox.world import World
from tests.bot.test_sandbox import polling

HONEST = Temper(strictness_spread=0.0, noise=0.0, silence=0.0, contrarians=0.0, button_share=0.3)
LOUD, MILD = "Green tea! Louder every day! 🎉", "Green tea: simply good."


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("lines", "one\ntwo\nthree\nfour"),
        ("exclamation", "今天就来！快！"),
        ("question", "Who? You?"),
        ("emoji", "🍵 tea 🍃"),
        ("numerals", "24 hours, 7 days"),
        ("imagery", "moon, river, silver rain"),
        ("imagery", "月光，河水，雨"),
        ("second_person", "Your day, your way"),
        ("second_person", "你的茶，为你"),
    ],
)
def test_a_feature_is_seen_in_full(feature, text):
    assert surface(text)[feature] == 1.0


def test_every_feature_is_between_nought_and_one():
    for text in ("", "!", "你" * 500, "🎉!?1\n" * 50, MILD):
        seen = surface(text)
        assert tuple(seen) == FEATURES
        assert all(0.0 <= value <= 1.0 for value in seen.values()), (text, seen)


def test_a_taste_knows_three_degrees():
    taste = Taste("loud", {"exclamation": 1.0, "question": -1.0}, loved_from=0.5, disliked_below=0.0)
    assert [taste.liking(text) for text in ("Hooray!", "Well.", "Well?")] == [LOVED, ACCEPTED, DISLIKED]


def test_a_taste_for_something_invisible_is_refused():
    with pytest.raises(ValueError, match="no feature is called charm; there are brevity, lines"):
        Taste("odd", {"charm": 1.0}, 0.5, 0.0)


def test_every_named_taste_tells_texts_apart():
    texts = (
        LOUD,
        MILD,
        "Who needs more than you?",
        "moon, silver rain,\nriver of light",
        "24 hours, 7 days, 1 love",
        f"{MILD} " * 20,
    )
    for taste in TASTES.values():
        assert len({taste.liking(text) for text in texts}) > 1, taste.name


def test_the_emoji_that_people_use_are_telegrams():
    assert all(is_reaction(emoji) for emoji in (*LIKES, *DISLIKES))


def test_judges_like_as_often_as_their_taste_says():
    judge = make_judge(Person(1, "Ada"), TASTES["lively"], HONEST, Random(1))
    chance = Random(2)
    share = sum(judge.likes(LOUD, chance) for _ in range(4000)) / 4000
    assert share == pytest.approx(LOVED, abs=0.02)


def test_contrarians_and_noise_turn_opinions_round():
    contrary = make_judge(Person(1, "Ada"), TASTES["lively"], Temper(0.0, 0.0, 0.0, 1.0, 0.0), Random(1))
    noisy = make_judge(Person(2, "Ben"), TASTES["lively"], Temper(0.0, 1.0, 0.0, 0.0, 0.0), Random(1))
    chance = Random(3)
    assert contrary.chance_of_like(LOUD) == pytest.approx(1 - LOVED)
    assert sum(noisy.likes(LOUD, chance) for _ in range(4000)) / 4000 == pytest.approx(0.5, abs=0.03)


def test_the_same_seed_makes_the_same_people():
    def people(seed: int) -> list[tuple]:
        world = World()
        audience = Audience(world, world.add_group("Tea house"), size=12, taste=TASTES["calm"], seed=seed)
        return [(judge.person.name, judge.shift, judge.favourites) for judge in audience.judges]

    assert people(5) == people(5)
    assert people(5) != people(6)


def test_the_share_of_chinese_people_is_kept():
    world = World()
    audience = Audience(world, world.add_group("Tea house"), size=20, taste=TASTES["calm"], chinese_share=0.3)
    assert sum(judge.person.language == "zh" for judge in audience.judges) == 6


def test_the_footer_is_the_last_paragraph():
    assert without_footer("line\n\nsecond verse\n\nAI · v1 · #1") == "line\n\nsecond verse"
    assert without_footer("no footer") == "no footer"


def test_an_evening_without_ratings_has_no_satisfaction():
    assert Evening(generations=3, likes=0, dislikes=0, true_liking=0.5, unanswered=0).satisfaction == 0.0


async def test_an_evening_goes_through_telegrams_own_path():
    ratings: dict[tuple[int, int], bool] = {}
    consents = set()

    async def start(update, context):
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="optin:1")]])
        reply = ReplyParameters(update.message.message_id)
        await update.message.reply_text("May I?", reply_parameters=reply, reply_markup=keyboard)

    async def write(update, context):
        message = await update.message.reply_text("…", reply_parameters=ReplyParameters(update.message.message_id))
        text = LOUD if message.message_id % 2 else MILD
        keyboard = [
            [InlineKeyboardButton(emoji, callback_data=data) for emoji, data in (("👍", "up:1"), ("👎", "down:1"))]
        ]
        await message.edit_text(f"{text}\n\nAI · v1", reply_markup=InlineKeyboardMarkup(keyboard))

    async def press(update, context):
        query = update.callback_query
        await query.answer()
        if query.data == "optin:1":
            consents.add(query.from_user.id)
        else:
            ratings[query.message.message_id, query.from_user.id] = query.data == "up:1"

    async def react(update, context):
        change = update.message_reaction
        ratings[change.message_id, change.user.id] = change.new_reaction[0].emoji in LIKES

    progress = []
    handlers = (CommandHandler("start", start), CommandHandler(KINDS, write), CallbackQueryHandler(press))
    async with Sandbox(room="Tea house") as sandbox, polling(sandbox, *handlers, MessageReactionHandler(react)):
        world = sandbox.world
        audience = Audience(world, sandbox.room, size=8, taste=TASTES["lively"], seed=1, temper=HONEST)
        assert await audience.opt_in() == 8
        evening = await audience.evening(prompts=10, raters_per_message=5, progress=lambda *done: progress.append(done))
        await world.until(lambda: len(ratings) == 50)
        finished = [m for m in world.messages(sandbox.room) if m.button("up:")]
    liking = [TASTES["lively"].liking(without_footer(message.text)) for message in finished]
    assert consents == {judge.person.id for judge in audience.judges}
    assert (evening.generations, evening.unanswered, evening.likes + evening.dislikes) == (10, 0, 50)
    assert sum(ratings.values()) == evening.likes
    assert evening.true_liking == pytest.approx(sum(liking) / 10)
    assert progress == [(number, 10) for number in range(1, 11)]
