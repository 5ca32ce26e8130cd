"""Models are asked the same and measured alike, and what is shown of it says what each number means."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from matplotlib.image import imread

from bot.cli import comparison as measures
from bot.cli.comparison import GRAMMAR, RATED, UNRATED, Ask, ModelResult, Night, Speed, make_asks, plan_for
from bot.cli.comparison_report import as_json, draw_quality, draw_satisfaction, markdown
from bot.common.errors import StartError
from bot.sandbox.people.tastes import TASTES, TOPICS
from engine.api.models import ModelSize, size_of
from engine.runs.text_metrics import count_pairs, words_of

PLAN = replace(plan_for(["starter"], kind="slogan", taste="lively"), texts=40, nights=3)


def some_asks(count: int = 40, seed: int = 1) -> list[Ask]:
    return make_asks(PLAN.kind, count, random.Random(seed), halves=(RATED, UNRATED))


def pairs_in(texts: Sequence[str]) -> int:
    return count_pairs([words_of(text) for text in texts])


def test_every_model_is_asked_the_same_and_half_of_it_on_topics_that_nobody_rates() -> None:
    asks = some_asks()
    assert asks == some_asks() != some_asks(seed=2)
    rated = {ask.asked.topic for ask in asks if ask.half == RATED}
    assert sum(ask.half == RATED for ask in asks) == 20
    assert rated <= {topic for topics in TOPICS.values() for topic in topics[::2]}
    assert {ask.asked.topic for ask in make_asks(PLAN.kind, 99, random.Random(3), halves=(RATED,))}.isdisjoint(
        ask.asked.topic for ask in asks if ask.half == UNRATED
    )
    assert {ask.language for ask in asks} == {"en", "zh"}


@pytest.mark.parametrize("kind", ["slogan", "title", "poem"])
def test_what_the_grammar_writes_is_well_formed(kind: str) -> None:
    plan = plan_for(["starter"], kind=kind, taste="lively")
    asks = make_asks(plan.kind, 30, random.Random(1), halves=(RATED, UNRATED))
    texts = measures.by_grammar(asks, random.Random(2))
    found = measures.quality(asks, texts, model="starter", pairs=pairs_in(texts), fluency=0.5)
    assert found.well_formed >= 0.9 and found.fluency == 0.5


def test_salad_and_repetition_show_as_such() -> None:
    asks = some_asks()
    good = measures.by_grammar(asks, random.Random(2))
    chance = random.Random(3)
    salad = [" ".join(chance.sample(text.split(), len(text.split()))) + " of of" for text in good]
    same = [f"Say yes to {ask.asked.topic} every day." for ask in asks]
    pairs = min(map(pairs_in, (good, salad, same)))
    of_good, of_salad, of_same = (
        measures.quality(asks, texts, model="starter", pairs=pairs, fluency=1.0) for texts in (good, salad, same)
    )
    assert of_good.well_formed > 0.9 and of_salad.well_formed < 0.1
    assert of_salad.memorised == 0.0 and of_good.memorised > 0.3 and of_same.memorised > 0.3
    assert of_same.different < 0.1 < of_good.different
    assert of_same.distinct_2 < of_good.distinct_2 and of_same.self_bleu > of_good.self_bleu


def test_liking_what_could_be_and_the_share_that_was_gained() -> None:
    taste = TASTES["lively"]
    asks = some_asks()
    dull, lively = ["Good."] * 40, ["Wow! 🎉"] * 40
    before, after = (measures.liking(taste, asks, texts) for texts in (dull, lively))
    assert before.mean < after.mean and before.margin == 0.0
    mixed = measures.liking(taste, asks, [d if ask.half == RATED else v for d, v, ask in zip(dull, lively, asks)])  # noqa: B905
    assert mixed.unrated == after.mean and mixed.mean == pytest.approx((before.mean + after.mean) / 2)
    assert mixed.margin > 0.0
    best = measures.best_by_topic(taste, [*asks, *asks], [*dull, *lively])
    assert statistics.fmean(best.values()) == pytest.approx(after.mean)
    assert measures.gain(0.4, 0.5, 0.6) == pytest.approx(0.5)
    assert measures.gain(0.4, 0.3, 0.6) == pytest.approx(-0.5)
    assert measures.gain(0.6, 0.7, 0.6) is None


def rows(plan: measures.ComparisonPlan = PLAN) -> list[ModelResult]:
    """Of two models, one of which was refused twice, and of the grammar."""
    asks = some_asks()
    texts = measures.by_grammar(asks, random.Random(2))
    quality = measures.quality(asks, texts, model="starter", pairs=pairs_in(texts), fluency=0.5)
    shown = measures.MeasuredTexts(texts, measures.Liking(0.4, 0.04, 0.39), quality)
    better = measures.MeasuredTexts(
        texts, measures.Liking(0.5, 0.04, 0.49), replace(quality, distinct_2=quality.distinct_2 / 2, fluency=0.7)
    )
    return [
        ModelResult(
            model="starter", shown=(shown, better, better, better), size=ModelSize(2_559_000, 5.1), reachable=0.6,
            alone=Speed(5.0, 12.0), together=Speed(25.0, 2.5),
            nights=(Night("better", has_passed=True), *[Night("not_better", has_passed=False)] * 2),
        ),
        ModelResult(
            model="/srv/models/other", shown=(shown,) * 4, reachable=0.4, alone=Speed(5.0, 12.0),
            together=Speed(25.0, 2.5), nights=(Night("failed", has_passed=False),) * 3,
        ),
        ModelResult(model=GRAMMAR, shown=(shown,)),
    ]  # fmt: skip


def test_the_table_has_a_row_for_each_model_and_a_line_for_each_number() -> None:
    told = markdown(PLAN, rows())
    table = [line for line in told.splitlines() if line.startswith("|")]
    assert len(table) == 5 and len({line.count("|") for line in table}) == 1
    assert "| starter | 2.56 | 5.1 | 5 / 25 | 12 / 2.5 | " in table[2]
    assert table[2].endswith("| 40 ± 4 | 50 ± 4 | 50 ± 4 | 60 | 50% | 50% | better + | not_better | not_better |")
    assert table[3].startswith("| other | – |") and table[3].endswith("| 40 | – | – | failed | failed | failed |")
    assert table[4].startswith("| the grammar itself |") and table[4].endswith("| – | – | – | – | – | – | – | – |")
    for head in table[0].strip("| ").split(" | ")[3:]:
        assert any(head.startswith(line[4:].partition("**")[0]) for line in told.splitlines() if line[:2] == "* "), head
    without = markdown(
        replace(PLAN, nights=0), [ModelResult(model="starter", shown=rows()[0].shown[:1], reachable=0.6)]
    )
    assert "liked before" in without and "night 1" not in without and "gained" not in without
    assert '"reason": "not_better"' in as_json(PLAN, some_asks(), rows())


def test_the_pictures_are_drawn_on_white() -> None:
    for png in (draw_satisfaction(PLAN, rows()), draw_quality(rows())):
        picture = imread(BytesIO(png))
        assert picture[0, 0].tolist() == [1.0] * 4 and picture.min() < 0.4


def test_a_wrong_wish_is_one_sentence(tmp_path: Path) -> None:
    twin = tmp_path / "starter"
    twin.mkdir()
    (twin / "config.json").write_text("{}")
    for names, kind, taste, says in (
        (["starter", "nothing"], "slogan", "lively", "There is no model 'nothing'"),
        ([" "], "slogan", "lively", "No model is named"),
        (["starter"], "write", "lively", "The kind 'write' cannot be compared: choose one of slogan"),
        (["starter"], "slogan", "loud", "There is no taste 'loud'"),
        (["starter", str(twin)], "slogan", "lively", "2 of the models are called starter"),
    ):
        with pytest.raises(StartError, match=says) as error:
            plan_for(names, kind=kind, taste=taste)
        assert error.value.exit_status == 2 and "\n" not in str(error.value)


def test_a_model_is_not_asked_for_a_kind_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.cli.comparison.resolve_model", lambda source: source)
    with pytest.raises(StartError, match="The model gan writes no poem: it knows slogan"):
        plan_for(["vae", "gan"], kind="poem", taste="lively")
    assert plan_for(["vae", "gan", "vae"], kind="slogan", taste="lively").models == ("vae", "gan")


def test_the_size_of_a_model_is_read_from_its_files(tmp_path: Path) -> None:
    size = size_of("starter")
    assert size is not None and 2.5e6 < size.parameters < 2.6e6 and 5.0 < size.megabytes < 5.3
    (tmp_path / "config.json").write_text("{}")
    assert size_of(str(tmp_path)) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    assert size_of(str(tmp_path)) is None
