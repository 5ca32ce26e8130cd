"""Text that is shown is never taken back, whatever tokens come, of whichever kind of tokenizer."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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


# Every split of characters into tokens

TEXTS = [
    "plain words, and more",
    "茶馆 🌙 é » 你好",
    "👨‍👩‍👧‍👦🇨🇳 e\u0301\u0300",
    "a\n\n  b\t \u00a0\u2028 \ufffd.",
    "Здравствуй, мир! سلام \U0010ffff\x00",
]
WORDS = ["▁", "▁tea", "tea", "a", "b", "▁a", "»", "你", "é", "\n", ",", "▁»", "好", "🌙"]
LLAMA2 = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
GEMMA = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
METASPACE = [decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]


def byte_fallback(decoder: Sequence[decoders.Decoder]) -> Tokenizer:
    """As Llama 2, Mistral, Gemma and Phi-3 have it: what is no token of its own is a token for each byte."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(list(decoder))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return tokenizer


def byte_level() -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen have it: every token is a row of bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens(["<tool>", "你好"])
    return tokenizer


def word_pieces() -> Tokenizer:
    """As BERT has it: words and their ends, spaces come with the decoding."""
    words = {word: number for number, word in enumerate(["[UNK]", "</s>", "tea", "##s", "##é", "你", ".", "'", "s"])}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


FAMILIES: dict[str, Callable[[], Tokenizer]] = {
    "llama 2, mistral, phi-3": lambda: byte_fallback(LLAMA2),
    "gemma": lambda: byte_fallback(GEMMA),
    "a metaspace with byte fallback": lambda: byte_fallback(METASPACE),
    "gpt-2, llama 3, qwen": byte_level,
    "bert": word_pieces,
}


def in_pieces(tokenizer: Tokenizer, text: str, draw: random.Random) -> list[int]:
    """A text as tokens, each of its characters as a token of its own, or byte by byte."""
    ids = []
    for character in text:
        whole = tokenizer.token_to_id(character.replace(" ", "▁"))
        as_bytes = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in character.encode()]
        ids += as_bytes if whole is None or draw.random() < 0.5 else [whole]
    return ids


def shown(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    stream = Detokenizer(tokenizer)
    return [*(stream.push(token) for token in ids), stream.finish()]


@pytest.mark.parametrize("name", [name for name in FAMILIES if "llama 2" in name or "gemma" in name])
@pytest.mark.parametrize("text", TEXTS)
def test_characters_that_come_byte_by_byte_are_shown_whole(name: str, text: str) -> None:
    tokenizer, draw = FAMILIES[name](), random.Random(0)
    for _ in range(50):
        ids = in_pieces(tokenizer, text, draw)
        pieces = shown(tokenizer, ids)
        assert "".join(pieces) == tokenizer.decode(ids) == text
        assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


def test_what_is_shown_stays_when_the_character_after_it_is_broken() -> None:
    tokenizer = byte_fallback(LLAMA2)
    ids = [tokenizer.token_to_id(token) for token in ("<0xE4>", "<0xBD>", "<0xA0>", "<0xE5>", "»", "▁tea", "▁")]
    assert shown(tokenizer, ids) == ["", "", "你", "", "\ufffd»", " tea", " ", ""]


def test_a_control_token_does_not_part_the_bytes_of_a_character_and_the_space_after_one_stays() -> None:
    tokenizer = byte_fallback(LLAMA2)
    ids = [tokenizer.token_to_id(token) for token in ("<0xE4>", "</s>", "<0xBD>", "<s>", "<0xA0>", "▁a", "▁a")]
    assert "".join(shown(tokenizer, ids)) == tokenizer.decode(ids) == "你 a a"


def fuzz(tokenizer: Tokenizer, cases: int, draw: random.Random) -> None:
    """Any tokens at all: nothing is raised, and the same tokens in one piece read the same, up to broken characters."""
    size = tokenizer.get_vocab_size()
    odd = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(0x80, 0x100)]
    odd = [token for token in odd if token is not None] or list(range(size))
    for _ in range(cases):
        ids = [
            draw.choice(odd) if draw.random() < 0.6 else draw.randrange(size + 5) for _ in range(draw.randint(1, 24))
        ]
        text, whole = "".join(shown(tokenizer, ids)), str(tokenizer.decode(ids))
        if "\ufffd" not in whole and not whole.startswith(" "):
            assert text == whole, ids
        kept = [character for character in text if character != "\ufffd"]
        missing = iter(kept)  # where one byte of a run is broken, tokenizers make question marks of all of it
        assert all(character in missing for character in whole if character not in "\ufffd "), ids


@pytest.mark.parametrize("name", FAMILIES)
def test_no_tokens_at_all_raise_or_lose_what_can_be_read(name: str) -> None:
    fuzz(FAMILIES[name](), 100, random.Random(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_ten_thousand_rows_of_any_tokens_raise_nothing(name: str) -> None:
    fuzz(FAMILIES[name](), 10_000, random.Random(2))
