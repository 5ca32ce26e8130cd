"""The rules that judge what ordinary people get, on texts as small models write them."""

import pytest

from benchmarks.judging import has_loops, is_finished, judge, names_topic, talks_of_task


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("post", "We meet on Saturday at ten. Bring gloves!"),
        ("post", 'She said: "Come in."'),
        ("post", "See you there 🎉"),
        ("post", "Thank you all.\n\n#spring #cleanup"),
        ("slogan", "Warm bread before the sun is up"),
        ("title", "The Long Way to a Good Soup"),
        ("write", "You need:\n- a towel\n- sunscreen\n- a book"),
        ("write", "I look forward to your answer.\n\nBest regards,\nAnna"),
        ("write", "Kind regards,\n[Your Name]"),
        ("poem", "The bus turns\ninto a street\nof yellow windows\nand I am home"),
        ("write", "把鸡蛋放进水里煮八分钟。"),
    ],
)
def test_a_text_that_ends_as_texts_do_is_finished(kind: str, text: str) -> None:
    assert is_finished(text, kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("post", ""),
        ("post", "We meet on Saturday at ten, and everybody who"),
        ("post", "We meet on Saturday. Bring"),
        ("slogan", "Warm bread for the"),
        ("slogan", "Warm bread,"),
        ("write", "You need:\n1. a towel\n2."),
        ("poem", "The bus turns.\nThe street sleeps.\nThe windows shine.\nAnd then a"),
        ("write", "把鸡蛋放进"),
    ],
)
def test_a_text_that_breaks_off_is_not(kind: str, text: str) -> None:
    assert not is_finished(text, kind)


@pytest.mark.parametrize(
    "text",
    [
        "She was known to be a woman of beauty. She was known to be a woman of beauty.",
        "Come to the sea\nand stay\nCome to the sea\nand stay\nCome to the sea",
        "I like it because it is good for you and because it is good for you or because it is good for you",
        "very very very very good",
    ],
)
def test_a_text_that_goes_round_loops(text: str) -> None:
    assert has_loops(text, "write")


def test_a_poem_may_have_its_refrain_twice() -> None:
    poem = "The last bus is late tonight.\nI wait.\nThe last bus is late tonight.\nIt comes."
    assert not has_loops(poem, "poem")
    assert has_loops(poem, "story")


@pytest.mark.parametrize(
    "text",
    [
        "Sure! We meet at ten.",
        "Here is a slogan for your bakery: Warm bread",
        "Here's the revised version:\nPlease send me the report.",
        "Slogan: Warm bread",
        "I'm sorry, but I cannot help with that.",
        "As an AI language model, I have no taste.",
        "The user wants a slogan.",
        "We meet at ten.\n\nNote: change the time if needed.",
    ],
)
def test_talk_about_the_task_is_seen(text: str) -> None:
    assert talks_of_task(text, "a bakery")


def test_what_only_resembles_talk_about_the_task_is_not() -> None:
    assert not talks_of_task("Here's to five thousand of you!", "five thousand subscribers")
    assert not talks_of_task("I'm sorry that your parcel arrived broken.", "apology to a customer")


def test_the_topic_is_named_by_any_of_its_words_in_any_form() -> None:
    assert names_topic("Our libraries are open.", "our neighbourhood library")
    assert not names_topic("Our doors are open.", "our neighbourhood library")
    assert names_topic("秋天来了。", "秋天的河边")


def test_links_numbers_and_blanks_that_nobody_gave_are_seen() -> None:
    invented = judge("Write to info@bakery.com or see www.bakery.com.", kind="post", request="a bakery")
    given = judge("See www.bakery.com.", kind="post", request="a bakery, www.bakery.com")
    assert (invented.invents, given.invents) == (True, False)
    assert judge("Dear [Sister's Name], happy birthday!", kind="write", request="my sister").has_blanks is True
