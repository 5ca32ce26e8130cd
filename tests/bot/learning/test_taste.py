"""What is learned from ratings by day: from which texts, for whom, and always the same."""

from itertools import cycle

from bot.learning.taste import FEWEST_PERSONAL, RatedText, fit_taste, training_texts
from engine.api.types import Message
from engine.data.dataset import RatedGeneration, Rating

ADA = ("ada", "tea")


def row(number: int, *ratings: Rating, text: str = "") -> RatedGeneration:
    return RatedGeneration(
        id=f"{number:03}", kind="slogan", chat="tea", author="ada", version="starter",
        messages=(Message("user", f"topic {number}"),), text=text or f"A text about the topic with number {number}.",
        ratings=ratings,
    )  # fmt: skip


def said(who: str, value: float) -> Rating:
    return Rating(who, value)


def questions(count: int) -> list[RatedGeneration]:
    """Texts of which the questions are liked, by Bob and by Cyd."""
    return [
        row(number, *(said(who, 1.0 if mark == "?" else -1.0) for who in ("bob", "cyd")), text=f"Tea {number}{mark}")
        for number, mark in zip(range(count), cycle(".?"), strict=False)
    ]


def test_a_text_on_which_people_disagree_teaches_the_house_nothing_but_the_person() -> None:
    rows = [*questions(12), row(12, said("bob", 1.0), said("cyd", -1.0))]
    texts, people = training_texts(rows, {("bob", "tea")})
    assert [text.weight > 0.0 for text in texts] == [True] * 12 + [False]
    assert people["bob"][12] == 1.0 and list(people) == ["bob"]
    assert texts[12] == RatedText(rows[12].messages, rows[12].text, 0.0, 0.0)


def test_signals_are_no_ratings() -> None:
    rows = [row(number, said("bob", 1.0)) for number in range(12)]
    rows += [row(number, Rating("bob", -0.3, signal="another")) for number in range(12, 24)]
    assert training_texts(rows, ()) == ([], {}), "all that was said is of one side"
    rows += [row(24, said("bob", -1.0))]
    texts, people = training_texts(rows, {("bob", "tea")})
    assert len(texts) == 25 and len(people["bob"]) == 13


def test_too_few_or_one_sided_ratings_are_no_taste() -> None:
    assert fit_taste([]) is None
    assert fit_taste(questions(9)) is None
    assert fit_taste([row(number, said("bob", 1.0)) for number in range(40)]) is None


def test_what_is_liked_scores_above_what_is_not() -> None:
    taste = fit_taste(questions(60))
    assert taste is not None and taste.texts == 60 and taste.people == 0
    assert taste.auroc is not None and taste.auroc > 0.8
    asks, tells = taste.liking(["A cup of what?", "A cup of tea."])
    assert asks > tells + 0.5


def test_who_wishes_and_has_rated_enough_there_has_a_taste_of_their_own() -> None:
    rows = questions(60)
    rows += [row(100 + n, said("ada", -1.0), text=f"Cake {n}?") for n in range(20)]
    rows += [row(200 + n, said("ada", 1.0), text=f"Cake {n}.") for n in range(20)]
    taste = fit_taste(rows, {ADA, ("bob", "elsewhere")})
    assert taste is not None and list(taste.model.people) == ["ada"]
    house, own = (taste.liking(["A cup of what?", "A cup of tea."], person=who) for who in (None, "ada"))
    assert own[0] - own[1] < house[0] - house[1]
    few = fit_taste([*questions(60), *rows[60 : 60 + FEWEST_PERSONAL - 1]], {ADA})
    assert few is not None and few.people == 0


def test_the_same_ratings_give_the_same_taste_to_the_last_bit_whoever_has_been_there_meanwhile() -> None:
    before = fit_taste(questions(40), {("bob", "tea")})
    fit_taste([*questions(40), *(row(n, said("eve", 1.0)) for n in range(200, 230))])
    after = fit_taste(questions(40), {("bob", "tea")})
    assert before is not None and after is not None
    texts = ["A cup of what?", "A cup of tea.", "茶？"]
    for person in (None, "bob"):
        assert before.liking(texts, person=person).tobytes() == after.liking(texts, person=person).tobytes()
    assert before.liking(texts, draw=3).tobytes() == after.liking(texts, draw=3).tobytes()
