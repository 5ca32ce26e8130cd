"""What nights teach: people with a hidden taste rate the starter's texts; how well do they like what comes next?

`python -m benchmarks learning` has the seasons, `variants` the ways to learn from the same night, `noise` what must not
be learned.
"""

import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from peft import LoraConfig, PeftModelForCausalLM

from benchmarks.seasons import Season, Standing, head_of, reachable, standing, starter
from benchmarks.tables import Table
from bot.sandbox.people.raters import COIN_TOSSES, Temper
from bot.sandbox.people.tastes import TASTES
from engine.data.dataset import RatedGeneration, examples_of
from engine.data.trl_format import kto_record
from engine.models.loader import load_base
from engine.runs.config import RunConfig

SEASONS = ("calm", "factual", "poetic", "leisurely", "wry")
"""Tastes of length, style and mood, one seed each."""
NOISY = Temper(noise=0.15, silence=0.0, contrarians=0.0, strictness_spread=0.0)
QUIET = Temper(noise=0.3, silence=0.0, contrarians=0.0, strictness_spread=0.0, lurkers=0.7)
NIGHTS = 3
GAIN = 0.1
TRL_RATES = (1e-6, 1e-3, 3e-3)
"""TRL's default, and what a sweep found best for this adapter."""
_COLUMNS = [
    "taste", "liking today", "reachable", "after 50 ratings, head alone", "after one night", "after three nights",
    "… a single text", "distinct-2 / base", "… single texts", "perplexity / base", "nights",
]  # fmt: skip
_ABOUT = (
    " Liking of the texts that are shown (the best of 4 by the taste head), on topics that nobody rated; in"
    " brackets the share of what could be had, the best of 32 of the base's texts by the hidden taste itself."
)
_VARIANTS: dict[str, dict[str, Any]] = {
    "KTO, rated texts only (OBJECTIVE=kto)": {"policy_steps": 0},
    "BCO, rated texts only": {"policy_steps": 0, "loss": "bco"},
    "advantage-weighted, rated texts only": {"policy_steps": 0, "loss": "advantage"},
    "KTO, then the taste head's on-policy steps (OBJECTIVE=taste)": {},
    "… the same without novelty": {"novelty_weight": 0.0},
}


def measure() -> Table:
    """Seasons of three nights."""
    seasons = [_season(name, seed, NOISY, shown_to=1) for seed, name in enumerate(SEASONS)]
    note = f"400 ratings a night, 15 % of them random.{_ABOUT} Goals: 25, 60 and 90 %.{_of_the_gate(seasons)}"
    return Table("Learning", note, _COLUMNS, _with_median(seasons))


def measure_few() -> Table:
    """The same with people who mostly keep silent, and say anything."""
    seasons = [_season(name, seed, QUIET, shown_to=3) for seed, name in enumerate(SEASONS[:3])]
    note = (
        f"Seven in ten of 40 people never react, 30 % of the ratings are random.{_ABOUT} Goal at last: 50"
        f" %.{_of_the_gate(seasons)}"
    )
    return Table("Learning from few", note, _COLUMNS, _with_median(seasons))


def measure_variants() -> Table:
    """Ways to learn from the same 400 ratings of one evening, each a single night, none held back by the gate."""
    rows = []
    for seed, name in enumerate(SEASONS[:3]):
        season = Season(TASTES[name], seed, NOISY)
        season.evening()
        before = standing(starter().model, season.taste, None)
        for label, changes in _VARIANTS.items():
            again = Season(season.taste, seed, NOISY, rows=season.rows)
            report = again.night(changes, promote_always=True)
            kl = report.reason.numbers.get("kl", float("nan"))
            rows.append(_variant_row(name, label, before, standing(again.model, season.taste, None), f"{kl:.2f}"))
        for rate in TRL_RATES:
            model = train_trl(season.rows, rate)
            label = f"TRL's KTOTrainer, learning rate {rate:g}"
            rows.append(_variant_row(name, label, before, standing(model, season.taste, None), ""))
    columns = [
        "taste",
        "way",
        "liking before",
        "a single text's liking",
        "distinct-2 / base",
        "perplexity / base",
        "KL",
    ]
    note = "The same 400 ratings of one evening, 15 % of them random; single texts, without the taste head's choice."
    return Table("Ways to learn", note, columns, rows)


def measure_noise() -> Table:
    """Evenings of coin tosses: how many are trained on, and how many promoted."""
    trained = promoted = 0
    texts = Season(TASTES["calm"], 0, COIN_TOSSES)
    texts.evening()
    for seed in range(40):
        chance = Random(f"noise {seed}")
        season = Season(TASTES["calm"], seed, COIN_TOSSES, rows=[_tossed(row, chance) for row in texts.rows])
        report = season.night()
        trained += report.reason.code != "no_signal"
        promoted += report.passed
    rows = [["random reactions to 400 texts", "40", str(trained), str(promoted), "≤ 1"]]
    return Table("Learning from nothing", "Real runs.", ["what", "runs", "trained", "promoted", "goal"], rows)


def train_trl(rows: list[RatedGeneration], rate: float) -> PeftModelForCausalLM:
    """TRL's KTOTrainer on the same examples, with our adapter's shape, 3 epochs and batches of 32."""
    from datasets import Dataset  # noqa: PLC0415 - the other tables are measured without them
    from trl.trainer.kto_config import KTOConfig  # noqa: PLC0415
    from trl.trainer.kto_trainer import KTOTrainer  # noqa: PLC0415

    ours, base = RunConfig(), load_base("starter")
    keys = ("prompt", "completion", "label")
    records = [kto_record(example) for example in examples_of(rows)[0]]
    Random(0).shuffle(records)  # TRL takes them in the order given
    lora = LoraConfig(task_type="CAUSAL_LM", r=ours.lora_rank, lora_alpha=ours.lora_rank, target_modules="all-linear")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = KTOConfig(
            output_dir=folder, per_device_train_batch_size=ours.batch_size, num_train_epochs=ours.epochs, bf16=False,
            learning_rate=rate, report_to=[], disable_tqdm=True, save_strategy="no", gradient_checkpointing=False,
        )  # fmt: skip
        data = Dataset.from_list([{key: record[key] for key in keys} for record in records])
        trainer = KTOTrainer(
            model=base.model, args=settings, train_dataset=data, processing_class=base.tokenizer, peft_config=lora
        )
        trainer.train()
    model = trainer.model
    assert isinstance(model, PeftModelForCausalLM), "TRL has put its adapter on"
    return model.eval()


@dataclass(frozen=True, slots=True)
class _Season:
    """One season as a row of the table, and what the gate made of each candidate."""

    row: list[str]
    candidates: list[tuple[float, bool]]
    """What a candidate's single texts truly gained in liking on those of the version that served; was it promoted?"""


def _season(name: str, seed: int, temper: Temper, *, shown_to: int) -> _Season:
    season = Season(TASTES[name], seed, temper, shown_to=shown_to)
    before, most = standing(starter().model, season.taste, None), reachable(season.taste)
    after: list[Standing] = []
    verdicts, early, candidates = [], before, []
    for night in range(NIGHTS):
        season.evening()
        if night == 0:
            early = standing(starter().model, season.taste, head_of(_first_ratings(season.rows, 50)))
        alone = after[-1].alone if after else before.alone
        report = season.night()
        verdicts.append("promoted" if report.passed else report.reason.code)
        after.append(standing(season.model, season.taste, head_of(season.rows)))
        if season.candidate is not None:
            heard = after[-1] if report.passed else standing(season.candidate, season.taste, None)
            candidates.append((heard.alone - alone, report.passed))

    def told(liking: float) -> str:
        return f"{liking:.3f} ({(liking - before.chosen) / (most - before.chosen):.0%})"

    last = after[-1]
    row = [
        name, f"{before.chosen:.3f}", f"{most:.3f}", told(early.chosen), told(after[0].chosen), told(last.chosen),
        told(last.alone), f"{last.distinct_2 / before.distinct_2:.2f}",
        f"{last.alone_distinct_2 / before.alone_distinct_2:.2f}", f"{last.perplexity / before.perplexity:.2f}",
        ", ".join(verdicts),
    ]  # fmt: skip
    return _Season(row, candidates)


def _of_the_gate(seasons: Sequence[_Season]) -> str:
    """How many candidates of a true gain of ten points were promoted, and of those that were worse."""
    candidates = [each for season in seasons for each in season.candidates]
    better = [promoted for gain, promoted in candidates if gain >= GAIN]
    worse = [promoted for gain, promoted in candidates if gain < 0.0]
    return (
        f" Of {len(better)} candidates whose single texts were truly {100 * GAIN:.0f} points better {sum(better)} were"
        f" promoted (goal 90 %), of {len(worse)} that were truly worse {sum(worse)}."
    )


def _first_ratings(rows: list[RatedGeneration], count: int) -> list[RatedGeneration]:
    """As many rows as hold the first `count` ratings."""
    taken, held = [], 0
    for row in rows:
        if held >= count:
            break
        taken.append(row)
        held += len(row.ratings)
    return taken


def _with_median(seasons: Sequence[_Season]) -> list[list[str]]:
    rows = [season.row for season in seasons]
    shares = [[float(cell.split("(")[1].rstrip("%)")) for cell in row[3:7]] for row in rows]
    medians = [f"({statistics.median(column):.0f}%)" for column in zip(*shares, strict=True)]
    return [*rows, ["median", "", "", *medians, "", "", "", ""]]


def _variant_row(name: str, label: str, before: Standing, after: Standing, kl: str) -> list[str]:
    diversity, perplexity = after.distinct_2 / before.distinct_2, after.perplexity / before.perplexity
    return [name, label, f"{before.alone:.3f}", f"{after.alone:.3f}", f"{diversity:.2f}", f"{perplexity:.2f}", kl]


def _tossed(row: RatedGeneration, chance: Random) -> RatedGeneration:
    return replace(row, ratings=tuple(replace(each, value=chance.choice((1.0, -1.0))) for each in row.ratings))
