"""The simulated people: their tastes, their characters, and an evening with a real bot over HTTP."""

import contextlib
import dataclasses
from datetime import datetime
from random import Random
from statistics import mean

import pytest
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.error import BadRequest
from telegram.ext import CallbackQueryHandler, CommandHandler, MessageHandler, MessageReactionHandler, filters

from bot.sandbox.people.audience import Audience, Evening, diversity
from bot.sandbox.people.raters import COIN_TOSSES, DISLIKES, LIKES, WISHES, Rater, Temper, make_raters, without_footer
from bot.sandbox.people.tastes import (
    ACCEPTED,
    DISLIKED,
    FEATURES,
    KINDS,
    LOVED,
    TASTES,
    TOPICS,
    Asked,
    Camps,
    Style,
    Taste,
    features_of,
)
from bot.sandbox.server import Sandbox
from bot.sandbox.world.errors import NoProgress
from bot.sandbox.world.records import Person
from bot.sandbox.world.text import REACTIONS
from bot.sandbox.world.world import World
from engine.data.rewards import REACTION_VALUES
from recipes import grammar
from tests.bot.sandbox.test_sandbox import polling

HONEST = Temper(
    strictness_spread=0.0,
    noise=0.0,
    silence=0.0,
    contrarians=0.0,
    button_share=0.3,
    reasons=0.0,
    again=0.0,
    refines=0.0,
)


def rater(taste: Taste, temper: Temper) -> Rater:
    return make_raters([Person(1, "Ada")], taste, temper, "1")[0]


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
        ("cheer", "Smile and dance"),
        ("cheer", "惊喜，好运"),
        ("wistful", "Once, long ago"),
        ("wistful", "从前，慢慢地"),
        ("dry", "Experts agree"),
        ("dry", "专家表示"),
    ],
)
def test_a_feature_is_seen_in_full(feature, text):
    assert features_of(text)[feature] == 1.0


def test_every_feature_is_between_nought_and_one():
    for text in ("", "!", "你" * 500, "🎉!?1\n" * 50, MILD):
        seen = features_of(text)
        assert tuple(seen) == FEATURES
        assert all(0.0 <= value <= 1.0 for value in seen.values()), (text, seen)


def test_a_taste_knows_three_degrees():
    taste = Style("loud", {"exclamation": 1.0, "question": -1.0}, loved_from=0.5, disliked_below=0.0)
    assert [taste.liking(text) for text in ("Hooray!", "Well.", "Well?")] == [LOVED, ACCEPTED, DISLIKED]


def test_a_taste_for_something_invisible_is_refused():
    with pytest.raises(ValueError, match="no feature is called charm; there are brevity, lines"):
        Style("odd", {"charm": 1.0}, 0.5, 0.0)


def test_a_leaning_to_what_nobody_asks_for_is_refused():
    with pytest.raises(ValueError, match="no kind or theme is called opera"):
        Style("odd", {}, 0.5, 0.0, {"opera": 1.0})


def test_a_leaning_moves_the_liking_whatever_the_text():
    taste = Style("homely", {}, 1.0, -1.0, {"table": 1.0, "pitch": -1.0})
    assert taste.liking(MILD, Asked("slogan", "green tea")) > ACCEPTED > taste.liking(MILD, Asked("pitch", "the choir"))
    assert taste.liking(MILD, Asked("pitch", "绿茶")) == taste.liking(MILD) == ACCEPTED


LOUD_TASTE = Style("loud", {"exclamation": 1.0}, 0.5, 0.1)
QUIET_TASTE = Style("quiet", {"exclamation": -1.0}, 0.0, -0.1)


def test_camps_like_by_their_shares_and_sit_side_by_side():
    camps = Camps("torn", ((LOUD_TASTE, 3), (QUIET_TASTE, 1)))
    assert camps.liking(LOUD) == pytest.approx(0.75 * LOVED + 0.25 * DISLIKED)
    assert [camps.of(place) for place in (0.0, 0.74, 0.76, 0.99)] == [LOUD_TASTE] * 2 + [QUIET_TASTE] * 2


def starter_like_texts(count: int) -> list[tuple[str, Asked]]:
    """Texts of the grammar that the starter has learned, in the shares of the people's languages."""
    chance, texts = Random(3), []
    for number in range(count):
        language = "zh" if number % 10 < 3 else "en"
        asked = Asked(chance.choice(KINDS), chance.choice(TOPICS[language]))
        kind = "praise" if asked.kind == "write" else asked.kind
        style = chance.choice(grammar.styles(kind, language))
        texts.append((grammar.write(kind, style, grammar.Topic(asked.topic), language, chance), asked))
    return texts


@pytest.mark.parametrize("taste", TASTES.values(), ids=TASTES)
def test_every_named_taste_can_be_learned_from_what_the_starter_writes(taste):
    texts = starter_like_texts(1000)
    likings = [taste.liking(text, asked) for text, asked in texts]
    assert 0.3 < mean(likings) < 0.65
    assert mean(taste.liking(text) > 0.6 for text, _ in texts) > 0.08
    assert mean(taste.liking(text) < 0.35 for text, _ in texts) > 0.05


def test_lurkers_have_their_exact_share_and_never_rate():
    raters = make_raters([Person(number, "") for number in range(20)], LOUD_TASTE, Temper(lurkers=0.7), "7")
    lurkers = [rater for rater in raters if rater.is_lurker]
    assert len(lurkers) == 14
    assert all(rater.is_silent(Random(number)) for number, rater in enumerate(lurkers))


def test_coin_tosses_know_no_taste():
    ada = rater(LOUD_TASTE, COIN_TOSSES)
    chance = Random(2)
    assert mean(ada.likes(MILD, chance) for _ in range(4000)) == pytest.approx(0.5, abs=0.03)


def test_a_temper_out_of_bounds_is_refused():
    with pytest.raises(ValueError, match="silence must be from 0 to 1, not 1.5"):
        Temper(silence=1.5)


def test_diversity_counts_pairs_of_words_in_both_languages():
    assert diversity(["a b a b"]) == pytest.approx(2 / 3)
    assert diversity(["绿茶绿茶"]) == pytest.approx(2 / 3)
    assert diversity([]) == 0.0


def test_the_emoji_that_people_use_are_telegrams():
    assert {*LIKES, *DISLIKES} <= {*REACTIONS}


def test_the_emoji_that_people_use_say_what_they_mean():
    assert all(REACTION_VALUES[emoji] > 0 for emoji in LIKES)
    assert all(REACTION_VALUES[emoji] < 0 for emoji in DISLIKES)


def test_raters_like_as_often_as_their_taste_says():
    ada = rater(TASTES["lively"], HONEST)
    chance = Random(2)
    share = sum(ada.likes(LOUD, chance) for _ in range(4000)) / 4000
    assert share == pytest.approx(LOVED, abs=0.02)


def test_contrarians_and_noise_turn_opinions_round():
    contrary = rater(TASTES["lively"], Temper(0.0, 0.0, 0.0, 1.0, 0.0))
    noisy = rater(TASTES["lively"], Temper(0.0, 1.0, 0.0, 0.0, 0.0))
    chance = Random(3)
    assert contrary.chance_of_like(LOUD) == pytest.approx(1 - LOVED)
    assert sum(noisy.likes(LOUD, chance) for _ in range(4000)) / 4000 == pytest.approx(0.5, abs=0.03)


def test_the_same_seed_makes_the_same_people():
    def people(seed: int) -> list[tuple]:
        world = World()
        audience = Audience(world, world.add_group("Tea house"), size=12, taste=TASTES["calm"], seed=seed)
        return [(rater.person.name, rater.shift, rater.favourites) for rater in audience.raters]

    assert people(5) == people(5)
    assert people(5) != people(6)


def test_the_share_of_chinese_people_is_kept():
    world = World()
    audience = Audience(world, world.add_group("Tea house"), size=20, taste=TASTES["calm"], chinese_share=0.3)
    assert sum(rater.person.language == "zh" for rater in audience.raters) == 6


def test_the_footer_is_the_last_paragraph():
    assert without_footer("line\n\nsecond verse\n\nAI · v1 · #1") == "line\n\nsecond verse"
    assert without_footer("no footer") == "no footer"


def test_an_evening_without_ratings_has_no_satisfaction():
    assert Evening(generations=3, likes=0, dislikes=0, true_liking=0.5, unanswered=0).satisfaction == 0.0


class TeaBot:
    """A small bot of the test's own: asks for consent, answers every kind, and asks why where a text was disliked."""

    def __init__(self):
        self.ratings: dict[tuple[int, int], bool] = {}
        self.first_seen: dict[int, datetime] = {}
        self.consents: set[int] = set()
        self.reasons: list[str] = []
        self.handlers = (
            CommandHandler("start", self.start),
            CommandHandler(KINDS, self.write),
            MessageHandler(filters.REPLY & filters.TEXT & ~filters.COMMAND, self.write),
            CallbackQueryHandler(self.press),
            MessageReactionHandler(self.react),
        )

    async def start(self, update, context):
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="optin:1")]])
        reply = ReplyParameters(update.message.message_id)
        await update.message.reply_text("May I?", reply_parameters=reply, reply_markup=keyboard)

    async def write(self, update, context):
        to = update.effective_message
        message = await to.reply_text("…", reply_parameters=ReplyParameters(to.message_id))
        text = LOUD if message.message_id % 2 else MILD
        await message.edit_text(f"{text}\n\nAI · v1", reply_markup=self.keyboard())

    async def press(self, update, context):
        query = update.callback_query
        await query.answer()
        if query.data == "optin:1":
            self.consents.add(query.from_user.id)
        elif query.data == "again:1":
            await self.write(update, context)
        elif query.data.startswith("why:"):
            self.reasons.append(query.data)
        else:
            await self.note(query.message, query.from_user.id, liked=query.data == "up:1")

    async def react(self, update, context):
        change = update.message_reaction
        self.first_seen.setdefault(change.user.id, change.date)
        if change.new_reaction:
            await self.note(change, change.user.id, liked=change.new_reaction[0].emoji in LIKES)

    async def note(self, shown, person_id, *, liked):
        self.ratings[shown.message_id, person_id] = liked

    @staticmethod
    def keyboard(*reasons):
        rows = ((("👍", "up:1"), ("👎", "down:1"), ("🔁", "again:1")), reasons)
        return InlineKeyboardMarkup(
            [[InlineKeyboardButton(label, callback_data=data) for label, data in r] for r in rows]
        )


class CuriousTeaBot(TeaBot):
    async def note(self, shown, person_id, *, liked):
        await super().note(shown, person_id, liked=liked)
        if not liked:
            keyboard = self.keyboard(("Too long", "why:1:too_long"), ("Dull", "why:1:boring"))
            with contextlib.suppress(BadRequest):  # asked already
                await self.bot.edit_message_reply_markup(shown.chat.id, shown.message_id, reply_markup=keyboard)


async def test_an_evening_goes_through_telegrams_own_path():
    bot, progress = TeaBot(), []
    async with Sandbox(room="Tea house") as sandbox, polling(sandbox, *bot.handlers):
        world = sandbox.world
        audience = Audience(world, sandbox.room, size=8, taste=TASTES["lively"], seed=1, temper=HONEST)
        assert await audience.opt_in() == 8
        evening = await audience.evening(prompts=10, raters_per_message=5, progress=progress.append)
        await world.until(lambda: len(bot.ratings) == 50)
        finished = [m for m in world.messages(sandbox.room) if m.button("up:")]
    texts = [without_footer(message.text) for message in finished]
    assert bot.consents == {rater.person.id for rater in audience.raters}
    assert (evening.generations, evening.unanswered, evening.ratings, evening.silence) == (10, 0, 50, 0.0)
    assert sum(bot.ratings.values()) == evening.likes
    assert evening.true_liking == pytest.approx(mean(map(TASTES["lively"].liking, texts)))
    assert 0.0 < evening.distinct_2 < 0.3  # two texts, again and again
    assert progress == list(range(1, 11))


class TiredBot(TeaBot):
    energy = 5

    async def write(self, update, context):
        if self.energy:
            self.energy -= 1
            await super().write(update, context)


async def test_an_evening_on_which_the_bot_falls_silent_ends_and_nobody_asks_any_more():
    bot = TiredBot()
    async with Sandbox(room="Tea house") as sandbox, polling(sandbox, *bot.handlers):
        audience = Audience(sandbox.world, sandbox.room, size=8, taste=TASTES["lively"], seed=1, temper=HONEST)
        audience.stall_seconds = 0.2
        await audience.opt_in()
        with pytest.raises(NoProgress, match="The bot answers no more: 15 of 20 prompts have no text"):
            await audience.evening(prompts=20, at_once=4)
        asked = [m for m in sandbox.world.messages(sandbox.room) if m.text.startswith("/") and "start" not in m.text]
    assert len(asked) == 5 + 4


async def test_the_unhappy_say_why_and_want_another():
    bot = CuriousTeaBot()
    temper = dataclasses.replace(HONEST, reasons=1.0, again=0.5, refines=1.0, lurkers=0.25)
    async with Sandbox(room="Tea house") as sandbox, polling(sandbox, *bot.handlers) as application:
        bot.bot = application.bot
        audience = Audience(sandbox.world, sandbox.room, size=8, taste=LOUD_TASTE, seed=1, temper=temper)
        await audience.opt_in()
        evening = await audience.evening(prompts=8, raters_per_message=8)
        finished = [m for m in sandbox.world.messages(sandbox.room) if m.button("up:")]
        said = {m.text for m in sandbox.world.messages(sandbox.room) if not m.text.startswith("/")}
    assert evening.dislikes > 0
    assert evening.reasons == len(bot.reasons) > 0.9 * evening.dislikes
    assert set(bot.reasons) == {"why:1:boring"}  # nobody calls three words too long
    assert evening.silence == 0.25
    assert 8 < evening.generations == len(finished) <= 16
    assert said & {*WISHES["en"], *WISHES["zh"]}
