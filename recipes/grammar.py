"""A seeded grammar: from a kind, a style and a topic to a finished text, and from a text back to its style.

The words and templates lie in `grammar_files/*.toml`, whose first lines tell the notation. Both directions work on
skeletons: texts whose topic is left open (`engine.latent.slots`).
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Literal

from engine.latent.slots import CAPITAL, HEADLINE, SENTENCE_START, TOPIC, slots

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
TOPIC_KINDS = ("slogan", "poem", "story", "post", "pitch", "title", "character")
"""The kinds that are asked for by a bare topic; `write` is asked for in too many ways to have a form of its own."""
KINDS = ("write", *TOPIC_KINDS)

FOLDER = Path(__file__).parent / "grammar_files"
MORE = "more"
"""The name of the templates that lengthen a text; not a style."""

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SYMBOL = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_SINGULAR = {"is": "is", "was": "was", "has": "has", "do": "does", "s": "s", "they": "it", "them": "it"}
_PLURAL = {"is": "are", "was": "were", "has": "have", "do": "do", "s": "", "they": "they", "them": "them"}
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a text is about."""

    text: str
    theme: str = ""
    """A table of `themes`; empty for a topic whose meaning nobody knows."""
    plural: bool = False
    person: bool = False


@cache
def read_table(name: str) -> Mapping[str, Any]:
    """A file of the grammar, by its name without the ending."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def words(language: Language) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Word lists: one table per theme, and `any`."""
    data = read_table(f"words.{language}")
    return {**data["themes"], "any": data["any"]}


@cache
def templates(language: Language) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Templates by kind and style; the wishes of `write` (thanks, invitation, ...) stand beside the kinds."""
    found: dict[str, Mapping[str, Sequence[str]]] = {}
    for path in sorted(FOLDER.glob(f"texts.*.{language}.toml")):
        found |= read_table(path.stem)
    return found


def styles(kind: str, language: Language) -> list[str]:
    """The styles in which a kind can be written."""
    return [style for style in templates(language)[kind] if style != MORE]


def write(kind: str, style: str, topic: Topic, language: Language, random: Random) -> str:
    """One text, composed from a random template of the style."""
    text = skeleton(kind, style, topic, language, random)
    if language == "zh":  # Latin words inside Chinese text get a blank on either side, unless punctuation stands there
        if topic.text[:1].isascii():
            text = re.sub(rf"(?<=[\u4e00-\u9fff]){TOPIC}", f" {TOPIC}", text)
        if topic.text[-1:].isascii():
            text = re.sub(rf"{TOPIC}(?=[\u4e00-\u9fff])", f"{TOPIC} ", text)
    return text.translate(slots(topic.text))


def skeleton(kind: str, style: str, topic: Topic, language: Language, random: Random) -> str:
    """One text whose topic is left open (delexicalised): a character for each form of it."""
    fitting = [t for t in (fit(t, topic) for t in templates(language)[kind][style]) if t]
    return _Text(topic, language, random).compose(random.choice(fitting))


def without_emoji(text: str) -> str:
    """The text with its emoji, and the blanks that they leave, removed."""
    lines = (re.sub(r"  +", " ", _EMOJI.sub("", line)).strip() for line in text.split("\n"))
    return re.sub(r" ([,.!?，。！？])", r"\1", "\n".join(lines))


def has_emoji(text: str) -> bool:
    """Whether the text holds at least one emoji."""
    return _EMOJI.search(text) is not None


def fit(template: str, topic: Topic) -> str:
    """The template without its mark (P: wants a person, X: wants a thing); empty when the topic is the other."""
    if template[:3] in {"P: ", "X: "}:
        return template[3:] if (template[0] == "P") == topic.person else ""
    return template


class _Text:
    """One text in the making: who is in it and which words it has used."""

    def __init__(self, topic: Topic, language: Language, random: Random) -> None:
        self._topic, self._language, self._random = topic, language, random
        lists = words(language)
        self._general, self._themed = lists["any"], lists.get(topic.theme, {})
        self._used: set[str] = set()
        numbered = _PLURAL if topic.plural else _SINGULAR
        self._fixed = {**numbered, "t": TOPIC, "H": HEADLINE, "v": vocative(topic.text), **self._cast()}

    def compose(self, template: str) -> str:
        text = template
        while _CHOICE.search(text):
            text = _CHOICE.sub(lambda match: self._random.choice(match[1].split("|")), text)
        while _SYMBOL.search(text):
            text = _SYMBOL.sub(lambda match: self._draw(match[1]), text)
        text = re.sub(" ?/ ?", "\n", re.sub(" ?// ?", "\n\n", text)).strip()
        return self._english(text) if self._language == "en" else text.replace(HEADLINE, TOPIC)

    def _draw(self, symbol: str) -> str:
        if symbol in self._fixed:
            return self._fixed[symbol]
        candidates = self._themed.get(symbol) or self._general[symbol]
        if symbol != "e":  # now and then a general word, so that themes do not wear out
            candidates = candidates if self._random.random() < 0.85 else self._general.get(symbol, candidates)
        fresh = [word for word in candidates if word not in self._used]
        word = self._random.choice(fresh or list(candidates))
        self._used.add(word)
        return word

    def _cast(self) -> dict[str, str]:
        gender = self._random.choice(("she", "he"))
        first = self._random.choice(self._general[gender])
        others = [n for n in (*self._general["she"], *self._general["he"]) if n != first]
        surname = self._random.choice(self._general["surname"])
        cast = {"name": first, "name2": self._random.choice(others), "age": str(self._random.randint(9, 94))}
        fullname = f"{first} {surname}" if self._language == "en" else surname + first
        return cast | {"fullname": fullname} | pronouns(gender)

    def _english(self, text: str) -> str:
        text = _ARTICLE.sub(r"\1n ", text)
        return SENTENCE_START.sub(lambda m: m[1] + m[2] + (CAPITAL if m[3] == TOPIC else m[3].upper()), text)


def pronouns(gender: str) -> dict[str, str]:
    """The pronouns of a person of this gender, `she` or `he`, by symbol, in both languages."""
    she, her, him, ta = ("she", "her", "her", "她") if gender == "she" else ("he", "his", "him", "他")
    forms = {"she": she, "her": her, "him": him}
    return {**forms, **{symbol.capitalize(): form.capitalize() for symbol, form in forms.items()}, "ta": ta}


def vocative(topic: str) -> str:
    """How one speaks to the topic: without its article.

    >>> vocative("our volunteers")
    'volunteers'
    """
    first, _, rest = topic.partition(" ")
    return rest if rest and first in {"a", "an", "the", "our", "my", "your"} else topic


_PIECE = re.compile(r"\{(\w+)\}|[\[\]|]| ?// ?| ?/ ?|[^\[\]|{/ ]+| ")
_ARTICLE_OR_AN = re.compile(r"\b([Aa]) ")


def is_well_formed(skeleton: str, kind: str, language: Language) -> bool:
    """Whether the grammar could have written this skeleton: whether a template of the kind, in any style, gives it.

    Agreement, pronouns, articles, capitals and a person's name that comes again are held to; whether a word fits the
    topic's theme is not, for the grammar itself now and then takes a general one.
    """
    return style_of(skeleton, kind, language) is not None


def style_of(skeleton: str, kind: str, language: Language) -> str | None:
    """The first style that gives this skeleton; None if none does."""
    if language == "en" and not _has_capitals(skeleton):
        return None
    plain = skeleton.replace(CAPITAL, TOPIC)
    forms = _forms(kind, language).items()
    return next((style for style, found in forms if any(form.fullmatch(plain) for form in found)), None)


def _has_capitals(skeleton: str) -> bool:
    """Whether sentences begin with a capital; the slot that has one stands nowhere else."""
    if SENTENCE_START.search(skeleton):
        return False
    return all(SENTENCE_START.search(skeleton[: at.start()] + TOPIC) for at in re.finditer(CAPITAL, skeleton))


@cache
def _forms(kind: str, language: Language) -> Mapping[str, tuple[re.Pattern[str], ...]]:
    """By style, what its skeletons look like; capitals are looked at elsewhere."""
    return {
        style: tuple(re.compile(form, re.IGNORECASE) for form in dict.fromkeys(_variants(found, language)))
        for style, found in templates(language)[kind].items()
        if style != MORE
    }


def _variants(found: Sequence[str], language: Language) -> Iterator[str]:
    """Each template as an expression, once for each number of the topic and each gender of the person in it."""
    for template, is_person, plural, gender in product(found, (False, True), (False, True), ("she", "he")):
        if text := fit(template, Topic("", person=is_person)):
            yield _expression(text, _fixed(language, gender, plural=plural), language)


def _fixed(language: Language, gender: str, *, plural: bool) -> dict[str, str]:
    """What is the same wherever it stands in one text."""
    first, surname = _any_of(words(language)["any"][gender]), _any_of(words(language)["any"]["surname"])
    names = _any_of([*words(language)["any"]["she"], *words(language)["any"]["he"]])
    headline = HEADLINE if language == "en" else TOPIC
    cast = {"name": first, "name2": names, "age": r"\d\d?"}
    cast["fullname"] = f"{first} {surname}" if language == "en" else surname + first
    plain = {**(_PLURAL if plural else _SINGULAR), **pronouns(gender), "t": TOPIC, "H": headline}
    return {**{symbol: re.escape(text) for symbol, text in plain.items()}, **cast}


def _expression(template: str, fixed: Mapping[str, str], language: Language) -> str:
    parts: list[str] = []
    said: set[str] = set()
    for match in _PIECE.finditer(template):
        piece, symbol = match[0], match[1]
        if symbol in {"name", "name2"}:
            parts.append(f"(?P={symbol})" if symbol in said else f"(?P<{symbol}>{fixed[symbol]})")
            said.add(symbol)
        elif symbol:
            parts.append(fixed.get(symbol) or _drawn(symbol, language))
        else:
            parts.append({"[": "(?:", "]": ")", "|": "|"}.get(piece) or _literal(piece))
    text = "".join(parts)
    return text if language == "zh" else _ARTICLE_OR_AN.sub(r"(?:\1 (?![aeiou])|\1n (?=[aeiou]))", text)


def _literal(piece: str) -> str:
    if "/" in piece:
        return "\n\n" if "//" in piece else "\n"
    return re.escape(piece).replace("\\ ", " ")


@cache
def _drawn(symbol: str, language: Language) -> str:
    """Any of the words that the symbol may stand for, whatever the theme."""
    return _any_of(dict.fromkeys(word for lists in words(language).values() for word in lists.get(symbol, ())))


def _any_of(found: Iterable[str]) -> str:
    longest_first = sorted(found, key=len, reverse=True)
    return f"(?:{'|'.join(re.escape(word).replace(chr(92) + ' ', ' ') for word in longest_first)})"
