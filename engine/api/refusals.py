"""Why a server does not do what it was asked: to the operator in a sentence, to others by its kind.

A server's own words are kept as far as they cannot hold what people wrote: of them only those stay that are not in the
request, and a fixed list of words that every such sentence is made of.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from engine.errors import EngineBusy, EngineError, EngineFailed, EngineUnavailable, RefusalKind, RequestError

_SENTENCES: Final[Mapping[RefusalKind, str]] = {
    "too_long": "The conversation is too long for the engine's model.",
    "too_large": "The request is too large for the engine, or for a proxy before it.",
    "no_model": "The engine has no such model: set MODEL to one that it serves.",
    "template": "The chat template of the engine's model refuses the messages.",
    "field": "The engine refuses a field of the request.",
    "key": "The engine does not let the bot in: set ENGINE_KEY to a key that may use this model.",
    "account": "The account at the engine has no credit left: look at its operator's pages.",
    "address": "There are no chat completions at ENGINE_URL: set it to the root of an OpenAI-compatible server.",
    "policy": "The engine refuses to write on what was asked.",
    "other": "The engine refuses the request.",
}
_BY_STATUS: Final[Mapping[int, RefusalKind]] = {
    401: "key", 402: "account", 403: "key", 404: "address", 405: "address", 410: "address", 413: "too_large",
    414: "too_large", 422: "field", 501: "address",
}  # fmt: skip
_BY_WORDS: Final[tuple[tuple[RefusalKind, str], ...]] = (
    ("account", r"insufficient[_ ](quota|balance|credit|funds)|billing|exceeded your current quota"),
    (
        "too_long",
        r"context[_ ](length|size|window)|n_ctx|max_model_len"
        r"|\btoo long\b"
        r"|too many (input )?tokens|tokens at most|reduce the length|exceeds?.{0,60}(context|tokens|maximum length)",
    ),
    ("policy", r"content[_ ](policy|filter|management)|\bmoderation\b|\bflagged\b|responsible ai"),
    (
        "template",
        r"developer instruction"
        r"|system.{0,20}(role|message|prompt|instruction)|\broles?\b.{0,60}(support|alternat|allow|expect|invalid)"
        r"|(unsupported|invalid|unknown) role|chat[_ ]?template|\bjinja",
    ),
    (
        "no_model",
        r"model_not_found|(unknown|no such|invalid) model|there is no model"
        r"|\bmodels?\b.{0,80}(not found|not exist|not available|not loaded|unknown|no longer)",
    ),
    (
        "field",
        r"(unsupported|unknown|unrecogni[sz]ed|unexpected|invalid|extra)\b.{0,30}(param|field|argument|input|value|key)"
        r"|(param|field|argument)\w*\b.{0,60}(support|permitted|allowed|must)|not permitted",
    ),
    ("key", r"api[_ -]?key|unauthori[sz]ed|authenticat|forbidden|permission"),
)  # fmt: skip
_WORDS = tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in _BY_WORDS)
_ALSO_AS_500 = frozenset({"too_long", "template", "no_model"})
"""How some servers tell what is wrong with a request as a failure of their own."""
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.LOCKED, HTTPStatus.TOO_EARLY})
_DEFAULT_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 3600.0

_MOST_CHARACTERS = 300
_ORDINARY: Final = frozenset(
    "a about above according after against all allowed already alternate an and any api are argument arguments"
    " array as ask assistant at authentication authorization available bad be because been before body but by call"
    " can cannot change chat check code completion completions configured content context conversation could"
    " credit current default deprecated different disabled do does each either empty enabled engine equal error"
    " exceed exceeded exceeds exist exists expected extra failed false field fields first for found from gateway"
    " given greater has have however if in incorrect input inputs instead insufficient integer internal invalid is"
    " it its json key kind large least length less limit list loaded loading long longer longest max max_tokens"
    " maximum may message messages method min minimum missing model models more most must name named no none not"
    " null number object of off on one only or out over param parameter parameters part parts path per permission"
    " permitted plan please possible prompt property provide provided quota range rate re reached reason received"
    " reduce refused request requested requests require required requires resource response retry role roles s"
    " schema see seed sent server service set should size some stream string such support supported supports"
    " system t temperature template text than that the there these this timeout to token tokens too tools top_p"
    " total true try type unauthorized unavailable unexpected unknown unprocessable unrecognized unsupported up"
    " url use used user using valid validation value values version was we were when which window with without"
    " wrong you your".split()
)  # fmt: skip
_SECRET = re.compile(r"\b(?:sk|hf|gsk|Bearer)[-_ ]\S+|[A-Za-z0-9+/_=-]{24,}")
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]+|[^\W\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]+")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server's refusal, with all of its words: they may be the request's."""

    status: int
    words: str = ""
    wait_seconds: float = _DEFAULT_WAIT_SECONDS
    is_in_answer: bool = False
    """Whether the server had begun to answer as if all were well."""

    @classmethod
    def read(cls, status: int, body: str, headers: Mapping[str, str]) -> "Refusal":
        """An answer with an error's status; OpenAI's object, vLLM's older flat one, FastAPI's, or any page."""
        try:
            words = message_of(json.loads(body))
        except (ValueError, RecursionError):
            is_page = body.lstrip()[:1] == "<" or len(body) > 10 * _MOST_CHARACTERS
            words = "" if is_page else body
        return cls(status, words.strip(), _wait(headers))

    @property
    def kind(self) -> RefusalKind:
        """What it is about."""
        by_words = next((kind for kind, pattern in _WORDS if pattern.search(self.words)), None)
        by_status = _BY_STATUS.get(self.status, "other")
        if HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST:
            return "address"
        if by_words is None or (by_words != "account" and by_status in ("key", "account", "too_large")):
            return by_status
        return by_words

    def error(self, said: Iterable[str] | None = None) -> EngineError:
        """The exception for it. `said` is what the request held of people's words; without it the words are the
        server's own.
        """
        kind, told = self.kind, self._told(said)
        is_failure = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR and self.status != HTTPStatus.NOT_IMPLEMENTED
        if self.status == HTTPStatus.TOO_MANY_REQUESTS and kind != "account":
            return EngineBusy(told or "The engine asks to wait.", retry_after_seconds=self.wait_seconds)
        if self.status in _LATER or (is_failure and kind not in _ALSO_AS_500):
            failure = EngineFailed if self.status == HTTPStatus.INTERNAL_SERVER_ERROR else EngineUnavailable
            fallback = f"The engine answered with status {self.status}."
            fallback = "The engine failed at its answer." if self.is_in_answer else fallback
            return failure(told if said is None and told else " ".join(filter(None, [fallback, _quoted(told)])))
        sentence = _SENTENCES[kind] if kind != "other" else f"The engine refuses the request (status {self.status})."
        message = told if said is None and told else " ".join(filter(None, [sentence, _quoted(told)]))
        return RequestError(message, status=self.status, kind=kind)

    def _told(self, said: Iterable[str] | None) -> str:
        words = " ".join(self.words.split())
        return words[: 2 * _MOST_CHARACTERS] if said is None else without_echo(words, said)


def message_of(value: object) -> str:
    """The sentence in an error object, wherever a server puts it."""
    if isinstance(value, list) and value:
        return " ".join(message_of(each) for each in value[:3])
    if isinstance(value, dict):
        if isinstance(place := value.get("loc"), list):  # FastAPI's; its `input` is the request's
            return f"{'.'.join(map(str, place))}: {value.get('msg')}"
        for key in ("error", "message", "detail", "msg", "title"):
            if value.get(key):
                return message_of(value[key])
        return " ".join(str(each) for each in value.values() if isinstance(each, str))
    return "" if value is None else str(value)


def without_echo(words: str, said: Iterable[str]) -> str:
    """A server's words without those of the request: what is in `said` becomes an ellipsis, unless it is ordinary.

    >>> without_echo("unexpected token 'Grandma' in prompt", ["My secret: Grandma has a boat"])
    "unexpected token '…' in prompt"
    """
    asked = " ".join(said).casefold()
    words = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), words)[: 4 * _MOST_CHARACTERS]

    def shown(found: re.Match[str]) -> str:
        word = found[0].casefold()
        if word in _ORDINARY:
            return found[0]
        is_wide = "\u2e80" <= word[0] <= "\ud7a3" or "\uf900" <= word[0] <= "\ufaff"
        parts = [word[place : place + 2] for place in range(max(len(word) - 1, 1))] if is_wide else [word]
        return "…" if any(part in asked for part in parts) else found[0]

    told = _WORD.sub(shown, _SECRET.sub("…", words))
    told = re.sub(r"…(?:[^\w…]*…)+", "…", "".join(each if each.isprintable() else " " for each in told))
    told = " ".join(told.split())
    return told if len(told) <= _MOST_CHARACTERS else told[: _MOST_CHARACTERS - 1] + "…"


def _quoted(words: str) -> str:
    return f"It says: {words}" if words else ""


def _wait(headers: Mapping[str, str]) -> float:
    """What Retry-After asks for: seconds, or a date."""
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            seconds = (until - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return _DEFAULT_WAIT_SECONDS
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else _DEFAULT_WAIT_SECONDS


def refusal_in(value: Mapping[str, Any]) -> Refusal:
    """The refusal in an error object that came with status 200, or in the middle of a stream."""
    error = value.get("error") or value
    codes = [error.get(key) for key in ("code", "status", "status_code")] if isinstance(error, dict) else []
    status = next((code for code in codes if isinstance(code, int) and 400 <= code < 600), 503)
    named = {"invalid_request_error": 400, "authentication_error": 401, "rate_limit_exceeded": 429}
    if isinstance(error, dict) and status == 503:
        names = [name for name in (error.get("code"), error.get("type")) if isinstance(name, str)]
        status = next((named[name] for name in names if name in named), status)
    try:
        words = message_of(value)
    except RecursionError:
        words = ""
    return Refusal(status, words, is_in_answer=True)
