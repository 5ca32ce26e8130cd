"""The starter's corpus: conversations as the bot holds them, in English and Chinese, composed from a seed.

In the order of this module: whole conversations; what people ask, in which the first instruction of a kind is the bot's
own (`kinds.toml`), word for word; and topics without end: themed noun phrases, plain nouns, and invented words, so that
copying must be learned as a skill. Some topics are held out: they never enter the corpus and serve to measure copying.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from zlib import crc32

from engine.api.types import Message
from engine.data.dataset import json_line
from recipes import grammar
from recipes.grammar import FOLDER, KINDS, LANGUAGES, MORE, Language, Topic, read_table, words

PEOPLE_OCCASIONS = frozenset({"thanks", "congratulation", "welcome", "farewell"})
"""Free wishes whose text is about somebody rather than something."""

_STYLE_CHANGES = ("playful", "plain", "poetic", "bold", "asking", "quiet", "numbers", "you", "old", "rhyme")
_ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk st t th tr v w y z".split()
_VOWELS = "a e i o u a e i o ai ea ee oo ou".split()
_CODAS = "l n r s t m x nd rk ll ck sh mp".split() + [""] * 9
_LATIN_ENDINGS = ("", "", "", "", " 3000", " X", " 2", "-7", " Pro", " 24/7", " No. 5", ".io")
_DETERMINERS = ("a ", "an ", "the ", "our ", "my ", "your ")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, and what is in it."""

    kind: str
    language: Language
    style: str
    topic: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """The text that is on the table: what it is (a kind or an occasion), how, and about what."""

    form: str
    style: str
    topic: Topic
    text: str


def conversations(count: int, *, seed: int) -> Iterator[Conversation]:
    """The corpus, in order; the same for the same seed on every machine."""
    random = Random(seed)
    for _ in range(count):
        kind = random.choice((*KINDS, "write"))
        yield conversation(kind, random.choice(LANGUAGES), random)


def conversation(kind: str, language: Language, random: Random) -> Conversation:
    """One conversation of a kind: one to four texts, each new text by a wish about the last one or on a new topic."""
    wish, draft = _free(language, random) if kind == "write" else _fixed(kind, language, random)
    messages = [*_system(kind, language, random), Message("user", wish), Message("assistant", draft.text)]
    for _ in range(random.choices((0, 1, 2, 3), (35, 30, 20, 15))[0]):
        if random.random() < 0.5:
            wish, draft = _change(draft, language, random)
        else:
            wish, draft = _free(language, random) if kind == "write" else _fixed(kind, language, random)
        messages += [Message("user", wish), Message("assistant", draft.text)]
    return Conversation(kind, language, draft.style, draft.topic.text, tuple(messages))


def write_corpus(path: Path, items: Iterable[Conversation]) -> None:
    """Write conversations as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            file.write(json_line(asdict(item)) + "\n")


def _system(kind: str, language: Language, random: Random) -> Sequence[Message]:
    """The bot's own instruction mostly, sometimes another wording; a free wish sometimes comes without any."""
    if kind == "write" and random.random() < 0.15:
        return ()
    own, *others = instructions(kind, language)
    return (Message("system", own if random.random() < 0.75 else random.choice(others)),)


def _fixed(kind: str, language: Language, random: Random) -> tuple[str, Draft]:
    thing = topic(language, random)
    draft = _compose(kind, random.choice(grammar.styles(kind, language)), thing, language, random)
    if random.random() < 0.9:
        return thing.text, draft
    return random.choice(requests(language)[kind]).replace("{t}", thing.text), draft


def _free(language: Language, random: Random) -> tuple[str, Draft]:
    asked = requests(language)
    form = random.choice((*asked, "praise", "praise"))
    request = random.choice(asked[form])
    thing, somebody = topic(language, random), person(language, random)
    about = somebody if form in PEOPLE_OCCASIONS else thing
    draft = _compose(form, random.choice(grammar.styles(form, language)), about, language, random)
    return request.replace("{t}", thing.text).replace("{p}", somebody.text), draft


def _compose(form: str, style: str, topic: Topic, language: Language, random: Random) -> Draft:
    return Draft(form, style, topic, grammar.write(form, style, topic, language, random))


def _change(draft: Draft, language: Language, random: Random) -> tuple[str, Draft]:
    """A wish about the draft and the text that follows it."""
    possible = ["longer", "another", "topic", "topic"]
    possible += ["shorter"] if draft.style != "quiet" and draft.form != "title" else []
    possible += [c for c in _STYLE_CHANGES if c in grammar.templates(language)[draft.form] and c != draft.style]
    possible += ["without_emoji", "without_emoji"] if grammar.has_emoji(draft.text) else ["with_emoji", "with_emoji"]
    change = random.choice(possible)
    new_topic = topic(language, random) if change == "topic" else draft.topic
    wish = random.choice(changes(language)[change]).replace("{t}", new_topic.text)
    return wish, follow(change, draft, new_topic, language, random)


def follow(change: str, draft: Draft, new_topic: Topic, language: Language, random: Random) -> Draft:
    """What the assistant writes after a wish of this sort; `new_topic` matters to a change of topic only."""
    style, topic = draft.style, draft.topic
    match change:
        case "shorter":
            return _shorter(draft, language, random)
        case "longer":
            return replace(draft, text=_longer(draft, language, random))
        case "with_emoji":
            return replace(draft, text=_with_emoji(draft, language, random))
        case "without_emoji":
            return replace(draft, text=grammar.without_emoji(draft.text))
        case "topic":
            topic = new_topic
        case "another":
            style = random.choice(grammar.styles(draft.form, language))
        case _:
            style = change
    return _compose(draft.form, style, topic, language, random)


def _longer(draft: Draft, language: Language, random: Random) -> str:
    addition = grammar.write(draft.form, MORE, draft.topic, language, random)
    if draft.form == "title":
        return draft.text.rstrip("!?！？") + addition
    closed = language == "zh" and draft.text[-1] in "。！？”"
    gap = "\n" if draft.form == "poem" else "" if closed else " "
    return draft.text + gap + addition


def _shorter(draft: Draft, language: Language, random: Random) -> Draft:
    """A quiet text that is clearly shorter than the draft, or else as short as they come."""
    tries = [_compose(draft.form, "quiet", draft.topic, language, random) for _ in range(6)]
    shortest = min(tries, key=lambda other: len(other.text))
    fitting = [other for other in tries if len(other.text) < 0.7 * len(draft.text)]
    return random.choice(fitting or [shortest])


def _with_emoji(draft: Draft, language: Language, random: Random) -> str:
    lists = grammar.words(language)
    emoji = lists.get(draft.topic.theme, lists["any"]).get("e") or lists["any"]["e"]
    lines = draft.text.split("\n")
    marked = random.sample(range(len(lines)), k=min(len(lines), 2))
    decorated = [f"{line} {random.choice(emoji)}" if i in marked and line else line for i, line in enumerate(lines)]
    return (f"{random.choice(emoji)} " if random.random() < 0.5 else "") + "\n".join(decorated)


def instructions(kind: str, language: Language) -> Sequence[str]:
    """The system messages that ask for a kind; the bot's own comes first."""
    found: Sequence[str] = read_table(f"wishes.{language}")["instructions"][kind]
    return found


def requests(language: Language) -> Mapping[str, Sequence[str]]:
    """Free wishes with `{t}` for the topic, by what answers them: a kind, or an occasion such as `thanks`."""
    found: Mapping[str, Sequence[str]] = read_table(f"wishes.{language}")["requests"]
    return found


def changes(language: Language) -> Mapping[str, Sequence[str]]:
    """Wishes about the last text, by what they change; `{t}` is a new topic."""
    found: Mapping[str, Sequence[str]] = read_table(f"wishes.{language}")["changes"]
    return found


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
    pattern = random.choice(_patterns("invented", language))
    return Topic(pattern.replace("{x}", core))


def held_out_topic(language: Language, random: Random) -> Topic:
    """A topic whose words are not in the corpus: real words kept aside, or invented ones kept aside."""
    if random.random() < 0.5:
        return Topic(random.choice(held_out_names(language)))
    return invented_topic(language, random, held_out=True)


def held_out_names(language: Language) -> Sequence[str]:
    """Real words that are kept aside."""
    return _patterns("held_out", language)


def plain_topic(language: Language, random: Random) -> Topic:
    """A topic from the list of nouns, without a theme: `guitar`, `a lost helicopter`, `大象和葡萄`."""
    noun, other = random.choice(_nouns(language)), random.choice(_nouns(language))
    pattern = random.choice(_patterns("plain", language))
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
    return Topic(random.choice(_patterns("somebody", language)).replace("{x}", core), "people", False, True)


def is_held_out(word: str) -> bool:
    """Whether an invented word is kept aside: about one in twenty, decided by its checksum."""
    return crc32(word.lower().encode()) % 20 == 0


def _patterns(name: str, language: Language) -> Sequence[str]:
    found: Sequence[str] = read_table(f"topics.{language}")[name]
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
        return Topic(random.choice(_patterns("latin", "zh")).replace("{x}", name))
    pattern = random.choice(_patterns("invented", "en"))
    noun = random.choice(words("en")[theme]["many" if "{many}" in pattern else "one"])
    themed = "{many}" in pattern or "{one}" in pattern
    if "{one}" in pattern:
        noun = noun.split(" ", 1)[1] if noun.startswith(_DETERMINERS) else noun
    text = pattern.replace("{x}", name).replace("{many}", noun).replace("{one}", noun)
    return Topic(text, theme if themed else "", "{many}" in pattern, themed and theme == "people")


def _decorate_english(noun: str, adjective: str, random: Random) -> str:
    if noun.startswith(_DETERMINERS) or not noun[0].islower():
        return noun if random.random() < 0.8 else f"{noun} {random.choice(_patterns('tail', 'en'))}"
    shape = random.random()
    if shape < 0.4:
        return noun
    if shape < 0.6:
        return f"{adjective} {noun}"
    if shape < 0.8:
        return f"{random.choice(_patterns('head', 'en'))} {noun}"
    return f"{noun} {random.choice(_patterns('tail', 'en'))}"


def _decorate_chinese(noun: str, adjective: str, random: Random) -> str:
    shape = random.random()
    if shape < 0.45 or noun.startswith(("我", "一", "这")):
        return noun
    if shape < 0.7:
        return adjective + noun
    return random.choice(_patterns("head", "zh")) + noun
