"""The shipped starter: small, on topic, and able to stop."""

from dataclasses import asdict
from random import Random

import pytest
import torch

from bot.common.kinds import load_kinds
from engine.api.models import STARTER_FOLDER
from engine.models.loader import Base, load_base
from recipes import corpus
from recipes.grammar import KINDS, LANGUAGES, TOPIC_KINDS, Language
from recipes.starter import measure


@pytest.fixture(scope="module")
def starter() -> Base:
    return load_base("starter", device=torch.device("cpu"))


def test_the_weights_folder_is_at_most_12_megabytes() -> None:
    files = list(STARTER_FOLDER.iterdir())
    assert {f.name for f in files} >= {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors"}
    assert sum(f.stat().st_size for f in files) <= 12_000_000


def test_the_starter_has_room_for_a_conversation(starter: Base) -> None:
    assert starter.model.config.max_position_embeddings >= 512
    assert starter.tokenizer.eos_token == "<|end|>"


@pytest.mark.parametrize(("language", "share"), [("en", 0.8), ("zh", 0.9)])
@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_most_texts_hold_a_topic_that_training_never_saw_and_all_end(
    starter: Base, language: Language, share: float, count: int
) -> None:
    samples = measure.held_out_samples(starter.model, starter.tokenizer, language, count=count, seed=1)
    assert len(samples) == 7 * count
    assert sum(s.on_topic for s in samples) / len(samples) >= share
    assert sum(s.ended for s in samples) >= 7 * count - 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_nearly_all_texts_hold_an_everyday_topic(starter: Base, language: Language) -> None:
    random = Random(1)
    asked = [(kind, corpus.themed_topic(language, random).text) for kind in TOPIC_KINDS for _ in range(8)]
    prompts = [
        [{"role": "system", "content": corpus.instructions(kind, language)[0]}, {"role": "user", "content": topic}]
        for kind, topic in asked
    ]
    torch.manual_seed(1)
    texts = measure.generate(starter.model, starter.tokenizer, prompts, temperature=0.9, min_p=0.05)
    hits = [topic.casefold() in text.casefold() for (_, topic), (text, _) in zip(asked, texts, strict=True)]
    assert sum(hits) / len(hits) >= 0.9


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_ends_within_its_tokens(starter: Base, language: Language) -> None:
    kinds = load_kinds(model=["starter"]).by_name
    topic = {"en": "the last lighthouse", "zh": "最后的灯塔"}[language]
    torch.manual_seed(0)
    for kind in (kinds[name] for name in KINDS):
        prompts = [[asdict(message) for message in kind.messages(topic)]] * 6
        texts = measure.generate(starter.model, starter.tokenizer, prompts, temperature=0.9, max_tokens=kind.max_tokens)
        assert sum(ended for _, ended in texts) >= 5, kind.name
        assert len({text for text, _ in texts}) >= 4, kind.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_topic_for_the_last_text_is_taken_up(starter: Base, language: Language) -> None:
    topic, text = {"en": ("green tea", "Green tea, for everyone."), "zh": ("绿茶", "绿茶，天天都好。")}[language]
    wish, name = {"en": ("make it about old maps", "old maps"), "zh": ("改成老地图", "老地图")}[language]
    asked = [
        {"role": "system", "content": corpus.instructions("slogan", language)[0]},
        {"role": "user", "content": topic},
        {"role": "assistant", "content": text},
        {"role": "user", "content": wish},
    ]
    torch.manual_seed(0)
    texts = measure.generate(starter.model, starter.tokenizer, [asked] * 20, temperature=0.7, min_p=0.05)
    assert sum(name in text.casefold() for text, _ in texts) >= 16
