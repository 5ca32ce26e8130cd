"""Of an adapter's config only plain LoRA is taken, on modules with plain names: PEFT would read regular expressions."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelError
from engine.inference.lora import read_config
from engine.runs import versions

SLOW = "(a+)+$"
PLAIN: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "mlp.up_proj"]}


def written(folder: Path, config: object) -> Path:
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "adapter_config.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    "odd",
    [
        {"target_modules": SLOW}, {"target_modules": "all-linear"}, {"target_modules": "q_proj"},
        {"target_modules": [SLOW]}, {"target_modules": ["q_proj\n"]}, {"target_modules": []}, {"target_modules": {}},
        {"target_modules": None}, {"target_modules": [["q_proj"]]}, {"target_modules": ["q_proj", 5]},
        {"target_modules": ["x" * 257]}, {"target_modules": ["q_proj"] * 10_000}, {"target_modules": ["q..p"]},
        {"exclude_modules": SLOW}, {"exclude_modules": [".*"]}, {"exclude_modules": "lm_head"},
        {"layers_pattern": SLOW}, {"layers_pattern": [SLOW]}, {"layers_pattern": ["layers", "(h)"]},
        {"rank_pattern": {SLOW: 4}}, {"rank_pattern": {"^q_proj": 4}}, {"rank_pattern": {"q_proj": "4"}},
        {"rank_pattern": {"q_proj": 10**9}}, {"rank_pattern": [4]}, {"alpha_pattern": {SLOW: 4}},
        {"alpha_pattern": {"q_proj": [4]}}, {"alpha_pattern": {"q_proj": 1e300}},
        {"layers_to_transform": SLOW}, {"layers_to_transform": [0, "1"]}, {"layers_to_transform": [-1]},
        {"r": 0}, {"r": "4"}, {"r": 4.5}, {"r": True}, {"r": 10**30}, {"lora_alpha": "x"}, {"lora_alpha": -1},
        {"use_dora": "yes"}, {"use_rslora": 2}, {"fan_in_fan_out": []},
        {"modules_to_save": ["lm_head"]}, {"target_parameters": ["x"]}, {"layer_replication": [[0, 1]]},
        {"trainable_token_indices": [1]}, {"megatron_config": {"a": 1}}, {"arrow_config": {"a": 1}}, {"unheard_of": 1},
        {"x" * 100_000: 1}, {"bias": "all"}, {"bias": None}, {"peft_type": "IA3"}, {"peft_type": ["LORA"]},
    ],
)  # fmt: skip
def test_what_is_not_plain_is_one_sentence(tmp_path: Path, odd: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as refusal:
        read_config(written(tmp_path, PLAIN | odd))
    assert len(str(refusal.value)) < 600
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "5", "[" * 200_000, '{"r":' * 5000 + "1" + "}" * 5000, '{"peft_type": "LORA", "r": NaN}',
     "\ud83c", json.dumps(PLAIN) + "x", '{"x": ' + "[" * 100 + "]" * 100 + "}", " " * (2 << 20)],
)  # fmt: skip
def test_what_is_no_object_or_lies_deep_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "adapter_config.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ModelError, match="cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {}, {"exclude_modules": ["lm_head"]}, {"layers_to_transform": [0, 3]}, {"layers_to_transform": 3},
        {"layers_pattern": "layers", "layers_to_transform": [1]},
        {"layers_pattern": ["layers", "h"], "layers_to_transform": 2},
        {"rank_pattern": {"model.layers.0.self_attn.q_proj": 8}, "alpha_pattern": {"q_proj": 16.5}},
        {"use_rslora": True, "use_dora": True, "fan_in_fan_out": True, "bias": "none", "modules_to_save": None},
        {"base_model_name_or_path": SLOW, "revision": "x", "auto_mapping": {"base_model_class": "os.system"}},
        {"init_lora_weights": "eva", "eva_config": {"x": 1}, "loftq_config": {}, "megatron_core": "os"},
        {"target_modules": [f"model.layers.{number}.mlp.up_proj" for number in range(1000)]},
    ],
)  # fmt: skip
def test_what_people_train_is_taken_and_what_would_be_run_is_not(tmp_path: Path, more: dict[str, Any]) -> None:
    config = read_config(written(tmp_path, PLAIN | more))
    assert config.target_modules == set((PLAIN | more)["target_modules"])
    assert (config.r, config.lora_alpha, config.init_lora_weights) == (4, 8, True)
    assert config.base_model_name_or_path is None and config.auto_mapping is None and not config.eva_config


@pytest.mark.parametrize(
    "manifest", ["[" * 200_000, '{"sha256":' * 900 + "1" + "}" * 900, "[]", "\ud83c", " " * (2 << 20)]
)
def test_a_manifest_that_lies_deep_is_one_sentence(tmp_path: Path, manifest: str) -> None:
    (tmp_path / versions.MANIFEST).write_bytes(manifest.encode(errors="surrogatepass"))
    with pytest.raises(ModelError, match="publish it again"):
        versions.verify(tmp_path)
