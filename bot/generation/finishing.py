"""From a text as the model wrote it to the text that people see: mended by rules, judged, and ranked among others.

Small models end in mid-sentence, loop, talk about the task, leave placeholders, and make up addresses. What can be
mended without a guess is mended here. What cannot is a fault, and a text with a fault is shown only where every text
has one. What is left is a number, `Finished.quality`: the reason of a choice before anybody has rated anything.

`tests/bot/generation/test_finishing.py` holds each rule against recorded texts of real models, good ones included.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bot.common.kinds import Kind, language_of_topic
from bot.common.settings import DEFAULT_LABEL
from bot.common.text import SENTENCE_END, sanitize, sentence_ends
from bot.moderation.labels import without_labels
from engine.api.types import FinishReason, Message, Reply, WrittenText
from engine.preference.features import WORD, words


@dataclass(frozen=True, slots=True)
class Draft:
    """A text as the model wrote it."""

    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Finished:
    """A text as people would see it."""

    text: str
    faults: tuple[str, ...] = ()
    """What is wrong with it all the same, as "cut" or "loop"; a text with a fault is shown only where all have one."""
    quality: float = 0.0
    """How good it is whoever reads it, as log-odds; higher is better."""
    likelihood: float = 0.0
    """How likely the model itself finds it, on the same scale; 0 where the server does not say it of every text. Before
    anybody has rated it counts beside quality."""


_AGREEMENT_WEIGHTS = {"free": 2.0, "text": 1.5, "verse": 0.5, "line": 0.0}
"""Of what the other texts say too; of slogans it would prefer the dullest."""
_LIKELIHOOD_WEIGHT = 0.05
"""Log-odds a nat. What a small model finds unlikely is mostly a slip, and each further sentence a chance of one: so it
is the sum that counts, not the mean (lab notes, "A choice by likelihood")."""
_MOST_COUNTED_WORDS = 90
"""Longer texts count by their mean, as if they had so many: who wants a long text is not to get the shortest."""
_KEPT_SHARE = 0.3
"""What mending leaves of a text must be so much of it; else the text is at fault, for what remains is a fragment."""

_DANGLING = re.compile(r"(?<!\n)\n+[^\S\n]*(?:\d{1,2}[.)]|[-*•#]+|\*\*[^\n*]*(?:\*\*)?:?)?[^\S\n]*$")
_MARK = re.compile(r"(?<!\s)\s*(?:\d{1,2}[.)]|[-*•])\s+")
_NOT_BLANK = re.compile(r"\S")
_ITEM = re.compile(_MARK.pattern + r"\S")
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "「": "」", "『": "』", "«": "»"}


def _any(*patterns: str, begins: bool = False) -> re.Pattern[str]:
    """One of these, in small letters or capitals; an apostrophe may be curly."""
    joined = "|".join(patterns).replace("'", "['’]")
    return re.compile(rf"^(?:{joined})" if begins else rf"\b(?:{joined})", re.IGNORECASE)


_THE_WORK = (
    r"(?:slogans?|tagline|poem|haiku|story|post|pitch|title|headline|character|description|message|note|e-?mail|letter"
    r"|draft|version|text|answer|response|list|summary|example|sample|script|scene|article|report|sentences?|caption"
    r"|announcement|invitation|ideas?|tips?|suggestions?|options?|ways|steps|recipe|joke|wish|explanation)"
)
_PREAMBLES = (
    _any(
        r"(?:sure(?: thing)?|certainly|of course|absolutely|ok(?:ay)?|alright|great|yes|no problem)"
        r"(?:,? i can (?:help|do)[^\n.!:]{0,60}[,.!:]+\s+"
        r"|[,.!:]+\s+(?=(?:here|below|this|the following|i(?:'ve|'d| have))\b))",
        begins=True,
    ),
    _any(r"(?:sure(?: thing)?|certainly|absolutely|ok(?:ay)?|alright|no problem)[.!:]+\s+|sure, ", begins=True),
    _any(
        r"(?:here(?:'s| is| are)|below (?:is|are)|this is|the following (?:is|are)|i(?:'ve| have) (?:written|made))\b"
        rf"[^\n:]{{0,120}}?\b{_THE_WORK}\b[^\n:]{{0,160}}:\s*",
        begins=True,
    ),
    _any(r"(?:好的|当然|没问题|可以)[^\n：:，。！]{0,12}[，,。！!：:]\s*", begins=True),
    _any(r"(?:以下|下面|这)是[^\n：:]{0,40}[：:]\s*", begins=True),
    _any(rf"[*_#\s]*{_THE_WORK}[*_]*\s*[:：][*_]*\s*", begins=True),
    _any(r"[*_#\s]*(?:口号|标题|诗|故事|帖子|推介|人物|回答|答案)[*_]*\s*[：:][*_]*\s*", begins=True),
)
"""What may stand before the text itself: "Sure!", "Here is a poem about tea:", "Title:"."""
_CLOSING = _any(
    r"i hope (?:this|that|these|it)\b", r"(?:please )?let me know\b", r"feel free to\b", r"would you like me to\b",
    r"do you want me to\b", r"the (?:story|poem|text) (?:ends|begins|continues)\b",
    r"(?:is there|if there's) anything\b",
    r"if you(?:'d| would)? (?:need|want|like|have) (?:any|more|me|to)\b", "希望这", "如果你(?:需要|还)", "请告诉我",
    rf"this (?:(?:is )?an? )?(?:[\w-]+,? ){{0,5}}{_THE_WORK} (?:is|clearly|that|captures|emphasi|highlights|aims|will)",
    r"i (?:also )?(?:added|changed|rephrased|reworded|removed|replaced|made a few)\b", begins=True,
)  # fmt: skip
_REFUSAL = _any(
    r"as an ai\b", r"as a (?:large |ai |text-based )?language", r"as a language-based", r"ai chatbot\b",
    r"i(?:'m| am) (?:just |only )?an? (?:ai|chatbot)\b",
    r"i(?:'m| am) sorry,? (?:but )?i (?:don't|do not) (?:have|understand|know)",
    r"i (?:can(?:not|'t)|could(?:n't| not)|am unable to|'m unable to)"
    r" (?:assist|help|fulfil|provide|write|create|generate|access)",
    "作为(?:一个|一名)?(?:AI|人工智能|语言模型)", "我是(?:一个|一名)?(?:AI|人工智能)",
)  # fmt: skip
_TALK = _any(
    r"i(?:'m| am) sorry for (?:any|the) confusion", r"how (?:can|may) i (?:help|assist)\b",
    r"what can i do for you\b", r"what (?:would you like|do you want) me to\b",
    r"i(?:'d| would|'ll| will) be (?:more than )?(?:happy|glad|delighted) to (?:help|assist)",
    r"i(?:'m| am) (?:here|ready|happy|glad) to (?:help|assist)", r"smollm", r"hugging face",
    r"what's your (?:name|question)\b", r"your prompt\b",
)  # fmt: skip
_REPLY = _any(
    r"(?:(?:wow|oh|ah|hey there|hi there|hello)[,!. ]+)?(?:"
    r"i(?:'m| am) (?:so |really |very )?(?:glad|happy|excited|thrilled|sorry) (?:you|to hear|that you|for)"
    rf"|(?:what an?|that(?:'s| is| sounds)(?: an?)?) (?:great|wonderful|lovely|fantastic|interesting|good) {_THE_WORK}"
    r"|(?:what an?|that(?:'s| is)(?: an?)?) (?:great|wonderful|good) (?:question|choice|topic)"
    r"|(?:great|good) (?:question|idea|choice)\b|you(?:'re| are) (?:absolutely )?right\b"
    r"|(?:thank you|thanks) for (?:asking|sharing|reaching|your (?:question|message|request|interest)))",
    begins=True,
)
"""How an answer to whoever asked begins, where a text for others was wanted."""

_CONTACTS = re.compile(
    r"https?://\S+|\bwww\.\S+|\b[\w.+-]{1,64}@[\w-]{1,63}\.\w{2,63}\b|(?<![\w@])@\w{3,}"
    r"|\b[\w-]{1,63}\.(?:com|org|net|io|info|co\.uk|edu|gov)\b(?:/\S*)?|(?<![\d.])\+?\(?\d{2,4}\)?[\s.-]\d{3,4}[\s.-]\d{3,5}(?!\d)"
)
"""Links, addresses, handles and telephone numbers: nobody may be sent where nobody asked to be sent."""
_LINK = re.compile(r"\[([^\[\]\n]+)\]\((?:https?:|www\.|mailto:)(?:[^()\n]|\([^()\n]*\))*\)")
"""In Markdown; nothing in it may begin another one, so that no beginning is read twice."""
_CLAIMS = re.compile(
    r"[$€£¥]\s?\d[\d,.]*|\b\d[\d,.]{0,20}\s?(?:%|percent\b|dollars\b|euros\b)"
    r"|\b(?:1[0-2]|0?[1-9])(?::[0-5]\d)?\s?(?:[ap]\.?m\b\.?)"
    r"|\b(?:[01]?\d|2[0-3]):[0-5]\d\b|\b(?:19|20)\d\d\b"
    r"|\b(?:january|february|march|april|june|july|august|september|october|november|december)\s+\d{1,2}\b",
    re.IGNORECASE,
)
"""Prices, shares, times and dates: in news, what nobody has given is invented."""
_MOST_CLAIMS = 100
"""That are looked up: four that are invented weigh as much as a hundred."""
_DESCRIPTION = _any(
    rf"(?:this|these|the|a|an|my|your|our)\s+(?:[\w-]+\s+){{0,4}}?({_THE_WORK}|captions?|toast|speech|review|questions?|rules)\b"
    r"(?:\s+(?:is|are|was|were|for|about|to|that)\b|[.:])",
    begins=True,
)
_NUMBERS = {word: n for n, word in enumerate("two three four five six seven eight nine ten".split(), start=2)}
_NUMBER_OF = re.compile(rf"\b({'|'.join(_NUMBERS)}|[2-9]|10)\s+(?:[\w'-]+\s+){{0,3}}?[\w'-]+s\b", re.IGNORECASE)
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_BLANK = re.compile(r"\[[^\W\d_][^\]\n]{1,48}\](?!\()|_{4,}|\{[a-z_ ]{3,30}\}", re.IGNORECASE)
"""What a small model leaves to be filled in."""
_PLACEHOLDER = re.compile(rf"{_BLANK.pattern}|<[A-Za-z][A-Za-z '’]{{2,30}}>", re.IGNORECASE)
"""The same, and `<name>`, which also stands in forms that people ask for: it counts, and stays."""
_GREETED = re.compile(rf"^(Dear|Hi|Hello|Hey)\s+(?:(?:{_BLANK.pattern})[\s,]*)+", re.IGNORECASE | re.MULTILINE)
_ANOTHER_LANGUAGE = re.compile(r"\b(?:translat|chinese|english)|翻译|英[文语]|中文|汉语", re.IGNORECASE)
"""A wish for another language than its own."""

_STOPWORDS = frozenset(
    "a about after again all also am an and any are as at be because been before being but by can could did do "
    "does doing down each few for from further get give had has have having he her here hers him his how i if in "
    "into is it its just let like make me more most my need no nor not now of off on once only or other our out "
    "over own please same she should so some such tell than that the their them then there these they this those "
    "through to too under until up us very want was we were what when where which while who why will with would "
    "write you your short new good best one two three explain something some send text message words short".split()
)


def finish_all(
    reply: Reply, *, messages: Sequence[Message], kind: Kind, language: str, label: str = DEFAULT_LABEL
) -> list[Finished]:
    """All texts of a reply in their order, mended and judged beside each other."""
    finished = [
        finish(Draft(text.text, text.finish_reason), messages=messages, kind=kind, language=language, label=label)
        for text in reply.texts
    ]
    weight = _AGREEMENT_WEIGHTS[kind.form]
    agreed = agreement([each.text for each in finished])
    return [
        replace(each, quality=each.quality + weight * share, likelihood=likelihood)
        for each, share, likelihood in zip(finished, agreed, _likelihoods(reply.texts), strict=True)
    ]


def finish(
    draft: Draft, *, messages: Sequence[Message], kind: Kind, language: str, label: str = DEFAULT_LABEL
) -> Finished:
    """Mend a draft that answers `messages`, and judge it.

    Nothing that the messages hold is taken for invented, whoever said it; only what reads like our `label` goes,
    whoever wants it.
    """
    written, topic = without_labels(sanitize(draft.text), label), kind.topic_in(messages[-1].content)
    given = "\n".join(message.content for message in messages)
    text = _without_contacts(_without_talk(written, kind), given)
    text, is_loop = _without_loop(text)
    if kind.form == "line":
        text = _first_line(text)
    elif draft.finish_reason == "length" or is_loop:
        text = _whole(text, kind)
    text = _unquoted(_without_placeholders(_DANGLING.sub("", text).strip()))
    text = without_labels(text, label)  # what stood behind a preamble or in quotes
    if not text:
        return Finished(text, ("empty",), -math.inf)
    faults = list(_faults(text, topic, given, kind, language))
    if _REFUSAL.search(written):
        faults.append("refusal")
    if _is_fragment(text, written, kind, is_cut=draft.finish_reason == "length"):
        faults.append("loop" if is_loop else "cut" if draft.finish_reason == "length" else "talk")
    return Finished(text, tuple(faults), _quality(text, draft, topic, given, kind))


def _likelihoods(texts: Sequence[WrittenText]) -> list[float]:
    """Of each text as it was written, mended or not."""
    if not all(text.logprobs for text in texts if text.text):
        return [0.0] * len(texts)
    sums = [sum(token.logprob for token in text.logprobs) for text in texts]
    shares = [min(1.0, _MOST_COUNTED_WORDS / max(1, len(words(text.text)))) for text in texts]
    return [_LIKELIHOOD_WEIGHT * share * total for share, total in zip(shares, sums, strict=True)]


def agreement(texts: Sequence[str]) -> list[float]:
    """How much each text says what the others say too, from 0 to 1: the mean overlap of content words with them.

    Of several answers of a small model the odd ones out are mostly wrong. (Minimum Bayes risk decoding: Kumar and
    Byrne, HLT-NAACL 2004; with F1 of words as the gain.)
    """
    bags = [Counter(_content(text)) for text in texts]
    return [
        sum(_overlap(bag, other) for j, other in enumerate(bags) if j != i) / max(1, len(bags) - 1)
        for i, bag in enumerate(bags)
    ]


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2.0 * (one & other).total() / total if total else 0.0


# Mending


def _without_talk(text: str, kind: Kind) -> str:
    """Without a preamble, a label, a closing offer, and sentences at either end that speak to whoever asked."""
    for pattern in _PREAMBLES:
        rest = pattern.sub("", text, count=1).lstrip()
        text = rest or text
    sentences = list(_sentences(text))
    if len(sentences) > 1 and (_TALK.search(sentences[0]) or (kind.form != "free" and _REPLY.search(sentences[0]))):
        text = "".join(sentences[1:]).lstrip()
    body, gap, last = text.rpartition("\n\n")
    if gap and _CLOSING.search(last) and len(last) < 250:
        return body.rstrip()
    sentences = list(_sentences(text))
    kept = len(sentences)
    while kept > 2 and _TALK.search(sentences[kept - 1]):
        kept -= 1
    return text if kept == len(sentences) else "".join(sentences[:kept]).rstrip()


def _without_contacts(text: str, given: str) -> str:
    """Without the sentences that hold an address which nobody has given, unless nothing else was written.

    The words of a link stay.
    """
    text = _LINK.sub(r"\1", text)
    if not _has_invented_contacts(text, given):
        return text
    return "".join(part for part in _sentences(text) if not _has_invented_contacts(part, given)).strip() or text


def _has_invented_contacts(text: str, given: str) -> bool:
    return any(found[0] not in given for found in _CONTACTS.finditer(text))


def _without_loop(text: str) -> tuple[str, bool]:
    """The text up to where it begins to say the same again and again, and whether it does."""
    places = [(found.start(), found[0].casefold()) for found in WORD.finditer(text)]
    read = [word for _, word in places]
    for period in range(1, 25):
        run = 0
        for at in range(len(read) - period):
            run = run + 1 if read[at] == read[at + period] else 0
            if run >= max(2 * period, 5):  # the same for the third time
                return text[: places[at - run + 1 + period][0]].rstrip(), True
    seen: Counter[str] = Counter()
    kept, loops = [], False
    for part in _sentences(text):
        key = " ".join(words(part))
        seen[key] += 1
        if seen[key] > 1 and len(key) > 12:
            loops = loops or seen[key] > 2
            continue
        kept.append(part)
    return "".join(kept).rstrip(), loops


def _whole(text: str, kind: Kind) -> str:
    """The text up to the end of its last whole sentence or item of a list, or line of verse; "" without one."""
    lines = text.rpartition("\n")[0].rstrip()
    if kind.form == "verse":
        return lines
    ends = sentence_ends(text)
    if _ITEM.match(lines.rpartition("\n")[2]):
        ends.append(len(lines))
    return text[: max(ends, default=0)]


def _without_placeholders(text: str) -> str:
    """Without lines and greetings that are to be filled in, as "[Your Name]"."""
    text = _GREETED.sub(r"\1,\n" if "\n" in text else r"\1, ", text)
    text = re.sub(r"^(Dear),", "Hello,", text, flags=re.MULTILINE)
    lines = [line for line in text.split("\n") if not line.strip() or _BLANK.sub("", line).strip(" ,.*:-|")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _first_line(text: str) -> str:
    """What a slogan or a title is: the first line, without a mark of a list."""
    return re.sub(r"^(?:\d{1,2}[.)]|[-*•#]+)\s+", "", text.partition("\n")[0]).strip()


def _unquoted(text: str) -> str:
    """Without quotes around the whole of it, and without one that is never closed."""
    inner = text.strip("*_ ") if text.startswith(("**", "__")) and text.endswith(("**", "__")) else text
    closing = _QUOTES.get(inner[:1])
    if closing and len(inner) > 2:
        if inner.endswith(closing) and closing not in inner[1:-1]:
            return inner[1:-1].strip()
        if closing not in inner[1:]:
            return inner[1:].strip()
    return text


# Judging


def _faults(text: str, topic: str, given: str, kind: Kind, language: str) -> Iterator[str]:
    """What is wrong with a mended text, by name."""
    if _has_invented_contacts(text, given):
        yield "address"
    if _TALK.search(text) or _says_task(text, topic, kind):
        yield "talk"
    elif kind.form != "free" and _REPLY.search(text):
        yield "reply"
    if _is_monotonous(words(text)):
        yield "loop"
    if language_of_topic(text) != language and not _ANOTHER_LANGUAGE.search(topic):
        yield "language"


def _is_fragment(text: str, written: str, kind: Kind, *, is_cut: bool) -> bool:
    """Whether mending left too little, or a line that never came to its end."""
    if kind.form == "line":
        return is_cut and written.endswith(text[-8:]) and not SENTENCE_END.search(text[-4:])
    return len(text) < _KEPT_SHARE * len(written)


def _quality(text: str, draft: Draft, topic: str, given: str, kind: Kind) -> float:
    """Log-odds, set by eye: what a reader of 500 texts of SmolLM2-135M held against them, and about how much."""
    read, asked, said, is_free = words(text), set(_content(topic)), set(_content(text)), kind.form == "free"
    ends_well = bool(SENTENCE_END.search(text[-6:])) or kind.form in ("line", "verse") or "\n" in text[-40:]
    invented = sum(found[0] not in given for found in islice(_CLAIMS.finditer(text), _MOST_CLAIMS))
    copied = {gram for example in _example_texts(kind) for gram in _grams(words(example), 3)}
    common = asked | _STOPWORDS
    fewest, most = {"line": (2, 12), "verse": (12, 90), "text": (15, 90), "free": (4, 90)}[kind.form]
    return sum(
        (
            (2.0 if kind.form in ("line", "verse") else 3.0) * _covered(asked, said),
            -2.0 * _describes(text, topic) - 1.5 * _has_too_few(text, topic),
            -1.0 * max(0, 2 - len(said - asked)) * ("?" not in topic),
            0.5 * (ends_well and draft.finish_reason == "stop") - 0.5 * (not ends_well),
            -min(0.5 * invented, 2.0) * (not is_free),
            -min(1.5 * _figures_missing(text, topic, kind), 3.0),
            -min(1.0 * len(_PLACEHOLDER.findall(text)), 2.0),
            -1.0 * bool(_REPLY.search(text)),
            -0.5 * (text.count("#") > 2) - 0.5 * (sum(ord(character) > 0x1F000 for character in text) > 4),
            -2.0 * max(0.0, 0.85 - _variety(read)) * (len(read) > 12),
            -min(0.5 * _said_again(read) + 1.0 * _listed_again(text), 3.0) * (kind.form != "verse"),
            -1.5 * max(0.0, 1.0 - len(read) / fewest) - 0.5 * min(max(0.0, len(read) / most - 1.0), 2.0),
            -1.5 * any(gram in copied and not common.issuperset(gram) for gram in _grams(read, 3)),
        )
    )


def _covered(asked: set[str], said: set[str]) -> float:
    """Which share of the request's content words, by their stems, a text takes up; of a long one, eight are enough."""
    return min(1.0, len(asked & said) / min(len(asked), 8)) if asked else 0.5


def _describes(text: str, topic: str) -> bool:
    """Whether it speaks of the text that was asked for in place of being it: "These three captions are for a dog"."""
    begins = _DESCRIPTION.match(text)
    return begins is not None and _stem(begins[1].casefold()) in map(_stem, words(topic))


def _has_too_few(text: str, topic: str) -> bool:
    """Whether "five ideas" were asked for, and fewer given: counted are items of a list, else lines, else sentences."""
    if (asked := _NUMBER_OF.search(topic)) is None:
        return False
    wanted = _NUMBERS.get(asked[1].casefold()) or int(asked[1])
    lines = [line for line in text.split("\n") if line.strip()]
    items = sum(bool(_ITEM.match(line)) for line in lines)
    return max(items, len(lines) if not items else 0, len(list(_sentences(text))) if not items else 0) < wanted


def _figures_missing(text: str, topic: str, kind: Kind) -> int:
    """How many figures of a request, such as a day or an hour, a text does not hold; not those that ask for a number.

    A question may be answered, a text summed up, and a slogan or a poem written without.
    """
    if kind.takes == "text" or kind.form in ("line", "verse") or "?" in topic:
        return 0
    said = set(_FIGURE.findall(text))
    return sum(figure not in said for figure in _FIGURE.findall(_NUMBER_OF.sub("", topic)))


def _said_again(words: Sequence[str]) -> int:
    """How many runs of three words, with one among them that means something, come a second time."""
    runs = Counter(gram for gram in _grams(words, 3) if not set(gram) <= _STOPWORDS)
    return sum(count - 1 for count in runs.values())


def _listed_again(text: str) -> int:
    """How many items of a list are one of those before, whatever their numbers."""
    items = [tuple(words(_MARK.sub("", line))) for line in text.split("\n") if _ITEM.match(line)]
    return len(items) - len(set(items))


def _is_monotonous(words: Sequence[str]) -> bool:
    """Whether it says the same in slightly other words: few different pairs of neighbours in a text of some length."""
    return len(words) > 30 and _variety(words) < 0.65


def _variety(words: Sequence[str]) -> float:
    """Different pairs of neighbouring words, as a share: distinct-2 (Li et al. 2016, arXiv 1510.03055)."""
    pairs = list(_grams(words, 2))
    return len(set(pairs)) / len(pairs) if pairs else 1.0


def _says_task(text: str, topic: str, kind: Kind) -> bool:
    """Whether it repeats the words around the topic in the request, as "Answer with the slogan only"."""
    given = set(_grams(words(topic), 4))
    task = {
        gram
        for template in kind.request.values()
        for part in re.split(r"\{\w+\}", template)
        for gram in _grams(words(part), 4)
    }
    return any(gram in task and gram not in given for gram in _grams(words(text), 4))


def _example_texts(kind: Kind) -> Iterator[str]:
    for examples in kind.examples.values():
        yield from (example.text for example in examples)


def _sentences(text: str) -> Iterator[str]:
    """The text in pieces that end with a sentence or a line, what lies between them included."""
    start = 0
    for end in sorted({*sentence_ends(text), *(found.start() for found in re.finditer("\n", text))}):
        if end > start:
            following = _NOT_BLANK.search(text, end)
            begin, start = start, len(text) if following is None else following.start()
            yield text[begin:start]
    if start < len(text):
        yield text[start:]


def _content(text: str) -> Iterable[str]:
    """Stems of the words that mean something: enough to see "volunteers" in "volunteering"."""
    return [_stem(word) for word in words(text) if word not in _STOPWORDS]


def _stem(word: str) -> str:
    for ending in ("ingly", "edly", "ing", "ies", "ed", "es", "ly", "'s", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _grams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[i:] for i in range(n)), strict=False)
