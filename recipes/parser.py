"""Does a text follow the grammar? The templates of `grammar` as one regular expression for each kind and language.

Tells whether the grammar could have written a skeleton: a text whose topic is left open (`engine.latent.slots`).
Agreement,
pronouns, articles, capitals and a person's name that comes again are held to; whether a word fits the topic's theme is
not, for the grammar itself now and then takes a general one. Knows no model.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product

from engine.latent.slots import CAPITAL, HEADLINE, SENTENCE_START, TOPIC
from recipes.grammar import MORE, Language, Topic, agreement, fit, pronouns, templates, words

_PIECE = re.compile(r"\{(\w+)\}|[\[\]|]| ?// ?| ?/ ?|[^\[\]|{/ ]+| ")
_ARTICLE = re.compile(r"\b([Aa]) ")


def is_well_formed(skeleton: str, kind: str, language: Language) -> bool:
    """Whether a template of the kind, in any of its styles, gives this skeleton."""
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
    plain = {**agreement(plural=plural), **pronouns(gender), "t": TOPIC, "H": headline}
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
    return text if language == "zh" else _ARTICLE.sub(r"(?:\1 (?![aeiou])|\1n (?=[aeiou]))", text)


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
