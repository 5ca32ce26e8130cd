"""Text that is shown is never taken back."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from engine.inference.request import Detokenizer


@pytest.fixture(scope="session")
def tokenizer(tiny_model_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tiny_model_folder / "tokenizer.json"))


@pytest.mark.parametrize("text", ["plain words", "茶馆 🌙 é", "👨‍👩‍👧‍👦🇨🇳", "a\n\n  b\t"])
def test_half_a_character_is_never_shown(tokenizer: Tokenizer, text: str) -> None:
    stream = Detokenizer(tokenizer)
    shown = [stream.push(token) for token in tokenizer.encode(text).ids]
    assert "".join(shown) + stream.finish() == text
    assert not any("\ufffd" in piece for piece in shown)


def test_a_character_that_never_becomes_whole_is_dropped(tokenizer: Tokenizer) -> None:
    *ids, _ = tokenizer.encode("tea 🌙").ids
    stream = Detokenizer(tokenizer)
    assert "".join(map(stream.push, ids)) + stream.finish() == "tea "


def test_control_tokens_are_not_shown(tokenizer: Tokenizer) -> None:
    end = tokenizer.token_to_id("<|end|>")
    stream = Detokenizer(tokenizer)
    assert "".join(stream.push(token) for token in [end, *tokenizer.encode("tea").ids, end]) == "tea"


def test_any_tokens_at_all_give_the_text_that_decoding_them_at_once_gives(tokenizer: Tokenizer) -> None:
    draw = random.Random(0)
    alphabet = [tokenizer.encode(character).ids for character in "tea 茶夜🌙é,.\n"]
    for _ in range(200):
        ids = [token for _ in range(30) for token in draw.choice(alphabet)]
        stream = Detokenizer(tokenizer)
        assert "".join(map(stream.push, ids)) + stream.finish() == tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("pieces", "stop", "shown", "is_stopped"),
    [
        (["one two ", "three"], (), ["one two ", "three"], False),
        (["one ST", "OP two"], ("STOP",), ["one ", ""], True),
        (["one ST", "AY two"], ("STOP",), ["one ", "STAY two"], False),
        (["aab", "b"], ("abb",), ["a", ""], True),
        (["x\n", "\ny"], ("\n\n",), ["x", ""], True),
        (["one two three"], ("three", "two"), ["one "], True),
        (["ab", "cd"], ("bcx", "cd"), ["a", "b"], True),
        (["STOP", "more"], ("STOP",), ["", ""], True),
    ],
)
def test_a_stop_string_is_stopped_across_pieces_and_never_shown(
    pieces: list[str], stop: tuple[str, ...], shown: list[str], is_stopped: bool
) -> None:
    stops = Detokenizer(tokenizer, stop)
    assert [stops.push_text(piece) for piece in pieces] == shown
    assert stops.is_stopped == is_stopped


def test_what_was_held_back_in_vain_comes_at_the_end(tokenizer: Tokenizer) -> None:
    stops = Detokenizer(tokenizer, ("STOP",))
    assert stops.push_text("one ST") == "one "
    assert stops.finish() == "ST"
