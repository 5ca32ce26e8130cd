"""What is each generator's own about a night: the tilt of the VAE's prior, and a step that is large enough for both."""

import math
import time

import pytest
import torch

from engine.api.models import SHIPPED
from engine.api.types import Message
from engine.evaluation.metrics import divergence
from engine.evaluation.sampling import Prompt, Replies, sample_replies
from engine.latent.training import tilt_prior
from engine.models.loader import load_base
from engine.runs.config import RunConfig
from engine.training.rloo import train_on_policy
from engine.training.stage import Checkpoints, Curves, TrainingStage, add_adapter, trained_parameters
from recipes import corpus

TOPICS = ("green tea", "our volunteers", "the night bus", "a lost key", "old trees", "the choir", "clean water", "bees")


def asks(replies: Replies) -> torch.Tensor:
    return torch.tensor([0.9 if "?" in text else 0.1 for text in replies.texts], dtype=torch.float64)


class Lesson:
    """A fresh adapter on a shipped generator, and what a stage of training needs around it."""

    def __init__(self, name: str, **changes: object) -> None:
        sampling = {"max_new_tokens": 48, "min_p": 0.05, "temperature": 0.9}
        self.config = RunConfig(base=str(SHIPPED[name]), threads=1, **sampling, **changes)
        self.base = load_base(name)
        self.model = add_adapter(self.base, self.config)
        told = corpus.instructions("slogan", "en")[0]
        asked = [(Message("system", told), Message("user", topic)) for topic in TOPICS]
        self.prompts = [Prompt.of(self.base, messages) for messages in asked]
        self.stage = TrainingStage(
            self.base, self.model, self.config, self.prompts, self.write, asks,
            Checkpoints(trained_parameters(self.model)), time.monotonic() + 600.0, self.distance, self.config.kl_budget,
            lambda *_: None, Curves(),
        )  # fmt: skip

    def write(self, prompts: list[Prompt], count: int, seed: int) -> Replies:
        return sample_replies(self.model, self.base, prompts, config=self.config, count=count, seed=seed)

    def distance(self) -> float:
        return float(divergence(self.model, self.base, self.write(self.prompts, 64, 1).rows, max_tokens=4000).mean())

    def asking(self) -> float:
        return float(asks(self.write(self.prompts, 256, 7)).mean())


def test_the_tilted_prior_writes_more_of_what_the_taste_head_likes_at_a_cost_that_is_known(one_thread: None) -> None:
    lesson = Lesson("vae", kl_budget=1.0)
    before = lesson.asking()
    texts = lesson.write(lesson.prompts, 384, 3)
    tilt_prior(lesson.stage, lesson.base.model, texts, asks(texts))
    assert lesson.asking() > before + 0.08
    assert lesson.base.model.prior_kl(list(lesson.prompts[0].tokens)) == pytest.approx(0.9, rel=1e-4)
    assert lesson.stage.curves.kl == [pytest.approx(0.9, abs=0.02)], "nothing but the prior has moved"


def test_a_tilt_towards_nothing_stays_where_it_is(one_thread: None) -> None:
    lesson = Lesson("vae")
    texts = lesson.write(lesson.prompts, 64, 3)
    tilt_prior(lesson.stage, lesson.base.model, texts, torch.full((64,), 0.5, dtype=torch.float64))
    assert math.isfinite(lesson.distance())


@pytest.mark.parametrize("name", [pytest.param("vae", marks=pytest.mark.slow), "gan"])
def test_the_on_policy_stage_moves_a_generator_far_enough_to_be_seen(
    name: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.training.rloo.LEAST_DIVERSITY", 0.0)  # of eight prompts it is a matter of chance
    lesson = Lesson(name, policy_steps=36, policy_prompts=8, novelty_weight=0.0)
    before = lesson.asking()
    train_on_policy(lesson.stage)
    assert 0.05 < lesson.stage.curves.kl[-1] <= lesson.config.kl_budget
    assert lesson.asking() > before + 0.03
