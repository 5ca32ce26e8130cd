"""What copies others is told from what is merely alike, short, or one's own."""

from engine.runs.run_dir import Check, Reason, RunReport
from engine.runs.versions import licence_of, make_card, read_card, write_card
from engine.safety.near_copy import CopyIndex

POEM = (
    "Slow boats leave the old harbour before the town is awake, and the gulls who know their names follow them to"
    " where the water forgets every street and every bell of the morning."
)
CHINESE = "清晨的旧港口还没有醒来，慢慢的小船已经离开，熟悉它们名字的海鸥一路跟着，直到海水忘记了每一条街道和钟声。"


def protecting(*texts, owner=""):
    overlap = CopyIndex()
    for text in texts:
        overlap.add(text, owner)
    return overlap


def test_whole_partial_and_thinly_changed_copies_are_told():
    overlap = protecting(POEM, CHINESE)
    assert overlap.is_copy(POEM.upper())
    assert overlap.is_copy(f"Listen: {POEM} So it goes.")
    assert overlap.is_copy(CHINESE.replace("，", " "))
    changed = POEM.replace("old", "big").replace("names", "homes").replace("forgets", "forgave")
    assert overlap.is_copy(changed)
    assert overlap.is_copy(" ".join([POEM] * 2))


def test_a_long_run_inside_of_a_longer_text_is_a_copy():
    long = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60))
    own = " ".join(f"own{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200))
    assert protecting(long).is_copy(f"{own} {long}")


def test_other_texts_short_ones_and_quotes_are_no_copies():
    overlap = protecting(POEM, CHINESE, "green tea, warm cups and slow boats")
    assert not overlap.is_copy("green tea, warm cups and slow boats"), "a slogan may be written twice"
    assert not overlap.is_copy(
        "The library opens at nine, and whoever brings a friend gets two cups of tea for the price of one."
    )
    assert not overlap.is_copy(
        "He quoted: slow boats leave the old harbour. Then he told of trains, of rain, of dogs at stations."
    )


def test_what_is_ones_own_may_be_repeated():
    overlap = protecting(POEM, owner="ada")
    assert not overlap.is_copy(POEM, "ada") and overlap.is_copy(POEM, "bob")
    overlap.add(POEM, "cyd")
    assert overlap.is_copy(POEM, "ada")


def test_a_card_tells_where_a_version_comes_from_and_names_nobody(tmp_path):
    checks = (
        Check("quality", "kl", 1.0, 3.0, ok=True),
        Check("satisfaction", "chat 1a2b3c4d, high", 0.1, 0.0, ok=True),
    )
    report = RunReport(passed=True, reason=Reason("better", {"gain": 0.07}), checks=checks, counts={"ratings": 50})
    card = make_card(
        report, model="starter", run=3, made_at="2026-11-27T03:30:00+00:00", objective="kto", consent_text=1
    )
    assert (card.licence, card.base, card.gain, len(card.checks)) == ("Apache-2.0", "starter", 0.07, 1)
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card and b"1a2b3c4d" not in (tmp_path / "card.json").read_bytes()
    (tmp_path / "card.json").write_text("{}")
    assert read_card(tmp_path) is None


def test_a_licence_is_what_the_models_own_card_says(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert licence_of(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\ntags:\n- text\nlicense: apache-2.0\nlanguage: en\n---\n# A model\n")
    assert licence_of(str(tmp_path)) == "apache-2.0"
    assert licence_of("nobody/has-this-model") is None
