"""The small generators' tokenizer: byte-level BPE whose tokens may be whole phrases, and a template of control codes.

No boundary of a word stops a merge, so `a light in the window` becomes one token and a text a dozen: what a recurrent
model has to get right in a row. Any text still has tokens, down to bytes. The chat template turns a conversation into
control codes (arXiv 1909.05858), the topic's words where the model reads them, and open places for noise.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from transformers import PreTrainedTokenizerFast

from engine.latent.model import LEVELS, LatentConfig
from recipes.grammar import LANGUAGES
from recipes.starter.tokenizer import train_bpe

KINDS: Final = ("slogan", "title", "poem", "story", "post", "pitch", "character")
PAD, END, START, OPEN = "<|pad|>", "<|end|>", "<|start|>", "<|z|>"
_MANY: Final = "many"
"""The code of an English topic that looks like a plural."""
_CODES: Final = (*KINDS, *LANGUAGES, _MANY)
_WORDS: Final = {
    "slogan": ("slogan", "口号"),
    "title": ("title", "headline", "标题"),
    "poem": ("poem", "poet", "诗"),
    "story": ("story", "stories", "故事"),
    "post": ("post", "announcement", "帖", "公告"),
    "pitch": ("pitch", "sell", "推介"),
    "character": ("character", "角色", "人物"),
}
"""What an instruction says when it asks for a kind."""
_FEWEST: Final = 8
"""A merge that comes up more rarely is none."""


def train_tokenizer(
    texts: Iterable[str], *, vocabulary: int, known: Sequence[str], noise: int, reads_topic: bool
) -> PreTrainedTokenizerFast:
    """Learn the merges from skeletons, and topics too where they are read.

    Args:
        texts: what the model writes, and reads.
        vocabulary: the number of tokens, control tokens and the 256 bytes included.
        known: the kinds that the model writes; the first answers for all others.
        noise: places for noise in a prompt.
        reads_topic: whether the topic's words are part of the prompt.
    """
    config = LatentConfig()
    codes = [f"<|{code}|>" for code in _CODES]
    spare = [f"<|spare{place}|>" for place in range(config.codes - len(codes))]
    special = [PAD, END, START, OPEN, *codes, *spare, *(f"<|z{level}|>" for level in range(LEVELS))]
    wrapped = train_bpe(
        texts, vocabulary=vocabulary, context=config.max_position_embeddings, special=special, fewest=_FEWEST
    )
    wrapped.chat_template = _template(known, noise, reads_topic=reads_topic)
    return wrapped


def _template(known: Sequence[str], noise: int, *, reads_topic: bool) -> str:
    """The kind by a word of the instruction, the language by the topic's characters, and so on."""
    rules = "".join(
        f"{{% if {word!r} in own.ask %}}{{% set own.kind = {kind!r} %}}{{% endif %}}"
        for kind in known
        for word in _WORDS[kind]
    )
    return (
        f"{{% set own = namespace(kind={known[0]!r}, lang='en', topic=none, ask='') %}}"
        "{% for message in messages %}"
        "{% if message.role == 'system' %}{% set own.ask = message.content | lower %}{% endif %}"
        "{% if message.role == 'user' and own.topic is none %}{% set own.topic = message.content | trim %}{% endif %}"
        "{% endfor %}" + rules + "{% set topic = own.topic or '' %}"
        "{% for letter in topic %}"
        "{% if '\u4e00' <= letter <= '\u9fff' %}{% set own.lang = 'zh' %}{% endif %}"
        "{% endfor %}"
        "{{ '<|' + own.kind + '|><|' + own.lang + '|>' }}"
        "{% if own.lang == 'en' and topic[-1:] == 's' and topic[-2:] != 'ss' %}{{ '<|many|>' }}{% endif %}"
        + ("{{ topic | replace('<|', '< |') }}" if reads_topic else "")
        + f"{{{{ '{OPEN}' * {noise} + '{START}' }}}}"
    )
