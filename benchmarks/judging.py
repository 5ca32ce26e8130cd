"""Rules that judge a delivered text: is it finished, does it loop, does it talk about the task, is it on the topic?

Written for `ordinary`, apart from what the bot itself cleans texts by, so that neither hides the other's gaps.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

ONE_LINERS = frozenset({"slogan", "title"})
"""Kinds that need no full stop."""

_CJK = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_WRAPPING = "\"'”’»)]}*_`~ \t"
_EMOJI_AT_END = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0f\u200d]+$")
_HASHTAGS_AT_END = re.compile(r"(?:#\w+\s*)+$")
_SENTENCE_ENDS = ".!?…。！？"
_ITEM = re.compile(r"^\s*(?:[-*•–]|\d+[.)])\s*(?P<words>.*)$")
_DANGLING = frozenset(
    "a an the and or but nor of to in on at for from by with as that which who whose is are was were be been being has"
    " have had will would can could should may might must my your his her its our their this these those than if when"
    " while because so very not i".split()
)
"""Nobody ends a text with one of these."""
_LONG_SENTENCE = 4
"""Words from which on a sentence that comes twice is no accident."""

_TASK_TALK = (
    re.compile(r"^\W*(?:sure|certainly|absolutely|of course|okay|ok|got it)\b\W", re.IGNORECASE),
    re.compile(r"^\W*here(?:['’]s| is| are)\b[^\n]{0,90}:\s*(?:\n|$)", re.IGNORECASE),
    re.compile(r"^\W*here(?:['’]s| is| are) (?:a|an|the|some|your|my|one) [^.!?\n]{0,60}"
               r"(?:slogan|poem|story|post|pitch|title|character|article|script|summary|scene|message|email|version|"
               r"rewrite|list|example|draft|text)s?\b", re.IGNORECASE),
    re.compile(r"^\W*(?:slogan|poem|story|post|pitch|title|character|article|script|summary|scene|answer|response|"
               r"output|revised \w+)\s*:", re.IGNORECASE),
    re.compile(r"^\W*(?:i['’]m sorry|i apologi[sz]e|unfortunately,? i)\b", re.IGNORECASE),
    re.compile(r"\bas an? (?:ai|artificial|language model|assistant|chatbot)|\blanguage model\b|\bi['’]m an ai\b",
               re.IGNORECASE),
    re.compile(r"\b(?:the user|the prompt|your (?:request|prompt|topic)|this (?:prompt|request)|the given topic|"
               r"the requested|the provided text)\b", re.IGNORECASE),
    re.compile(r"\b(?:revised|rewritten|improved|alternative|shorter) version\b", re.IGNORECASE),
    re.compile(r"\b(?:i hope this helps|let me know if you(?:['’]d like| want| need| would)[^.!?\n]{0,60}"
               r"(?:chang|revis|adjust|version|modif)|please provide (?:me )?(?:the|more)|would you like me to|"
               r"i (?:can|could) (?:also )?(?:help|assist) you)\b", re.IGNORECASE),
    re.compile(r"^(?:\s*(?:note|explanation)\s*:)|\n\s*(?:note|explanation)\s*:", re.IGNORECASE),
    re.compile(r"<\|[^|]*\|>|\b(?:system|user|assistant)\s*:\s*\n|^\s*(?:user|assistant)\s*:", re.IGNORECASE),
)  # fmt: skip
_APOLOGY = re.compile(r"apolog|sorry", re.IGNORECASE)
_HELPING = re.compile(r"what can you do", re.IGNORECASE)
_INVENTED = re.compile(
    r"https?://\S+|www\.\S+|\b[\w.+-]+@[\w-]+\.\w+|(?<![\w@])@\w{3,}|\b[\w-]+\.(?:com|org|net|co\.uk|io)\b|"
    r"\+?\(?\d{3}\)?[ -]\d{3}[ -]?\d{2,4}"
)
_BLANK = re.compile(r"\[[A-Za-z][^\]\n]{1,40}\]")
_EMPTY_WORDS = frozenset(
    "a an the of in on at to for from by with and or but our my your his her their its me him them us is are was be"
    " been that this these who which we i you it as about how why what do does did can could should would will one two"
    " three five ten new first last short write give make tell explain not too so than then when where while into out"
    " up down all any some more most very just also own each every if there here no yes".split()
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one text."""

    finished: bool
    loops: bool
    talks_of_task: bool
    names_topic: bool
    invents: bool
    """Holds a link, an address, a handle or a telephone number that the request does not have."""
    has_blanks: bool
    """Leaves something like [Your Name] for the reader to fill in."""


def judge(text: str, *, kind: str, request: str) -> Verdict:
    """Judge what was answered to a request; an empty text is not finished and on nothing."""
    return Verdict(
        finished=is_finished(text, kind),
        loops=has_loops(text, kind),
        talks_of_task=talks_of_task(text, request),
        names_topic=names_topic(text, request),
        invents=any(found.rstrip(".,;:!?") not in request for found in _INVENTED.findall(text)),
        has_blanks=bool(_BLANK.search(text)),
    )


def is_finished(text: str, kind: str) -> bool:
    """Ends as texts do: with a sentence's end, an emoji, hashtags, a whole item of a list, or a name under a letter."""
    shown = _HASHTAGS_AT_END.sub("", text.strip()).rstrip() or text.strip()
    lines = [line.strip() for line in shown.split("\n") if line.strip()]
    if not lines:
        return False
    bare = lines[-1].rstrip(_WRAPPING)
    if _EMOJI_AT_END.search(bare) or bare.endswith(tuple(_SENTENCE_ENDS)):
        return not re.fullmatch(r"\d+\.", bare)
    words = _WORD.findall(bare)
    if not words or words[-1].lower() in _DANGLING or bare.endswith(tuple(",:;-–—，：；、")):
        return False
    return kind in ONE_LINERS or lines[-1].endswith("]") or _may_end_bare(lines, kind)


def _may_end_bare(lines: Sequence[str], kind: str) -> bool:
    """Whether the last line needs no full stop: an item after another, a name, a verse where no verse has one."""
    *before, last = lines
    if not before:
        return False
    item, words = _ITEM.match(last), _WORD.findall(last)
    if item and _ITEM.match(before[-1]):
        return len(words) <= 12
    if kind == "poem":
        return len(lines) >= 4 and not any(line.endswith(tuple(_SENTENCE_ENDS)) for line in before)
    return len(words) <= 4 and before[-1].endswith((",", "，"))


def has_loops(text: str, kind: str) -> bool:
    """A line or six words in a row three times, a sentence twice in a row, or twice at all where it is no refrain."""
    lines = Counter(_bare(line) for line in text.split("\n") if len(_tokens(line)) >= 3)
    if any(count >= 3 for count in lines.values()):
        return True
    tokens = _tokens(text)
    if any(count >= 3 for count in Counter(zip(*(tokens[i:] for i in range(6)), strict=False)).values()):
        return True
    if any(len(set(tokens[i : i + 4])) == 1 for i in range(len(tokens) - 3)):
        return True
    sentences = [sentence for each in re.split(r"[.!?。！？\n]+", text) if (sentence := _bare(each))]
    long = Counter(sentence for sentence in sentences if sentence.count(" ") >= _LONG_SENTENCE - 1)
    if any(one == other and one in long for one, other in pairwise(sentences)):
        return True
    return kind != "poem" and any(count >= 2 for count in long.values())


def talks_of_task(text: str, request: str) -> bool:
    """Speaks of the request or of the writer instead of only answering; apologies are fine where one was asked for."""
    patterns: Sequence[re.Pattern[str]] = _TASK_TALK
    found = [pattern for pattern in patterns if pattern.search(text.strip())]
    if _APOLOGY.search(request):
        found = [pattern for pattern in found if not _APOLOGY.search(pattern.pattern)]
    return bool(found) and not _HELPING.search(request)


def names_topic(text: str, request: str) -> bool:
    """Has at least one of the request's content words, by its stem; of a Chinese one, two characters in a row."""
    if _CJK.search(request):
        asked = {request[i : i + 2] for i in range(len(request) - 1) if len(_CJK.findall(request[i : i + 2])) == 2}
        return any(pair in text for pair in asked)
    wanted = {_stem(word) for word in _tokens(request) if word not in _EMPTY_WORDS}
    return bool(wanted & {_stem(word) for word in _tokens(text)})


def _tokens(text: str) -> list[str]:
    """Words in small letters; a Chinese character is one."""
    return [word.lower() for word in _WORD.findall(_CJK.sub(r" \g<0> ", text))]


def _bare(text: str) -> str:
    return " ".join(_tokens(text))


def _stem(word: str) -> str:
    return re.sub(r"(?:['’]s|ies|es|s|ing|ed|y)$", "", word) or word
