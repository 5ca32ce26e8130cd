"""A tiny model, adapters for it, and a real server: shared by the engine's tests.

Torch is imported inside the fixtures, so that tests that need none start at once.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from engine.runs.versions import publish

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from engine.models.loader import Base

CONTROL_TOKENS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTEXT_TOKENS = 256
_CORPUS = [
    "Write a slogan for a tea shop that opens at night. The moon is low, the water is warm, come in and stay.",
    "A story of a fox who learned to read, and a poem on the first snow. Read it slowly: it is about you and me.",
    "给夜里开门的茶馆写一句口号。月亮低了，水还热着，进来坐坐吧。写一首关于初雪的诗，慢慢地读。",
]
_READY_SECONDS = 120


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights and a byte-level tokenizer with a chat template, saved to disk."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)  # two threads on two busy cores are slower than one
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = _tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        initializer_range=0.3,  # wide, so that greedy texts wander instead of repeating one token
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that writes a's or z's, for people who like the one or the other."""
    import torch

    from tests.support.learning.learning_fixtures import save_taught_model

    torch.set_num_threads(1)
    return save_taught_model(tmp_path_factory.mktemp("taught"))


@pytest.fixture
def tiny_base(tiny_model_folder: Path) -> "Base":
    """The tiny model, loaded anew for each test, for adapters change a model in memory."""
    from engine.models.loader import load_base

    return load_base(str(tiny_model_folder))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small steps: two threads on a busy machine wait for each other far longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def at_any_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is just now, as many texts as there are rows for."""
    monkeypatch.setattr("engine.inference.scheduler.LatencyModel.allows", lambda *_, **__: True)


@pytest.fixture(scope="session")
def adapter_folders(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two LoRA adapters of the tiny model with random weights, as PEFT saves them."""
    root = tmp_path_factory.mktemp("adapters")
    first = save_adapter(tiny_model_folder, root / "first", seed=1)
    second = save_adapter(tiny_model_folder, root / "second", seed=2)
    return first, second


@pytest.fixture
def versions_dir(adapter_folders: tuple[Path, Path], tmp_path: Path) -> Path:
    """A folder with the published versions `first` and `second`."""
    for folder in adapter_folders:
        publish(folder, tmp_path / "versions", folder.name)
    return tmp_path / "versions"


def save_adapter(model_folder: Path, folder: Path, *, seed: int, rank: int = 4) -> Path:
    """Save a LoRA adapter with random weights, B included, so that it changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(model, config).save_pretrained(folder)
    return folder


@dataclass(frozen=True, slots=True)
class Server:
    """A running `python -m engine.serve`."""

    url: str
    process: subprocess.Popen[bytes]
    versions_dir: Path
    log: Path


@pytest.fixture(scope="session")
def server(
    tiny_model_folder: Path, adapter_folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server of the tiny model for the whole session; its versions folder holds `first` and `second`."""
    folder = tmp_path_factory.mktemp("server")
    for adapter in adapter_folders:
        publish(adapter, folder / "versions", adapter.name)
    running = start_server(tiny_model_folder, folder)
    yield running
    running.process.terminate()
    running.process.wait(timeout=10)
    shutil.rmtree(folder)


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the session's server."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


def start_server(model: Path | str, folder: Path, *options: str) -> Server:
    """Start a server on a free port and wait until it is ready."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "engine.serve", "--model", str(model), "--port", "0"]
    command += ["--versions", str(folder / "versions"), "--threads", "1", *options]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr)
    deadline = time.monotonic() + _READY_SECONDS
    while "Ready at " not in log.read_text():
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the server is not ready:\n{log.read_text()}"
        time.sleep(0.1)
    url = log.read_text().split("Ready at ")[1].split()[0]
    assert httpx.get(f"{url}/health").status_code == 200
    return Server(url, process, folder / "versions", log)


def _tokenizer() -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=CONTROL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
