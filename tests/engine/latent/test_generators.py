"""The VAE and the GAN as members of the engine: served, asked for several texts, taught by a real run, served again."""

import asyncio
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.api.models import SHIPPED
from engine.api.types import Message, Sampling
from engine.data.dataset import RatedGeneration, Rating, write_dataset
from engine.errors import ModelError
from engine.evaluation.sampling import Prompt, sample_replies
from engine.inference.engine import Engine
from engine.latent.slots import lift
from engine.models.loader import load_base, load_to_serve
from engine.runs.config import GateBounds, RunConfig, write_config
from engine.runs.run_dir import RunReport
from engine.runs.versions import publish
from engine.train import run
from recipes import corpus
from recipes.latent import build, interpolate
from recipes.latent.skeletons import unseen_words

MODELS = ("vae", "gan")
TOPICS = ("green tea", "our volunteers", "绿茶", "the night bus", "a lost key", "zorblatt", "夜班车", "old trees")
QUICK = RunConfig(
    max_new_tokens=48, replay_prompts=24, replay_texts=48, policy_steps=2, policy_prompts=8, epochs=6, min_p=0.05,
    temperature=0.9, threads=1, gate=GateBounds(min_diversity=0.0, max_chance=1.0),
)  # fmt: skip


def asked(topic: str) -> tuple[Message, ...]:
    language = "en" if topic.isascii() else "zh"
    return (Message("system", corpus.instructions("slogan", language)[0]), Message("user", topic))


async def answers(engine: Engine, model: str, topics: tuple[str, ...], **sampling: object) -> list[str]:
    drawn = Sampling(max_tokens=48, **{"temperature": 0.9, "min_p": 0.05, **sampling})  # type: ignore[arg-type]
    streams = [engine.submit(asked(topic), drawn, model=model) for topic in topics]
    return [(await stream.whole())[0].text for stream in streams]


async def many(engine: Engine, model: str) -> list[str]:
    """Texts on each topic, no two of them by the same noise."""
    numbered = [(topic, 100 * n + i) for n in range(16) for i, topic in enumerate(TOPICS)]
    texts = await asyncio.gather(*(answers(engine, model, (topic,), seed=seed) for topic, seed in numbered))
    return [text for (text,) in texts]


@pytest.mark.parametrize("model", MODELS)
async def test_answers_are_about_the_topic_in_its_language(model: str) -> None:
    async with Engine(load_to_serve(model)) as engine:
        texts = [(await answers(engine, model, (topic,), seed=10 + n))[0] for n, topic in enumerate(TOPICS)]
    held = [topic.casefold() in text.casefold() for topic, text in zip(TOPICS, texts, strict=True)]
    assert sum(held) >= 6, texts
    chinese = [
        any("\u4e00" <= letter <= "\u9fff" for letter in lift(text, t)) for t, text in zip(TOPICS, texts, strict=True)
    ]
    assert sum(one == (not t.isascii()) for one, t in zip(chinese, TOPICS, strict=True)) >= 7, texts
    assert not any("\ue000" <= letter <= "\ue003" for text in texts for letter in text)


@pytest.mark.parametrize("model", MODELS)
async def test_a_seed_decides_a_text_whoever_else_is_written(model: str) -> None:
    async with Engine(load_to_serve(model)) as engine:
        alone = [(await answers(engine, model, (topic,), seed=5))[0] for topic in TOPICS[:3]]
        together = await answers(engine, model, TOPICS, seed=5)
        others = [(await answers(engine, model, TOPICS[:1], seed=seed))[0] for seed in range(8)]
    assert together[:3] == alone
    assert len(set(others)) > 2, "the noise makes a difference"


async def test_texts_to_choose_from_have_noise_of_their_own() -> None:
    async with Engine(load_to_serve("vae"), threads=1) as engine:
        stream = engine.submit(asked("green tea"), Sampling(max_tokens=48, seed=1), model="vae", n=4)
        assert len({text.text for text in await stream.whole()}) > 1


def season(model: str, count: int = 96) -> list[RatedGeneration]:
    """Texts of the model itself, rated by people who like short ones."""
    base = load_base(model)
    topics = [f"{TOPICS[n % 8]} {n}" for n in range(count)]
    prompts = [Prompt.of(base, asked(topic)) for topic in topics]
    texts = sample_replies(base.model, base, prompts, config=QUICK, count=count, seed=1).texts
    middle = sorted(map(len, texts))[count // 2]
    rng = random.Random(0)
    return [
        RatedGeneration(
            id=f"{n}", kind="slogan", chat="room", author=f"author {n % 9}", version=model, messages=asked(topics[n]),
            text=text, ratings=(Rating(f"rater {rng.randrange(12)}", 1.0 if len(text) < middle else -1.0),),
        )
        for n, text in enumerate(texts)
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["vae", pytest.param("gan", marks=pytest.mark.slow)])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, RunReport]:
    model = str(request.param)
    folder = tmp_path_factory.mktemp(model)
    torch.set_num_threads(1)
    write_dataset(folder / "dataset.jsonl", season(model))
    write_config(folder, replace(QUICK, base=str(SHIPPED[model])))
    return model, folder, run(folder)


def test_a_night_trains_judges_and_says_why(night: tuple[str, Path, RunReport]) -> None:
    model, folder, report = night
    assert report.reason.code not in {"nan", "too_few", "one_sided", "one_rater"}
    names = {check.name for check in report.checks}
    assert {"kl", "distinct_2", "fluency", "golden", "better"} <= names
    assert report.curves["loss"]
    assert 0.0 < max(report.curves["kl"]) < 6.0
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    if model == "vae":
        assert report.curves["kl"][0] > 0.3, "the prior is tilted before the decoder learns"


def test_a_short_night_of_the_gan_trains_and_judges(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset.jsonl", season("gan", count=48))
    write_config(tmp_path, replace(QUICK, base=str(SHIPPED["gan"]), epochs=1, policy_steps=0, replay_texts=24))
    report = run(tmp_path)
    assert report.checks and report.curves["loss"]
    assert 0.0 < report.curves["kl"][-1] < 6.0
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


async def test_its_version_is_served_beside_the_base(night: tuple[str, Path, RunReport], tmp_path: Path) -> None:
    model, folder, _ = night
    version = publish(folder / "adapter", tmp_path / "versions", "v1")
    async with Engine(load_to_serve(model)) as engine:
        await engine.load_adapter("v1", version)
        before, after = [await many(engine, version) for version in (model, "v1")]
        again = await many(engine, model)
    assert again == before, "the base stays what it was"
    assert after != before
    assert sum(map(len, after)) < sum(map(len, before)), "the audience likes short texts"


def test_a_folder_of_another_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = shutil.copytree(SHIPPED["gan"], tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 0}))
    with pytest.raises(
        ModelError, match=r"has the format 0, .* build it anew with `python -m recipes.latent.build gan`"
    ):
        load_base(str(folder))


def test_a_corpus_that_is_too_small_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["gan", "--texts", "10"]) == 2
    assert "A corpus of 10 texts is too small to learn from: ask for 1,000 or more." in capsys.readouterr().err


@pytest.mark.parametrize("model", [pytest.param("vae", marks=pytest.mark.slow), "gan"])
def test_the_recipe_makes_a_folder_that_serves(model: str, tmp_path: Path) -> None:
    made = build.main(
        [model, "--texts", "1000", "--steps", "2", "--samples", "40", "--out", str(tmp_path / "made"), "--threads", "1"]
    )
    assert made == 0
    base = load_base(str(tmp_path / "made"))
    told = json.loads((tmp_path / "made" / build.CURVES_FILE).read_text(encoding="utf-8"))
    assert told["steps"] == 2
    assert base.model.noise.count == {"vae": 32, "gan": 16}[model]


def test_the_way_between_two_texts_begins_and_ends_with_them(capsys: pytest.CaptureFixture[str]) -> None:
    ends = ("Keep calm and blame green tea.", "Who needs more green tea?")
    assert interpolate.main([*ends, "--topic", "green tea", "--steps", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert (lines[0], lines[-1]) == ends
    assert all("green tea" in line.casefold() for line in lines)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a", "b", "--model", "gan"], "The model 'gan' is no VAE: only a VAE has a latent space to walk through."),
        (["", "b"], "Give two texts of 1 to 47 tokens each; these have 0 and 1."),
        (["a", "b", "--model", "nowhere"], "There is no model 'nowhere'"),
    ],
)
def test_what_cannot_be_walked_is_told(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert interpolate.main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_words_that_no_lesson_names_are_told() -> None:
    assert unseen_words("vae", "green tea for the zorblatt") == ["zorblatt"]
    assert unseen_words("vae", "绿茶") == []
    assert unseen_words("vae", "岚砚") == ["岚砚"]
    assert unseen_words("gan", "zorblatt") == []
    assert unseen_words("starter", "zorblatt") == []
