"""A small recurrent language model that writes from noise: the decoder of the VAE, and the generator of the GAN.

With c the context (noise, control codes and words of the prompt), e the embeddings and y the text::

    h_0 = tanh(W c),  h_t = GRU([e(y_{t-1}), c], h_{t-1}),  p(y_t | y_<t, c) = softmax(e h_t + b)

The GRU is that of Cho et al. 2014 (arXiv 1406.1078) as torch has it, made of two linear layers, so that LoRA fits on
it. It is a transformers model: the newest state and the context stand in the cache where others keep keys and values,
so whatever serves or trains a causal model takes this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everybody uses)
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from engine.inference.kv_cache import RowsCache

Number = TypeVar("Number", float, Tensor)

PAD_ID: Final = 0
LEVELS: Final = 128
REACH: Final = 4.0  # standard deviations; one variate in 16,000 lies beyond, and is taken for one at the edge
_STEP = 2 * REACH / LEVELS
FORMAT: Final = 1
DECODER_LAYERS: Final = ["first", "inward", "recurrent", "tilt"]  # where an adapter fits on
_NEVER: Final = -1e4  # the logit of what is no part of a text; finite, for 0 times infinity is not a number


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise that a text is written from, as tokens at the end of its prompt: so one prompt has one text, and every
    sampler, cache, trainer and measure of the engine can treat a generator as a language model.

    A prompt ends with `count` places. An open place stands for 0, the mean of the prior; a filled one for the middle of
    one of `LEVELS` steps of a normal variate between -`REACH` and `REACH`.
    """

    count: int  # numbers a prompt: the size of the latent
    open_id: int  # an open place
    first_level: int  # the id of the lowest level; the others follow

    def is_noise(self, token: int) -> bool:
        """Whether an id is a place, open or filled."""
        return token == self.open_id or self.first_level <= token < self.first_level + LEVELS

    def fill(self, prompt: Sequence[int], numbers: Sequence[float]) -> list[int]:
        """The prompt with its places filled by `count` numbers, in order."""
        left = iter(numbers)
        return [self._level(next(left)) if self.is_noise(token) else token for token in prompt]

    def draw(self, prompt: Sequence[int], shift: Sequence[float], seed: int) -> list[int]:
        """The prompt with its open places filled from N(shift, 1), by `count` numbers that the seed decides."""
        if self.open_id not in prompt:
            return list(prompt)
        random = Random(f"noise {seed}")
        return self.fill(prompt, [mean + random.gauss(0.0, 1.0) for mean in shift])

    def clear(self, prompt: Sequence[int]) -> list[int]:
        """The prompt with its places open."""
        return [self.open_id if self.is_noise(token) else token for token in prompt]

    def read(self, prompt: Sequence[int]) -> list[float]:
        """The numbers that the prompt holds."""
        return [0.0 if token == self.open_id else self.middle(token) for token in prompt if self.is_noise(token)]

    def middle(self, level: Number) -> Number:
        """The number that a filled place stands for, by its id; of a tensor of ids, a tensor."""
        return (level - self.first_level + 0.5) * _STEP - REACH

    def _level(self, number: float) -> int:
        return self.first_level + min(LEVELS - 1, max(0, int((number + REACH) / _STEP)))


class LatentConfig(PretrainedConfig):
    """Sizes, and where the control tokens lie: the pad is 0, and all others stand before `first_word`."""

    model_type = "ovation-latent"

    vocab_size: int = 1024
    hidden_size: int = 256
    latent_size: int = 32
    context_size: int = 64  # numbers that the prompt's codes and words are turned into
    start_id: int = 2
    open_id: int = 3  # an open place of the noise
    first_code: int = 4
    first_level: int = 16
    format: int = FORMAT  # of the folder; others cannot be loaded
    max_position_embeddings: int = 1024
    pad_token_id: int | None = PAD_ID
    eos_token_id: int | None = 1
    tie_word_embeddings: bool = True
    # What the engine reads to know how much a token takes in the cache: its state, and its context.
    num_hidden_layers: int = 1
    num_attention_heads: int = 1
    num_key_value_heads: int = 1
    head_dim: int = 256

    @property
    def first_word(self) -> int:
        """The lowest id that may stand in a text, the end's apart."""
        return self.first_level + LEVELS

    @property
    def codes(self) -> int:
        """How many control codes there are."""
        return self.first_level - self.first_code


class LatentLM(PreTrainedModel, GenerationMixin):
    """The decoder; `VaeLM` and `GanLM` add what trains it."""

    config_class = LatentConfig
    base_model_prefix = "latent"
    _tied_weights_keys = {"lm_head.weight": "embedding.weight"}  # noqa: RUF012 - as transformers has it

    config: LatentConfig

    def __init__(self, config: LatentConfig) -> None:
        super().__init__(config)
        hidden, context = config.hidden_size, config.latent_size + config.context_size
        self.embedding = nn.Embedding(config.vocab_size, hidden, padding_idx=PAD_ID)
        self.codes = nn.Embedding(config.codes, config.context_size)
        self.words = nn.Linear(hidden, config.context_size)
        self.first = nn.Linear(context, hidden)
        self.inward = nn.Linear(hidden + context, 3 * hidden)
        self.recurrent = nn.Linear(hidden, 3 * hidden)
        self.lm_head = nn.Linear(hidden, config.vocab_size)
        self.tilt = nn.Linear(1 + config.codes, config.latent_size, bias=False)
        """Where the prior's mean lies, by 1 and the control codes; 0 in a base."""
        self.dropout = nn.Dropout(0.1)
        self.post_init()  # type: ignore[no-untyped-call]

    @property
    def noise(self) -> Noise:
        """The ids of the noise in a prompt."""
        return Noise(self.config.latent_size, self.config.open_id, self.config.first_level)

    def get_input_embeddings(self) -> nn.Embedding:
        """The words' embedding."""
        return self.embedding

    def get_output_embeddings(self) -> nn.Linear:
        """The output layer."""
        head: nn.Linear = self.lm_head
        return head

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: RowsCache | None = None,
        *,
        logits_to_keep: int = 0,
        **_: Any,  # noqa: ANN401 - what other models know and this one need not
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) after each token; rows may be padded on either side. The masks follow from the ids."""
        if past_key_values is not None and past_key_values.layers:
            state, context = (newest[:, 0] for newest in past_key_values.newest())
            begins = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        else:
            context, begins = self.read_prompt(input_ids)
            state = torch.tanh(self.first(context))
        embedded = self.embedding(input_ids)
        states = self.run(embedded, context, state, begins)
        if past_key_values is not None:
            shared = context[:, None, None].expand(-1, 1, states.shape[1], -1)
            past_key_values.update(states[:, None], shared, 0)
        logits = self.logits(states[:, -logits_to_keep:])
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values, hidden_states=(embedded, states))

    def read_prompt(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The context, (B, latent + context), of rows (B, T), and the column of each row's start token, (B,)."""
        begins = (ids == self.config.start_id).int().argmax(1)
        places = begins[:, None] + torch.arange(-self.config.latent_size, 0, device=ids.device)
        noise = ids.gather(1, places.clamp(min=0))
        latent = torch.where(noise == self.config.open_id, 0.0, self.noise.middle(noise)).to(self.dtype)
        return self.context(latent, ids, begins), begins

    def context(self, latent: Tensor, ids: Tensor, begins: Tensor) -> Tensor:
        """What a text is written from: (B, latent), and from the prompts the sum of codes and the mean of words."""
        prompt = torch.arange(ids.shape[1], device=ids.device) < begins[:, None]
        is_code = prompt & (ids >= self.config.first_code) & (ids < self.config.first_level)
        is_word = prompt & (ids >= self.config.first_word)
        codes = self.codes((ids - self.config.first_code).clamp(0, self.config.codes - 1))
        asked = (codes * is_code[..., None]).sum(1)
        words = (self.embedding(ids) * is_word[..., None]).sum(1) / is_word.sum(1, keepdim=True).clamp(min=1)
        return torch.cat([latent, asked + self.words(words)], dim=1)

    def context_of(self, prompts: Tensor, latent: Tensor) -> Tensor:
        """The context of prompts (B, P) that hold neither noise nor a start, padded on the right."""
        begins = torch.full((len(prompts),), prompts.shape[1], device=prompts.device)
        return self.context(latent, prompts, begins)

    def run(self, embedded: Tensor, context: Tensor, state: Tensor, begins: Tensor) -> Tensor:
        """The states (B, T, H) after each token; a row's first state stays until its column `begins`."""
        shared = context[:, None].expand(-1, embedded.shape[1], -1)
        gates = self.inward(torch.cat([self.dropout(embedded), shared], dim=2))  # (B, T, 3 H)
        first, last_begin = (int(edge) for edge in torch.aminmax(begins))
        states = [state] * first
        for column in range(first, gates.shape[1]):
            fresh = self._cell(gates[:, column], state)
            state = fresh if column >= last_begin else torch.where((column >= begins)[:, None], fresh, state)
            states.append(state)
        return torch.stack(states, dim=1)

    def logits(self, states: Tensor) -> Tensor:
        """(..., H) -> (..., V); control tokens are never written, by the bias that `_init_weights` gives them."""
        logits: Tensor = self.lm_head(self.dropout(states))
        return logits

    def text_logits(self, context: Tensor, texts: Tensor) -> Tensor:
        """The logits (B, T, V) that predict each token of texts (B, T) from contexts (B, latent + context)."""
        start = torch.full_like(texts[:, :1], self.config.start_id)
        embedded = self.embedding(torch.cat([start, texts[:, :-1]], dim=1))
        begins = torch.zeros(len(texts), dtype=torch.long, device=texts.device)
        return self.logits(self.run(embedded, context, torch.tanh(self.first(context)), begins))

    def log_likelihood(self, latent: Tensor, prompts: Tensor, texts: Tensor) -> Tensor:
        """log p(x|z), (B,), nats, of texts (B, T) that end with the end token; prompts as `context_of` has them."""
        logits = self.text_logits(self.context_of(prompts, latent), texts)
        return -F.cross_entropy(logits.transpose(1, 2), texts, ignore_index=PAD_ID, reduction="none").sum(1)

    @torch.no_grad()
    def write(self, context: Tensor, *, longest: int, temperature: float = 1.0, min_p: float = 0.0) -> Tensor:
        """Texts (B, T) from contexts (B, latent + context), T at most `longest`; at temperature 0 the likeliest."""
        token = torch.full((len(context), 1), int(self.config.start_id), device=context.device)
        state = torch.tanh(self.first(context))
        begins = torch.zeros(len(context), dtype=torch.long, device=context.device)
        written, is_over = [], torch.zeros(len(context), dtype=torch.bool, device=context.device)
        for _ in range(longest):
            state = self.run(self.embedding(token), context, state, begins)[:, 0]
            token = _drawn(self.logits(state), temperature, min_p).masked_fill(is_over[:, None], PAD_ID)
            written.append(token)
            is_over |= token[:, 0] == self.config.eos_token_id
            if bool(is_over.all()):
                break
        return torch.cat(written, dim=1)

    @torch.no_grad()
    def prior_kl(self, prompt: list[int]) -> float:
        """KL of the prior under the active adapter to N(0, I), nats: half the square of how far its mean has moved."""
        return 0.5 * float(self.prior_mean(prompt).square().sum())

    def prior_mean(self, prompt: list[int]) -> Tensor:
        """The mean of the latent's prior for a prompt, (latent,), under the active adapter."""
        config = self.config
        asked = [float(code in prompt) for code in range(config.first_code, config.first_level)]
        mean: Tensor = self.tilt(torch.tensor([1.0, *asked], device=self.device, dtype=self.dtype))
        return mean

    @torch.no_grad()
    def with_noise(self, prompt: list[int], seed: int) -> list[int]:
        """The prompt with its open places drawn from the prior of the active adapter."""
        return self.noise.draw(prompt, self.prior_mean(prompt).tolist(), seed)

    def _cell(self, gates: Tensor, state: Tensor) -> Tensor:
        """One step: (B, 3 H) from the input and (B, H) -> (B, H)."""
        reset, update, new = gates.chunk(3, dim=1)
        reset_by, update_by, new_by = self.recurrent(state).chunk(3, dim=1)
        keep = torch.sigmoid(update + update_by)
        fresh = torch.tanh(new + torch.sigmoid(reset + reset_by) * new_by)
        return fresh + keep * (state - fresh)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        if module is self.tilt:
            nn.init.zeros_(module.weight)
        if module is self.lm_head:
            with torch.no_grad():
                module.bias[: self.config.first_word] = _NEVER
                module.bias[self.config.eos_token_id] = 0.0


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Token ids as one tensor, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD_ID] * (width - len(row))] for row in rows])


def _drawn(logits: Tensor, temperature: float, min_p: float) -> Tensor:
    """One token a row, (B, 1), of logits (B, V)."""
    if temperature == 0.0:
        return logits.argmax(1, keepdim=True)
    chances = (logits / temperature).softmax(1)
    return torch.multinomial(chances.masked_fill(chances < min_p * chances.amax(1, keepdim=True), 0.0), 1)
