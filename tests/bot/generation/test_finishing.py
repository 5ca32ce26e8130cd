"""Rules that mend and judge texts, held against texts that real models wrote (SmolLM2-135M unless a case says so)."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.common.kinds import Kind, load_kinds
from bot.generation.finishing import Draft, Finished, agreement, finish, finish_all
from engine.api.types import FinishReason, Message, Reply, TokenLogprob, WrittenText
from recipes.smollm2.build import read_answers

KINDS = load_kinds(model=["smollm2"]).by_name
GOOD = json.loads((Path(__file__).parent / "good_texts.json").read_text(encoding="utf-8"))
"""What a reader found good as it was written: [{"kind", "request", "text"}]."""


def finished(
    text: str, *, kind: str = "post", request: str = "our open day", reason: FinishReason = "stop", language: str = "en"
) -> Finished:
    asked = KINDS[kind].messages(request)
    return finish(Draft(text, reason), messages=asked, kind=KINDS[kind], language=language)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: f"{case['kind']}: {case['request']}")
def test_a_good_text_stays_as_it_is(case: dict[str, str]) -> None:
    result = finished(case["text"], kind=case["kind"], request=case["request"])

    assert result.text == case["text"].strip()
    assert result.faults == ()


def test_of_thousands_of_good_answers_none_is_changed_and_next_to_none_is_at_fault() -> None:
    answers = read_answers()
    results = [finished(each.text, kind=each.kind, request=each.topic) for each in answers]
    assert [each.text for each in results] == [each.text for each in answers]
    assert sum(bool(each.faults) for each in results) <= len(answers) // 500


def test_a_yes_is_taken_off_only_before_a_preamble() -> None:
    assert finished("Yes, all our soap is vegan.").text == "Yes, all our soap is vegan."
    assert finished("Yes, here is a post about soap: It is vegan.").text == "It is vegan."


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("I'm sorry, but I can't do overtime tomorrow.", ()),
        ("I'm sorry, but I can't assist with that.", ("refusal",)),
        ("I am sorry, but I don't have access to your calendar.", ("refusal",)),
    ],
)
def test_a_message_that_declines_is_no_refusal(text: str, faults: tuple[str, ...]) -> None:
    assert finished(text, kind="write", request="sms: no overtime tomorrow").faults == faults


@pytest.mark.parametrize(
    ("kind", "written", "shown"),
    [
        ("slogan", '"Electric Scooters: The Future of Mobility"', "Electric Scooters: The Future of Mobility"),
        ("slogan", "**Slogan:** Grow together!", "Grow together!"),
        ("slogan", '"In Your Image: A Night School\nThis slogan is based on the idea', "In Your Image: A Night School"),
        ("slogan", "1. Ride the wave.\n2. Ride it again.", "Ride the wave."),
        ("title", "“The Night Train: A Guide”", "The Night Train: A Guide"),
        ("poem", "Sure! Here is a short poem about the rain:\n\nRain falls\non the roof", "Rain falls\non the roof"),
        ("story", "Certainly! Here's a very short story:\nA fox came by. It left.", "A fox came by. It left."),
        ("post", "Here's the revised version: We open on Sunday!", "We open on Sunday!"),
        ("post", "We open on Sunday!\n\nLet me know if you'd like any changes.", "We open on Sunday!"),
        ("post", "We open on Sunday!\n\nI hope this helps!", "We open on Sunday!"),
        ("post", "We open on Sunday!\n\nThis is a very simple announcement that says it all.", "We open on Sunday!"),
        ("write", "Send it, please.\n\nI added a comma for clarity.", "Send it, please."),
        ("write", "Dear [Name],\n\nThank you.\n\nRegards,\n[Your Name]", "Hello,\nThank you.\n\nRegards,"),
        ("write", "Dear <name>, thanks for your <gift>.\n<sender>.", "Dear <name>, thanks for your <gift>.\n<sender>."),
        ("write", "I'm sorry for any confusion. Boil the egg for six minutes.", "Boil the egg for six minutes."),
        ("post", "What a wonderful idea! We swap books on Sunday.", "We swap books on Sunday."),
    ],
)  # fmt: skip
def test_what_is_not_the_text_is_taken_off(kind: str, written: str, shown: str) -> None:
    assert finished(written, kind=kind).text == shown


@pytest.mark.parametrize(
    "words",
    [
        "Visit https://open-day.example/now for more.",
        "Write to team@openday.org today.",
        "Follow @HughesFoxBlog for news.",
        "Call us at 804-239-6473.",
        "See www.openday.com!",
    ],
)
def test_an_address_that_nobody_gave_goes_with_its_sentence(words: str) -> None:
    assert finished(f"We open on Sunday. {words} Come along!").text == "We open on Sunday. Come along!"


def test_a_text_that_is_nothing_but_an_invented_address_is_at_fault() -> None:
    result = finished("Call ada@example.com now.")

    assert result.text == "Call ada@example.com now."  # the filter's to judge, where no other text is better
    assert result.faults == ("address",)


def test_an_address_that_was_given_stays() -> None:
    text = "We open on Sunday. See www.ourclub.org for more!"

    assert finished(text, request="open day on Sunday, www.ourclub.org").text == text
    earlier = [Message("user", "see www.ourclub.org"), Message("assistant", "…"), Message("user", "shorter")]
    assert finish(Draft(text, "stop"), messages=earlier, kind=KINDS["post"], language="en").text == text


def test_the_words_of_a_link_stay_and_its_address_goes() -> None:
    assert finished("Read [our programme](https://x.example/a) and come.").text == "Read our programme and come."


@pytest.mark.parametrize(
    ("kind", "written", "shown"),
    [
        ("post", "We open on Sunday. There will be cake, mus", "We open on Sunday."),
        ("post", "We open on Sunday. Dr. Lee and Mr.", "We open on Sunday."),
        ("write", "1. Sleep early.\n2. Drink water.\n3. Avo", "1. Sleep early.\n2. Drink water."),
        ("write", "Try these:\n\n1. Bread\n2. Butter\n3. **P", "Try these:\n\n1. Bread\n2. Butter"),
        ("poem", "Rain on the roof\nrain on the road\nrain on the", "Rain on the roof\nrain on the road"),
        ("story", "她走进花园。花都开了。他", "她走进花园。花都开了。"),
    ],
)
def test_a_text_that_ran_out_ends_with_its_last_whole_sentence(kind: str, written: str, shown: str) -> None:
    language = "zh" if kind == "story" else "en"
    result = finished(written, kind=kind, reason="length", language=language)

    assert result.text == shown
    assert result.faults == ()


def test_a_text_that_ran_out_before_its_first_sentence_ended_is_at_fault() -> None:
    assert finished("We are happy to say that on this coming", reason="length").faults
    assert finished("The long and winding road of", kind="title", reason="length").faults == ("cut",)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "The wheels creaked. The night was long and cold. The stars shone. The stars shone. The stars shone.",
            "The wheels creaked. The night was long and cold. The stars shone.",
        ),
        ("We open at nine. There is a pool. No, no, no, no, no, no, no, no", "We open at nine. There is a pool."),
    ],
)
def test_a_text_ends_where_it_begins_to_loop(written: str, shown: str) -> None:
    result = finished(written, kind="story", reason="length")

    assert result.text == shown
    assert result.faults == ()


def test_a_text_that_is_nothing_but_a_loop_is_at_fault() -> None:
    cat = "She's a cat, and she's a cat. She's a cat handler, and she's a cat. " * 4

    assert "loop" in finished(cat, kind="character", reason="length").faults
    assert finished("A lone star,\n" * 20, kind="poem", reason="length").faults


def test_talk_about_the_task_is_a_fault() -> None:
    written = "I'm here to help with any project you're working on. What can I do for you?"

    assert "talk" in finished(written).faults


@pytest.mark.parametrize(
    "written",
    [
        "As an AI language model, I don't have personal plans. Ask me anything else, my friend.",
        "I'm sorry, but I can't help with that request at all today.",
    ],
)
def test_a_refusal_is_a_fault_wherever_it_stands(written: str) -> None:
    assert "refusal" in finished(f"Well. {written}").faults


def test_an_answer_to_the_topic_in_place_of_a_text_is_a_fault() -> None:
    assert "reply" in finished("I'm so glad you're doing this book swap, it is going to be great fun").faults
    assert finished("I'm so glad you asked, it is six minutes for a soft egg.", kind="write").faults == ()


def test_the_words_of_the_task_are_a_fault() -> None:
    task = KINDS["poem"].request["en"].partition("{topic}")[2].strip(" .")

    if len(task.split()) >= 4:
        assert "talk" in finished(f"{task}, she said, and the rain fell on", kind="poem").faults


def test_another_language_than_the_topics_is_a_fault_unless_it_was_asked_for() -> None:
    assert finished("Tea for all of us.", kind="slogan", request="绿茶", language="zh").faults == ("language",)
    assert finished("早上好", kind="write", request="translate to Chinese: good morning").faults == ()


def test_nothing_is_a_fault() -> None:
    assert finished("  \n").faults == ("empty",)
    assert finished("[Your Name]").faults == ("empty",)


def quality(text: str, **asked: str) -> float:
    return finished(text, **asked).quality  # type: ignore[arg-type]


def test_quality_prefers_the_topic_to_another_one() -> None:
    on = "Our community garden opens on Sunday, and there is room for everybody who likes to dig."
    off = "Our swimming pool opens on Friday, and there is room for everybody who likes to swim."

    assert quality(on, request="a community garden") > quality(off, request="a community garden")


def test_quality_holds_invented_times_and_prices_against_news_but_not_against_advice() -> None:
    plain, exact = (
        "The class is in the park. Bring a friend, a towel and some water along.",
        "The class is in the park at 9 am for $5. Bring a friend, a towel and some water along.",
    )

    assert quality(plain, request="class in the park") > quality(exact, request="class in the park")
    given = "class in the park at 9 am for $5"
    assert quality(exact, request=given) >= quality(exact, request="class in the park") + 0.9


def test_quality_prefers_a_slogan_to_the_topic_said_again() -> None:
    assert quality("A night to learn, a night to grow.", kind="slogan", request="a night school for adults") > quality(
        "The Night School for Adults.", kind="slogan", request="a night school for adults"
    )


def test_quality_prefers_the_text_to_words_about_it() -> None:
    asked = {"kind": "write", "request": "a short birthday wish for my colleague Tom"}

    assert quality("Happy birthday, Tom! Enjoy the cake and the day.", **asked) > quality(
        "A birthday wish for my colleague Tom is a nice thing to have.", **asked
    )


@pytest.mark.parametrize("asked", ["give me three ideas for a picnic", "3 ideas for a picnic"])
def test_quality_counts_what_was_asked_for_by_number(asked: str) -> None:
    three, two = "1. A picnic by the lake.\n2. A salad.\n3. A walk.", "1. A picnic by the lake.\n2. A salad and a walk."

    assert quality(three, kind="write", request=asked) > quality(two, kind="write", request=asked) + 1.0


def test_agreement_is_highest_for_what_most_texts_say() -> None:
    shares = agreement(["The capital is Lisbon.", "Lisbon is the capital city.", "It is a shoe made of bread."])

    assert min(shares[:2]) > shares[2]
    assert agreement(["alone"]) == [0.0]


def test_of_answers_the_odd_one_out_is_not_preferred_and_of_slogans_it_may_be() -> None:
    def qualities(kind: Kind, texts: tuple[str, ...]) -> list[float]:
        reply = Reply(tuple(WrittenText(text, "stop") for text in texts), "starter", 9, 9)
        asked = kind.messages("What is the capital of Portugal?")
        return [each.quality for each in finish_all(reply, messages=asked, kind=kind, language="en")]

    answers = (
        "The capital of Portugal is Lisbon.",
        "Lisbon, the capital of Portugal.",
        "The capital of Portugal is a shoe.",
    )
    free = qualities(KINDS["write"], answers)
    assert min(free[:2]) > free[2]
    line = qualities(KINDS["slogan"], answers)
    assert line[2] == finished(answers[2], kind="slogan", request="What is the capital of Portugal?").quality


@pytest.mark.parametrize(
    ("request_", "better", "worse"),
    [
        ("invite parents to the play on 12 May at 6 pm", "Come to the play on 12 May at 6 pm, dear parents!",
         "Come to the play on 10 May at 6 pm, dear parents!"),
        ("the pool opens at 6:30", "The pool opens at 6:30 from now on.", "The pool opens at 6 from now on."),
        ("apologise for a late delivery", "We are sorry for the late delivery and for the long wait.",
         "We are sorry for the late delivery and sorry for the late delivery."),
        ("names for a black cat", "1. Black cat\n2. Coal cat\n3. Ink cat", "1. Black cat\n2. Ink cat\n3. Black cat"),
    ],
)  # fmt: skip
def test_figures_that_were_given_and_words_that_are_not_said_again_are_better(
    request_: str, better: str, worse: str
) -> None:
    assert finished(better, request=request_).quality > finished(worse, request=request_).quality


def test_a_number_of_things_that_is_asked_for_need_not_be_said() -> None:
    text = "Plant beans.\nWater them.\nPull the weeds."
    asked = [finished(text, kind="write", request=words).quality for words in ("3 garden tips", "three garden tips")]
    assert asked[0] == asked[1]


def likelihoods(*texts: tuple[str, Sequence[float]]) -> list[float]:
    written = [WrittenText(text, "stop", 9, tuple(TokenLogprob("", each) for each in told)) for text, told in texts]
    asked = KINDS["story"].messages("a fox")
    found = finish_all(Reply(tuple(written), "starter"), messages=asked, kind=KINDS["story"], language="en")
    return [each.likelihood for each in found]


def test_a_text_is_less_likely_with_every_slip_and_with_every_word() -> None:
    plain, slip, longer = likelihoods(
        ("The fox ran home.", [-1.0] * 5),
        ("The fox ran its head.", [-1.0] * 4 + [-9.0]),
        ("The fox ran home, and then it ran back again.", [-1.0] * 11),
    )
    assert plain > longer > slip


def test_long_texts_are_as_likely_as_their_words_on_average() -> None:
    hundred, two_hundred = likelihoods(*((" ".join(["fox"] * count), [-1.0] * count) for count in (100, 200)))
    assert hundred == pytest.approx(two_hundred)


def test_likelihood_counts_only_where_it_is_known_of_all_texts() -> None:
    assert likelihoods(("The fox ran home.", [-1.0] * 5), ("The fox sat down.", [])) == [0.0, 0.0]
    assert likelihoods(("The fox ran home.", [-1.0] * 5), ("", []))[0] < 0.0
