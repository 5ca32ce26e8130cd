"""Who is meant by a message: Telegram's own entities say, and what is cut out is exactly the mention."""

from datetime import UTC, datetime
from typing import Any

import pytest
from telegram import Bot, Message, User

from bot.telegram.message import command_in, without_mention

OURS, OTHER = 7, 8


@pytest.fixture
def us() -> Bot:
    bot = Bot("7:token")
    bot._bot_user = User(OURS, "Ovation", is_bot=True, username="OurBot")
    return bot


def said(text: str, *marked: tuple[str, str], caption: bool = False, user: int | None = None, at: int = 0) -> Message:
    """A message in which these stretches are marked, each at its `at`-th place; `user` is whom a text mention means."""
    entities: list[dict[str, Any]] = []
    for kind, words in marked:
        begin = -1
        for _ in range(at + 1):
            begin = text.index(words, begin + 1)
        offset, length = (len(part.encode("utf-16-le")) // 2 for part in (text[:begin], words))
        whom = {"user": {"id": user, "is_bot": user == OURS, "first_name": "X"}} if kind == "text_mention" else {}
        entities.append({"type": kind, "offset": offset, "length": length, **whom})
    names = ("caption", "caption_entities") if caption else ("text", "entities")
    raw = dict(zip(names, (text, entities), strict=True))
    found = Message.de_json({
        "message_id": 1, "date": int(datetime.now(UTC).timestamp()), "chat": {"id": -1, "type": "group"}, **raw
    }, None)  # fmt: skip
    assert found is not None
    return found


@pytest.mark.parametrize("caption", [False, True])
@pytest.mark.parametrize(
    ("text", "marked", "left"),
    [
        ("@OurBot green tea", ("mention", "@OurBot"), " green tea"),
        ("green @ourbot tea", ("mention", "@ourbot"), "green  tea"),
        ("绿茶😀 @OURBOT, 请", ("mention", "@OURBOT"), "绿茶😀 , 请"),
        ("now /poem@ourBot tea", ("bot_command", "/poem@ourBot"), "now  tea"),
        ("Ovation, some tea", ("text_mention", "Ovation"), ", some tea"),
    ],
)
def test_a_mention_is_found_and_exactly_it_is_cut(
    us: Bot, text: str, marked: tuple[str, str], left: str, *, caption: bool
) -> None:
    assert without_mention(said(text, marked, caption=caption, user=OURS), us) == (left, True)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("@ourbot2_helper_bot tea", [("mention", "@ourbot2_helper_bot")]),
        ("@our tea", [("mention", "@our")]),
        ("press@ourbot.example tea", [("email", "press@ourbot.example")]),
        ("https://t.me/@ourbot tea", [("url", "https://t.me/@ourbot")]),
        ("`@ourbot` tea", [("code", "@ourbot")]),
        ("@ourbot tea", [("pre", "@ourbot")]),
        ("@ourbot tea", []),
        ("@ourbot tea", [("bold", "@ourbot")]),
        ("/poem tea", [("bot_command", "/poem")]),
        ("/poem@ourbot2 tea", [("bot_command", "/poem@ourbot2")]),
        ("Ovation tea", [("text_mention", "Ovation")]),
        ("#ourbot $OURBOT", [("hashtag", "#ourbot")]),
    ],
)
def test_what_telegram_does_not_mark_as_our_mention_is_none(us: Bot, text: str, marked: list[tuple[str, str]]) -> None:
    assert without_mention(said(text, *marked, user=OTHER), us) == (text, False)


def test_of_two_mentions_the_first_is_the_address_and_others_are_left(us: Bot) -> None:
    message = said("@their_bot and @ourbot about @ourbot", ("mention", "@their_bot"), ("mention", "@ourbot"))
    assert without_mention(message, us) == ("@their_bot and  about @ourbot", True)


def test_a_message_without_words_mentions_nobody(us: Bot) -> None:
    assert without_mention(said(""), us) == ("", False)


@pytest.mark.parametrize(
    ("text", "command", "found"),
    [
        ("/summary", "/summary", "summary"),
        ("/Summary@OURBOT short", "/Summary@OURBOT", "summary"),
        ("/summary@other_bot", "/summary@other_bot", None),
        ("see /summary", "/summary", None),
    ],
)
def test_the_command_of_a_caption_is_ours_or_nobodys(us: Bot, text: str, command: str, found: str | None) -> None:
    assert command_in(said(text, ("bot_command", command), caption=True), us) == found


def test_entities_that_are_not_within_the_text_do_no_harm(us: Bot) -> None:
    message = said("tea", ("mention", "tea"))
    raw = {**message.to_dict(), "entities": [{"type": "mention", "offset": 2, "length": 90}]}
    broken = Message.de_json(raw, None)
    assert broken is not None and without_mention(broken, us) == ("tea", False)
