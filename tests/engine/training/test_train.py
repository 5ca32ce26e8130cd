"""Real training of a tiny model that writes a's or z's, for people who like the a's; and the gate's answer to it."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from bot.reporting.run_messages import share_done
from engine.data.dataset import RatedGeneration, write_dataset
from engine.errors import ModelError
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.models.loader import load_base
from engine.models.logprobs import collate, encode, log_probs
from engine.runs.config import GateBounds, RunConfig, write_config
from engine.runs.run_dir import Progress, RunReport, read_progress, read_report
from engine.runs.versions import publish
from engine.train import run
from tests.support.learning.learning_fixtures import audience, rated, save_tiny_model

# All a's are half of the model's alphabet, so half of its diversity has to go.
BOUNDS = GateBounds(min_diversity=0.3, max_perplexity_rise=0.5)
SMALL = RunConfig(
    lora_rank=16,
    max_new_tokens=16,
    replay_prompts=32,
    replay_texts=32,
    policy_steps=8,
    policy_prompts=8,
    threads=1,
    gate=BOUNDS,
    epochs=2,
)


@pytest.fixture(scope="module")
def night(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport]:
    """A run on 120 ratings, nine in ten of them for the a's."""
    run_dir = tmp_path_factory.mktemp("night")
    return run_dir, train_on(run_dir, audience(120), taught)


def train_on(run_dir: Path, rows: list[RatedGeneration], model: Path, **changes: object) -> RunReport:
    write_dataset(run_dir / "dataset.jsonl", rows)
    write_config(run_dir, replace(SMALL, base=str(model), **changes))
    return run(run_dir)


def mean_log_prob(model_folder: Path, adapter: Path | None, texts: list[str]) -> float:
    base = load_base(str(model_folder))
    model = base.model if adapter is None else PeftModel.from_pretrained(base.model, str(adapter)).eval()
    rows = [encode(base, rated(i, text, 1.0).messages, text) for i, text in enumerate(texts)]
    with torch.no_grad():
        return float(log_probs(model, collate(rows, pad_id=1, device=base.model.device)).mean())


def share_of_a(replies: Replies) -> float:
    return sum("a" in text for text in replies.texts) / len(replies.texts)


def test_a_better_candidate_is_promoted_and_writes_what_people_like(night, taught):
    run_dir, report = night
    assert (report.passed, report.reason.code) == (True, "better")
    assert report.reason.numbers["gain"] > 0.1
    base = load_base(str(taught))
    prompts = [Prompt.of(base, rated(i, "x", 1.0).messages) for i in range(40)]
    before = share_of_a(sample_replies(base.model, base, prompts, config=SMALL, count=80, seed=5))
    model = PeftModel.from_pretrained(base.model, str(run_dir / "adapter")).eval()
    after = share_of_a(sample_replies(model, base, prompts, config=SMALL, count=80, seed=5))
    assert after > before + 0.25


def test_the_loss_falls_and_the_kl_keeps_its_budget(night):
    _, report = night
    loss = report.curves["loss"]
    assert sum(loss[-5:]) < sum(loss[:5])
    assert report.curves["kl"][-1] <= SMALL.kl_budget


def test_liked_texts_gain_on_disliked_ones(night, taught):
    run_dir, _ = night
    liked, disliked = ["aabaabaa", "abaabab"], ["zzyzzyzz", "zyzzyzy"]
    before = mean_log_prob(taught, None, liked) - mean_log_prob(taught, None, disliked)
    after = [mean_log_prob(taught, run_dir / "adapter", texts) for texts in (liked, disliked)]
    assert after[0] - after[1] > before + 1.0


def test_a_run_takes_no_more_steps_than_it_may_whatever_has_been_rated(taught, tmp_path):
    report = train_on(tmp_path, audience(120), taught, max_rated_steps=3, policy_steps=2)
    assert (len(report.curves["loss"]), len(report.curves["liking"])) == (3, 2)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["stage"] == "training"][-1]
    assert last["done"] == last["total"]


def test_a_run_leaves_its_folder_as_promised(night):
    run_dir, report = night
    assert read_report(run_dir) == report
    assert {path.name for path in run_dir.iterdir()} == {
        "config.json", "dataset.jsonl", "metrics.jsonl", "adapter", "report.json", "report.html",
    }  # fmt: skip
    assert {path.name for path in (run_dir / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    last = read_progress(run_dir / "metrics.jsonl")
    assert last is not None
    assert (last.stage, last.done, last.total) == ("report", 1, 1)


def test_the_page_needs_nothing_but_itself(night):
    run_dir, report = night
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "This run was promoted." in page
    assert "<svg" in page
    assert 'src="' not in page
    assert report.examples[0].before in page


def test_the_progress_counts_every_step(night):
    run_dir, report = night
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["stage"] == "training"]
    first = len(report.curves["loss"])
    assert [line["loss"] for line in steps[:first]] == list(report.curves["loss"])
    assert [line["done"] for line in steps] == sorted({line["done"] for line in steps})
    assert len(steps) > first, "the second stage is told of, too"
    assert all(line["done"] <= line["total"] == steps[0]["total"] for line in steps)


def test_the_share_that_is_done_grows_within_every_stage_and_never_falls(night):
    run_dir, _ = night
    lines = [Progress(**json.loads(line)) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    shares = [share_done(line) for line in lines]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    told = Counter(line.stage for line in lines)
    assert min(told["reference"], told["training"], told["judging"]) >= 2


def test_a_second_run_from_the_same_seed_gives_the_same_adapter_bit_for_bit(night, taught, tmp_path):
    first, report = night
    again = train_on(tmp_path, list(reversed(audience(120))), taught)
    file = Path("adapter") / "adapter_model.safetensors"
    assert (tmp_path / file).read_bytes() == (first / file).read_bytes()
    assert again.reason == report.reason


def test_ratings_of_the_opposite_taste_give_the_opposite(taught, tmp_path):
    report = train_on(tmp_path, audience(120, right=0.1), taught)
    liked, disliked = ["zzyzzyzz", "zyzzyzy"], ["aabaabaa", "abaabab"]
    assert report.passed
    after = [mean_log_prob(taught, tmp_path / "adapter", texts) for texts in (liked, disliked)]
    assert after[0] > after[1] + 1.0


def test_without_the_second_stage_it_is_plain_kto(taught, tmp_path):
    report = train_on(tmp_path, audience(120), taught, policy_steps=0)
    assert report.curves["liking"] == ()
    assert report.checks


@pytest.mark.parametrize("loss", ["bco", "advantage"])
def test_the_other_losses_learn_the_taste_as_well(taught, tmp_path, loss):
    train_on(tmp_path, audience(120), taught, policy_steps=0, loss=loss)
    after = [mean_log_prob(taught, tmp_path / "adapter", [text]) for text in ("aabaabaa", "zzyzzyzz")]
    before = [mean_log_prob(taught, None, [text]) for text in ("aabaabaa", "zzyzzyzz")]
    assert after[0] - after[1] > before[0] - before[1]


def test_random_ratings_are_refused_for_want_of_a_signal(taught, tmp_path):
    report = train_on(tmp_path, audience(100, right=0.5, seed=4), taught, epochs=1)
    assert (report.passed, report.reason.code) == (False, "no_signal")


def test_the_candidate_is_compared_with_the_champion(night, taught, tmp_path):
    champion = publish(night[0] / "adapter", tmp_path / "versions", "v1")
    report = train_on(tmp_path, audience(120), taught, champion=str(champion))
    assert report.reason.code == "not_better"
    assert report.reason.numbers["gain"] == pytest.approx(0.0, abs=1e-9)


def test_a_champion_that_is_gone_or_damaged_is_a_sentence(night, taught, tmp_path):
    damaged = publish(night[0] / "adapter", tmp_path / "versions", "damaged")
    (damaged / "adapter_model.safetensors").rename(damaged / "adapter_model.bin")
    for champion in (tmp_path / "gone", damaged):
        with pytest.raises(ModelError, match=f"champion's adapter {champion.name} cannot be loaded"):
            train_on(tmp_path, audience(30), taught, champion=str(champion), epochs=1, policy_steps=0)


def test_training_stops_at_the_kl_budget(taught, tmp_path):
    report = train_on(tmp_path, audience(60), taught, kl_budget=0.2, epochs=4, learning_rate=1e-2)
    assert report.curves["kl"][-1] <= 0.2
    assert max(report.curves["kl"]) > 0.2


def test_a_base_whose_values_are_not_numbers_ends_the_run_with_a_sentence(tmp_path):
    folder = save_tiny_model(tmp_path / "model")
    model = load_base(str(folder)).model
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    model.save_pretrained(folder)
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError, match="not numbers"):
        train_on(tmp_path / "run", audience(30), folder)


@pytest.mark.parametrize("architecture", ["qwen3", "gpt2"])
def test_other_architectures_train_and_get_a_verdict(tmp_path, architecture):
    folder = save_tiny_model(tmp_path / "model", architecture)
    (tmp_path / "run").mkdir()
    report = train_on(tmp_path / "run", audience(40), folder, epochs=1, policy_steps=2, policy_prompts=4)
    assert report.checks
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()


def test_texts_too_long_for_the_model_are_dropped_and_counted(taught, tmp_path):
    rows = [*audience(40), rated(999, "a" * 400, 1.0)]
    report = train_on(tmp_path, rows, taught, epochs=1, policy_steps=0)
    assert report.counts["dropped_too_long"] == 1
