"""From one request's token ids to text that may be shown at once.

Knows a tokenizer's decoder and stop strings. Knows nothing of models, batches or HTTP. Two things are held back:
the bytes of a character that is not complete, and the beginning of what may become a stop string.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class StopStrings:
    """Cuts a growing text at the first stop string and never shows a part of one."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.is_found = False

    def push(self, text: str) -> str:
        """Take the next piece of text; return what may be shown now."""
        if self.is_found or not self._stop:
            return "" if self.is_found else text
        self._held += text
        starts = [at for at in map(self._held.find, self._stop) if at >= 0]
        if starts:
            self.is_found = True
            shown, self._held = self._held[: min(starts)], ""
            return shown
        keep = self._possible_beginning()
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def flush(self) -> str:
        """The text that was held back in vain; call once, when no more will come."""
        shown, self._held = self._held, ""
        return shown

    def _possible_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stop)) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0


class TextStream:
    """The text of one request, token by token."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stops = StopStrings(stop)

    def push(self, token: int) -> str:
        """Take the next token id; return the text that may be shown now, perhaps none."""
        return self._stops.push(self._decoder.step(self._tokenizer, token) or "")

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string has come; its text and all after it is dropped."""
        return self._stops.is_found

    def finish(self) -> str:
        """The rest of the text; a character that never became complete is dropped."""
        return self._stops.flush()
