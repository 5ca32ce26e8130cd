"""The starter's tokenizer: byte-level BPE, with a chat template that text cannot break out of.

Chinese characters and digits are never merged with their neighbours, and the template puts a blank before every
question, so that a topic has the same tokens in the question as in the middle of a text: that makes copying easy.
"""

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from engine.api.types import Message

SYSTEM, USER, ASSISTANT, END, PAD = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, END, SYSTEM, USER, ASSISTANT)

_PIECES = r"\p{Han}|'(?:s|t|re|ve|m|ll|d)\b| ?[\p{L}&&[^\p{Han}]]+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s"

# A blank inside "<|" keeps a text that spells a special token from being read as one.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% set text = message['content'] | trim | replace('<|', '< |') %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + text + '<|end|>' }}"
    "{% else %}{{ '<|' + message['role'] + '|> ' + text }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Learn the merges from texts without special tokens; the parameters are those of `train_bpe`."""
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    wrapped = train_bpe(texts, vocabulary=vocabulary, context=context, special=SPECIAL_TOKENS, split=split)
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def train_bpe(
    texts: Iterable[str], *, vocabulary: int, context: int, special: Sequence[str],
    split: pre_tokenizers.PreTokenizer | None = None, fewest: int = 0,
) -> PreTrainedTokenizerFast:  # fmt: skip
    """A byte-level BPE tokenizer, wrapped for transformers.

    Args:
        texts: what people and the model write.
        vocabulary: the number of tokens, special ones and the 256 bytes included.
        context: the longest sequence, in tokens.
        special: the special tokens, in the order of their ids; the first pads, the second ends.
        split: where no merge may cross; None: anything may be merged.
        fewest: how often a merge must come up.
    """
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = to_bytes if split is None else pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(special), min_frequency=fewest,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    pad, end, *others = special
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token=pad, additional_special_tokens=others,
        model_max_length=context, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """The id of one token, by its name."""
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int), f"{token!r} is one token and has one id"
    return found


def encode(tokenizer: PreTrainedTokenizerFast, conversations: Iterable[Sequence[Message]]) -> list[list[int]]:
    """Token ids of whole conversations, rendered with the chat template."""
    rendered = [
        tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in messages], tokenize=False)
        for messages in conversations
    ]
    ids: list[list[int]] = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    return ids
