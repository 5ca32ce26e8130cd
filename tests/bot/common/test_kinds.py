"""A kind is a few lines in a file; a mistake in them is named."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.__main__ import app
from bot.common.kinds import (
    MIN_P,
    SHIPPED,
    TAKEN,
    TEMPERATURE,
    TOP_P,
    InvalidKinds,
    Kinds,
    language_of_topic,
    load_kinds,
)
from bot.common.settings import OfflineSettings
from engine.api.models import context_of, names_of
from engine.api.types import Message, Sampling


def test_the_shipped_kinds_are_complete() -> None:
    kinds = load_kinds()
    assert list(kinds.by_name) == (
        "write slogan poem story post pitch title character scene article briefing script summary continue".split()
    )
    assert kinds.default.name == "write"
    for kind in kinds.by_name.values():
        assert all(1 <= len(text) <= 256 for text in kind.description.values())


GOOD = """[limerick]
emoji = "🎩"
max_tokens = 90
description.en = "A limerick"
description.zh = "打油诗"
instruction.en = "Write a limerick."
instruction.zh = "写打油诗。"
"""
END = 'instruction.zh = "写打油诗。"\n'
PROFILE = '[profiles.big]\nmatch = ["*"]\n'


@pytest.mark.parametrize(
    ("before", "after", "line", "complaint"),
    [
        ("[limerick]", "[Limerick]", 1, "cannot be a command"),
        ("[limerick]", "[forget]", 1, "/forget is a command of the bot's own"),
        ("max_tokens = 90\n", "", 1, "needs a length"),
        ("max_tokens = 90", 'max_tokens = "many"', 3, "needs a length"),
        ("max_tokens = 90", "max_tokens = true", 3, "needs a length"),
        ("max_tokens = 90", "max_tokens = 99999", 3, "needs a length"),
        ('emoji = "🎩"', 'emoji = ""', 2, "needs an emoji"),
        ('emoji = "🎩"', 'emoji = "🎩"\nrenderer = "html"', 3, 'renderer is "plain" or "markdown"'),
        ('emoji = "🎩"', 'emoji = "🎩"\ncolour = "red"', 3, "there is no field 'colour'"),
        ('description.zh = "打油诗"\n', "", 4, "needs description.zh"),
        ('"A limerick"', f'"{"x" * 257}"', 4, "has 257 characters"),
        ('"打油诗"', '" "', 5, "needs description.zh"),
        (
            'instruction.zh = "写打油诗。"',
            'instruction.zh = "写打油诗。"\ninstruction.de = "Dichte."',
            8,
            "does not speak 'de'",
        ),
        ("[limerick]", "top = 1\n[limerick]", 1, "top stands outside of a kind"),
        (f'instruction.en = "Write a limerick."\n{END}', "", 1, "needs an instruction or a request"),
        (END, END + 'request.en = "About {topic}"', 8, "needs request.zh"),
        (END, END + 'request = { en = "{topic}", zh = "诗" }', 8, "request.zh must have {topic} in it, once"),
        (END, END + "temperature = 3", 8, "temperature is 3, but it must be from 0 to 2"),
        (END, END + "top_k = 0.5", 8, "top_k needs a number"),
        (END, END + 'stop = "\\n"', 8, "stop needs texts"),
        (END, END + "length.short.factor = 9", 8, "length.short.factor must be from 0.1 to 4"),
        (END, END + 'length.tiny.en = "tiny"', 8, "there is no length 'tiny'"),
        (END, END + 'length.short.fr = "court"', 8, "length.short must be like"),
        (END, END + 'examples.en = [{ topic = "tea" }]', 8, "examples must be like"),
        (END, END + PROFILE + "temprature = 1", 10, "The profile big: there is no field 'temprature'"),
        (END, END + "[profiles.big]", 8, "The profile big needs names of models"),
        (END, END + PROFILE + 'languages = ["fr"]', 10, "The profile big: languages must be some of en, zh"),
        (END, END + PROFILE + 'system = "no"', 10, "system is true or false"),
        (END, END + PROFILE + 'kinds.ode.request.en = "{topic}"', 10, "there is no kind 'ode' in this file"),
        (END, END + PROFILE + 'kinds.limerick.request.en = "x"', 10, "kind limerick: request.en must have {topic}"),
        (END, END + PROFILE + "kinds.limerick = 1", 10, "kinds must be tables"),
        ("[limerick]", "profiles = 1\n[limerick]", 1, "profiles must be tables"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, before: str, after: str, line: int, complaint: str) -> None:
    file = tmp_path / "kinds.toml"
    assert before in GOOD
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(InvalidKinds) as caught:
        load_kinds(file)
    assert len(caught.value.faults) == 1, caught.value.faults
    assert caught.value.faults[0].startswith(f"{file}:{line}: ") and complaint in caught.value.faults[0]


@pytest.mark.parametrize("text", ["", "[limerick", "emoji = "])
def test_a_file_without_kinds_or_that_is_no_toml_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(text)
    with pytest.raises(InvalidKinds, match="There are 0 kinds|is not TOML: .*at end of document"):
        load_kinds(file)


def test_every_mistake_is_told_at_once_and_the_command_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "kinds.toml"
    file.write_text(GOOD + GOOD.replace("[limerick]", "[ode]").replace("90", "0") + "[help]\n")
    result = CliRunner().invoke(app, ["kinds", "check", str(file)])
    assert result.exit_code == 1
    lines = result.output.strip().splitlines()
    assert lines[0].startswith(f"{file}:10: The kind ode needs a length") and len(lines) == 7
    file.write_text(GOOD)
    result = CliRunner().invoke(app, ["kinds", "check", str(file)])
    assert result.exit_code == 0 and "/limerick" in result.output
    assert CliRunner().invoke(app, ["kinds", "check"]).exit_code == 0
    missing = CliRunner().invoke(app, ["kinds", "check", str(tmp_path / "nowhere.toml")])
    assert missing.exit_code == 1 and "cannot be read" in missing.output


def test_no_kind_can_take_a_command_of_the_bots_own() -> None:
    code = "\n".join(file.read_text() for file in Path("bot/telegram/handlers").glob("*.py"))
    commands = set(re.findall(r'\bcommand\("([a-z]+)"', code))
    assert len(commands) > 20 and commands <= TAKEN


def test_the_worked_example_of_the_docs_is_right(tmp_path: Path) -> None:
    page = Path("docs/kinds.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "kinds.toml"
    file.write_text(SHIPPED.read_text() + "\n" + example)
    assert load_kinds(file).by_name["limerick"].max_tokens == 90


@pytest.mark.parametrize(
    ("topic", "language"), [("绿茶", "zh"), ("green tea", "en"), ("a 茶 house", "zh"), ("12", "en")]
)
def test_the_topic_decides_the_language_of_the_text(topic: str, language: str) -> None:
    assert language_of_topic(topic) == language


def test_a_kind_without_a_request_is_asked_as_it_ever_was(tmp_path: Path) -> None:
    kind = _kinds(tmp_path, GOOD, model=["qwen3-8b"]).by_name["limerick"]
    assert kind.messages("{topic} tea") == (
        Message("system", "Write a limerick."),
        Message("user", "{topic} tea"),
    )
    assert kind.messages("茶")[0].content == "写打油诗。"


@pytest.mark.parametrize("model", ["starter", "vae", "gan"])
def test_the_toys_are_asked_by_the_very_messages_that_they_were_trained_on(model: str) -> None:
    kinds = load_kinds(model=names_of(model))
    instruction = "Write one slogan about the topic. Answer with the slogan only."
    slogan = kinds.by_name["slogan"]
    assert slogan.messages("green tea") == (Message("system", instruction), Message("user", "green tea"))
    wished = slogan.messages("green tea", length="long", wishes=["Be funny.", "Make it long."])
    assert wished[0].content == f"{instruction} Be funny. Make it long."
    assert slogan.sampling(length="long", seed=3) == Sampling(
        max_tokens=60, temperature=TEMPERATURE, top_p=TOP_P, min_p=MIN_P, seed=3
    )


@pytest.mark.parametrize(
    ("names", "profile"),
    [
        (["HuggingFaceTB/SmolLM2-360M-Instruct"], "smollm2"),
        (["./a-folder", "Smollm2 135M 8k Lc100K Mix1 Ep2", "llama", "LlamaForCausalLM"], "smollm2"),
        (["Qwen/Qwen3-0.6B"], "qwen3"),
        (["./a-folder", "qwen3_moe"], "qwen3"),
        (["meta-llama/Llama-3.2-1B-Instruct"], "llama3"),
        (["google/gemma-3-270m-it"], "gemma3"),
        (["./a-folder", "gemma3_text"], "gemma3"),
        (["./a-folder", "llama", "LlamaForCausalLM"], None),
        ([], None),
    ],
)
def test_a_profile_is_told_by_name_or_config(names: list[str], profile: str | None) -> None:
    assert load_kinds(model=names).profile == profile


def test_names_are_read_from_the_config_of_a_model_without_torch(tmp_path: Path) -> None:
    config = {"_name_or_path": "Qwen/Qwen3-4B", "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert names_of(str(tmp_path))[2:] == ("Qwen/Qwen3-4B", "qwen3", "Qwen3ForCausalLM")
    (tmp_path / "config.json").write_text("not JSON")
    assert len(names_of(str(tmp_path))) == 2
    assert names_of("no such model!") == ("no such model!", "no-such-model")


def test_a_template_without_a_system_role_gets_the_instruction_in_the_users_turn(tmp_path: Path) -> None:
    text = GOOD + 'examples.en = [{ topic = "a cat", text = "A cat sat." }]\n'
    kind = _kinds(tmp_path, text + '[profiles.g]\nmatch = ["gemma*"]\nsystem = false\nexamples = true\n').by_name[
        "limerick"
    ]
    assert kind.messages("a dog") == (
        Message("user", "Write a limerick.\n\na cat"), Message("assistant", "A cat sat."), Message("user", "a dog"),
    )  # fmt: skip


def test_a_profile_changes_all_kinds_and_then_one(tmp_path: Path) -> None:
    text = (
        GOOD
        + GOOD.replace("[limerick]", "[ode]")
        + (
            '[profiles.g]\nmatch = ["gemma*"]\ntemperature = 1.2\nmin_p = 0\n'
            'kinds.ode.temperature = 0.3\nkinds.ode.request.en = "Sing of {topic}!"\nkinds.ode.stop = ["END"]\n'
        )
    )
    kinds = _kinds(tmp_path, text).by_name
    assert kinds["limerick"].sampling().temperature == 1.2 and kinds["limerick"].sampling().min_p == 0
    ode = kinds["ode"]
    assert (ode.sampling().temperature, ode.sampling().stop) == (0.3, ("END",))
    assert ode.messages("tea")[-1].content == "Sing of tea!" and ode.messages("茶")[-1].content == "茶"
    assert _kinds(tmp_path, text, model=["other"]).profile is None


def test_a_file_without_profiles_takes_the_shipped_ones_where_it_is_silent(tmp_path: Path) -> None:
    text = GOOD + GOOD.replace("[limerick]", "[slogan]") + "temperature = 0.1\n"
    kinds = _kinds(tmp_path, text, model=["gemma-3-1b"])
    assert kinds.profile == "gemma3" and not kinds.default.has_system
    assert kinds.default.sampling().top_k == 64 and kinds.by_name["slogan"].sampling().temperature == 0.1
    toy = _kinds(tmp_path, text, model=["starter"]).by_name["slogan"]
    assert toy.messages("tea")[0].content == "Write a limerick.", "and no instruction of the shipped kind"


def test_length_and_daring_are_what_the_kind_makes_of_them(tmp_path: Path) -> None:
    text = GOOD + (
        'request = { en = "Write a {length} limerick on {topic}, please.", zh = "写{length}打油诗：{topic}" }\n'
        'temperature = 1.0\nlength.short = { factor = 0.5, en = "tiny", zh = "短" }\n'
    )
    kind = _kinds(tmp_path, text, model=()).by_name["limerick"]
    assert kind.messages("tea")[-1].content == "Write a limerick on tea, please."
    short = kind.messages("tea", length="short", wishes=["Be funny."])[-1].content
    assert short == "Write a tiny limerick on tea, please. Be funny."
    assert kind.messages("茶", length="short", wishes=["要有趣。"])[-1].content == "写短打油诗：茶\n\n要有趣。"
    drawn = kind.sampling(length="short", daring="low")
    assert (drawn.max_tokens, drawn.temperature) == (45, 0.625)
    assert kind.sampling(length="long", daring="high").max_tokens == 180
    hot = _kinds(tmp_path, text.replace("1.0", "1.9")).by_name["limerick"]
    assert hot.sampling(daring="high").temperature == 2.0


@pytest.mark.parametrize("topic", ["green tea", "a {topic} of (brackets).*", "two\nlines", "绿茶"])
@pytest.mark.parametrize("model", ["starter", "smollm2", "gemma-3-1b"])
@pytest.mark.parametrize("length", ["usual", "short", "long"])
def test_the_topic_is_found_again_in_every_shipped_request(topic: str, model: str, length: str) -> None:
    for kind in load_kinds(model=[model]).by_name.values():
        assert kind.topic_in(kind.messages(topic, length=length)[-1].content) == topic


def _kinds(folder: Path, text: str, *, model: Sequence[str] = ("gemma-3-1b",)) -> Kinds:
    file = folder / "kinds.toml"
    file.write_text(text)
    return load_kinds(file, model=model)


@pytest.mark.parametrize(
    ("set_here", "base", "profile"),
    [
        ({"model": "starter"}, "starter", "starter"),
        ({"engine_url": "http://there"}, "qwen3-8b", "qwen3"),
        ({"engine_url": "http://there"}, "house-model", None),
        ({"engine_url": "http://there", "model": "Qwen/Qwen3-8B"}, "house-model", "qwen3"),
        ({"engine_url": "http://there", "model": "starter"}, "smollm2:135m", "smollm2"),
    ],
)
def test_a_server_of_others_is_asked_by_its_own_models_profile(
    set_here: dict[str, str], base: str, profile: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL", raising=False)
    assert OfflineSettings(_env_file=None, **set_here).kinds_for(base).profile == profile


def test_a_text_is_read_as_far_as_the_model_can_hold_it() -> None:
    small, large, unknown = (load_kinds(context=tokens).by_name["summary"] for tokens in (1024, 8192, None))
    assert small.most_characters("tea") == 3 * (1024 - 280 - 200) and small.most_characters("茶") < 300
    assert large.most_characters("tea") == unknown.most_characters("tea") == 12_000
    assert load_kinds(context=64).by_name["slogan"].most_characters("tea") == 2000
    assert context_of("starter") == 1024 and context_of("nobody/knows") is None
