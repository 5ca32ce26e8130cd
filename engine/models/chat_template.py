"""From messages to token ids, by the model's own chat template.

Knows a tokenizer and messages. Knows nothing of models or sampling. Control tokens are the template's alone: where a
message contains the text of one, say `<|im_end|>`, that text is read as ordinary characters. (Tokens that a
tokenizer adds without calling them special, such as Qwen's `<think>`, stay what they are.) Models that may think aloud
first, and whose template lets one choose, are told not to: people get the text alone.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from engine.api.types import Message
from engine.errors import RequestError

_PRIVATE_USE = range(0xE000, 0xF8FF)


class ChatTemplate:
    """Encodes conversations for one tokenizer. Use it from one thread: tokenizers refuse concurrent use."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        control.update(tokenizer.all_special_tokens)
        longest_first = sorted(filter(None, control), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a conversation, up to the place where the assistant's answer begins.

        Raises:
            RequestError: the template refuses these messages, for example an unknown order of roles.
        """
        if not any(self._control.search(message.content) for message in messages):
            return self._read(self._render(messages))
        mark = _unused_character(messages)
        foreign = [token for message in messages for token in self._control.findall(message.content)]
        marked = [replace(message, content=self._control.sub(mark, message.content)) for message in messages]
        pieces = self._render(marked).split(mark)
        if len(pieces) != len(foreign) + 1:
            raise RequestError("The messages hold control tokens that the chat template moves; leave them out.")
        ids = self._read(pieces[0])
        for token, piece in zip(foreign, pieces[1:], strict=True):
            ids += self._read(token, split_special_tokens=True) + self._read(piece)
        return ids

    def plain(self, text: str) -> list[int]:
        """The token ids of a text that is no conversation."""
        return self._read(text, split_special_tokens=True)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            )
        except TemplateError as error:
            raise RequestError(f"The model's chat template refuses these messages: {error}.") from error

    def _read(self, text: str, *, split_special_tokens: bool = False) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
        return list(encoded["input_ids"])


def _unused_character(messages: Sequence[Message]) -> str:
    """A private-use character that no message contains."""
    used = {character for message in messages for character in message.content}
    return next(character for character in map(chr, _PRIVATE_USE) if character not in used)
