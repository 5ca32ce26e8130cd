"""Topics without end: themed noun phrases, plain nouns, and invented words so that copying must be learned as a skill.

Some topics are held out: they never enter the corpus and serve to measure copying. Knows nothing of texts or prompts.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from zlib import crc32

from recipes.grammar import FOLDER, Language, Topic, words

_ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk st t th tr v w y z".split()
_VOWELS = "a e i o u a e i o ai ea ee oo ou".split()
_CODAS = "l n r s t m x nd rk ll ck sh mp".split() + [""] * 9
_LATIN_ENDINGS = ("", "", "", "", " 3000", " X", " 2", "-7", " Pro", " 24/7", " No. 5", ".io")
_DETERMINERS = ("a ", "an ", "the ", "our ", "my ", "your ")


def themed_topic(language: Language, random: Random) -> Topic:
    """A topic from the word lists, with its theme: `green tea`, `our crooked balconies`, `绿茶`."""
    theme = random.choice([name for name in words(language) if name != "any"])
    plural = random.random() < 0.3
    lists = words(language)[theme]
    noun = random.choice(lists["many" if plural else "one"])
    adjective = random.choice(lists["adj"])
    text = (
        _decorate_english(noun, adjective, random) if language == "en" else _decorate_chinese(noun, adjective, random)
    )
    return Topic(text, theme, plural and language == "en", theme == "people")


def invented_topic(language: Language, random: Random, *, held_out: bool = False) -> Topic:
    """A topic that nobody has heard of: `Zorvex 3000`, `the quillow festival`, `岚砚节`."""
    while True:
        core = _latin_word(random) if language == "en" or random.random() < 0.2 else _chinese_word(random)
        if is_held_out(core) == held_out:
            break
    theme = random.choice([name for name in words(language) if name != "any"])
    if core[0].isascii():
        return _latin_topic(core, theme, language, random)
    pattern = random.choice(_frames(language)["invented"])
    return Topic(pattern.replace("{x}", core))


def held_out_topic(language: Language, random: Random) -> Topic:
    """A topic whose words are not in the corpus: real words kept aside, or invented ones kept aside."""
    if random.random() < 0.5:
        return Topic(random.choice(held_out_names(language)))
    return invented_topic(language, random, held_out=True)


def held_out_names(language: Language) -> Sequence[str]:
    """Real words that are kept aside."""
    return _frames(language)["held_out"]


def plain_topic(language: Language, random: Random) -> Topic:
    """A topic from the list of nouns, without a theme: `guitar`, `a lost helicopter`, `大象和葡萄`."""
    noun, other = random.choice(_nouns(language)), random.choice(_nouns(language))
    pattern = random.choice(_frames(language)["plain"])
    return Topic(pattern.replace("{x}", noun).replace("{y}", other))


def topic(language: Language, random: Random) -> Topic:
    """A topic for training: themed, plain or invented; some in other letter case."""
    make = random.choices((themed_topic, plain_topic, invented_topic), (40, 25, 35))[0]
    found = make(language, random)
    if language == "zh":
        return found
    case = random.random()
    text = found.text.title() if case < 0.04 else found.text.upper() if case < 0.06 else found.text
    return Topic(text, found.theme, found.plural, found.person)


def person(language: Language, random: Random) -> Topic:
    """Somebody to thank or to greet: `our volunteers`, `Doctor Quillow`, `门卫王师傅`."""
    if random.random() < 0.6:
        plural = random.random() < 0.5
        return Topic(random.choice(words(language)["people"]["many" if plural else "one"]), "people", plural, True)
    while is_held_out(core := _latin_word(random).capitalize() if language == "en" else _chinese_word(random)):
        pass
    return Topic(random.choice(_frames(language)["somebody"]).replace("{x}", core), "people", False, True)


def is_held_out(word: str) -> bool:
    """Whether an invented word is kept aside: about one in twenty, decided by its checksum."""
    return crc32(word.lower().encode()) % 20 == 0


@cache
def _frames(language: Language) -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = tomllib.loads((FOLDER / f"topics.{language}.toml").read_text(encoding="utf-8"))
    return found


@cache
def _nouns(language: Language) -> Sequence[str]:
    return (FOLDER / f"nouns.{language}.txt").read_text(encoding="utf-8").split()


@cache
def _letter_groups() -> Sequence[str]:
    """The nouns cut into all their pieces of two to four letters, to make new words that look like old ones."""
    found = {noun[start : start + size] for noun in _nouns("en") for size in (2, 3, 4) for start in range(len(noun))}
    return sorted(group for group in found if len(group) >= 2 and group.isalpha())


@cache
def _common_characters() -> str:
    """The 3,755 characters of GB 2312, level 1."""
    rows = range(0xB0, 0xD8)
    return "".join(bytes((row, cell)).decode("gb2312", "ignore") for row in rows for cell in range(0xA1, 0xFF))


@cache
def _familiar_characters() -> str:
    """The characters of the Chinese nouns and adjectives."""
    lists = [lists[name] for lists in words("zh").values() for name in ("one", "many", "adj") if name in lists]
    return "".join(sorted({c for entries in lists for word in entries for c in word if "\u4e00" <= c <= "\u9fff"}))


def _latin_word(random: Random) -> str:
    """Syllables, or pieces of real words: those fall into the same tokens as real words that nobody has seen."""
    count = random.choice((1, 2, 2, 2, 3, 3))
    if random.random() < 0.6:
        word = "".join(random.choices(_letter_groups(), k=count + 1))
    else:
        word = "".join(random.choice(_ONSETS) + random.choice(_VOWELS) + random.choice(_CODAS) for _ in range(count))
    return word.capitalize() if random.random() < 0.3 else word


def _chinese_word(random: Random) -> str:
    """Characters that the texts use, mostly; any common character, sometimes."""
    source = _familiar_characters() if random.random() < 0.5 else _common_characters()
    return "".join(random.choices(source, k=random.choice((2, 2, 2, 3, 3, 4))))


def _latin_topic(core: str, theme: str, language: Language, random: Random) -> Topic:
    name = core + random.choice(_LATIN_ENDINGS)
    if language == "zh":
        return Topic(random.choice(_frames("zh")["latin"]).replace("{x}", name))
    pattern = random.choice(_frames("en")["invented"])
    noun = random.choice(words("en")[theme]["many" if "{many}" in pattern else "one"])
    themed = "{many}" in pattern or "{one}" in pattern
    if "{one}" in pattern:
        noun = noun.split(" ", 1)[1] if noun.startswith(_DETERMINERS) else noun
    text = pattern.replace("{x}", name).replace("{many}", noun).replace("{one}", noun)
    return Topic(text, theme if themed else "", "{many}" in pattern, themed and theme == "people")


def _decorate_english(noun: str, adjective: str, random: Random) -> str:
    if noun.startswith(_DETERMINERS) or not noun[0].islower():
        return noun if random.random() < 0.8 else f"{noun} {random.choice(_frames('en')['tail'])}"
    shape = random.random()
    if shape < 0.4:
        return noun
    if shape < 0.6:
        return f"{adjective} {noun}"
    if shape < 0.8:
        return f"{random.choice(_frames('en')['head'])} {noun}"
    return f"{noun} {random.choice(_frames('en')['tail'])}"


def _decorate_chinese(noun: str, adjective: str, random: Random) -> str:
    shape = random.random()
    if shape < 0.45 or noun.startswith(("我", "一", "这")):
        return noun
    if shape < 0.7:
        return adjective + noun
    return random.choice(_frames("zh")["head"]) + noun
