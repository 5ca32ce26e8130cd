"""The safety filter: what it finds of disguised words, what it finds where nothing is, and what it costs."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.disguises import DISGUISES, sentences
from benchmarks.tables import Table, middle
from engine.safety.filter import SafetyFilter, load_filter
from engine.safety.near_copy import CopyIndex, fingerprint
from recipes.corpus import conversations
from storage.db.keyring import Keyring

_TEXTS = 3000
_ROUNDS = 7


def measure() -> Table:
    """Measure ours beside better-profanity, where that is installed."""
    ours = load_filter()
    finders: list[Callable[[str], bool]] = [lambda text: bool(ours.unsafe(text))]
    try:
        from better_profanity import profanity  # noqa: PLC0415
    except ImportError:
        pass
    else:
        profanity.load_censor_words()
        finders.append(profanity.contains_profanity)
    caught: list[list[int]] = [[] for _ in finders]
    rows = []
    for name in DISGUISES:
        texts = list(sentences(name))
        cells = []
        for finder, counts in zip(finders, caught, strict=True):
            found = [finder(text) for text in texts]
            counts.extend(found)
            cells.append(f"{sum(found)} of {len(texts)}")
        rows.append((name, *cells, *[""] * (2 - len(cells)), ""))
    rows.append(("**all disguises**", *_each([f"{100 * sum(c) / len(c):.1f} %" for c in caught]), "≥ 95 %"))
    corpus = [message.content for each in conversations(_TEXTS, seed=99) for message in each.messages][:_TEXTS]
    wrong = [f"{100 * sum(map(finder, corpus)) / len(corpus):.2f} %" for finder in finders]
    rows.append((f"found in {len(corpus):,} texts of the starter's corpus", *_each(wrong), "≤ 1 %"))
    costs = [_cost(finder) for finder in finders]
    rows.append(("ms for 1,000 characters", *_each(costs), "≤ 1"))
    whole = _cost(lambda text: bool(ours.findings(text)))
    rows.append(("… with personal data, which only ours looks for", whole, "", ""))
    rows.append(("all that trust adds to one generation of 1,000 characters, ms", _cost(_generation(ours)), "", "≤ 5"))
    return Table(
        "Filtering",
        "One sentence for each word and disguise (`benchmarks/disguises.py`), written apart from the rules.",
        ("what", "Ovation", "better-profanity", "goal"),
        rows,
    )


def _generation(words: SafetyFilter) -> Callable[[str], object]:
    """What a prompt and its text go through beside being written: filter, copies among 500 texts, fingerprint, keys."""
    folder = tempfile.mkdtemp()
    keyring = Keyring.create(Path(folder) / "keyring.jsonl", bytes(32))
    others = CopyIndex()
    for each in conversations(500, seed=5):
        others.add(each.messages[-1].content * 4, "somebody")

    def go_through(text: str) -> None:
        prompt = text[:200]
        words.unsafe(prompt), words.unsafe(text), words.leaks(text, told=prompt), words.unsafe(text[:500])
        others.is_copy(text, "ada")
        fingerprint(text, b"key")
        for part in (prompt, text):
            keyring.decrypt(keyring.encrypt("ada", part))

    return go_through


def _each(cells: list[str]) -> tuple[str, str]:
    return cells[0], cells[1] if len(cells) > 1 else ""


def _cost(finder: Callable[[str], object]) -> str:
    """Milliseconds for texts of 1,000 characters, English and Chinese in turn."""
    texts = [
        ("The library opens at nine, and tea is served from ten; bring 2 friends. " * 14)[:1000],
        ("图书馆九点开门，十点有绿茶，欢迎带朋友来坐坐。" * 50)[:1000],
    ]
    spent = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for text in texts:
            finder(text)
        spent.append(1000 * (time.perf_counter() - began) / len(texts))
    return middle(spent)
