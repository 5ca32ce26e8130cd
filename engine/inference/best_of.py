"""Best of n: how many texts there is time to write for one answer, and the selection of one by a preference model.

Preference models are fitted on rated texts. The features of texts are read by the model's thread, a little between two
rounds, so that streams go on, and are kept for the next fit; fitting and scoring happen in other threads.
"""

import asyncio
import hashlib
import itertools
import logging
import math
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from cachetools import LRUCache
from torch import Tensor

from engine.api.types import MIN_PERSONAL_RATINGS, PersonalRating, RatedText, Selection, TasteFit, group_of
from engine.errors import EngineError, EngineUnavailable, RequestError
from engine.inference.request import JobProgress
from engine.models.loader import Base
from engine.models.logprobs import Encoded
from engine.preference.features import require_finite, text_features
from engine.preference.head import find_signal, labels_of
from engine.preference.personal import PersonLikes, PreferenceModel, fit_preferences, nearly_best
from engine.process import is_out_of_memory

logger = logging.getLogger(__name__)

MAX_NAMES: Final = 64
MIN_TEXTS: Final = 4
CACHE_BYTES: Final = 64 << 20
"""Features of 20,000 texts of the starter, or of 1,000 of a model with 4,096 numbers a token."""
_MIN_PER_SIDE = 5
"""With fewer likes or dislikes a cross-validated AUROC tells nothing."""

NOVELTY_WINDOW: Final = 256
"""Texts; each adds its pairs of tokens, some kilobytes."""

SLICE_SECONDS: Final = 0.02
"""So long a round may be held up by reading."""
_FIRST_SLICE_TOKENS = 128
_SLICE_SMOOTHING = 0.3
"""The weight of the newest slice in the measured speed."""

MAX_SLOWDOWN: Final = 2.0
"""An answer may take so many times as long as a single text on an idle engine."""
_SMOOTHING = 0.03
"""The weight of a new measurement in a moving average."""
_ROW_COST, _READING_COST, _SPREAD, _TYPICAL_TOKENS = 0.1, 1.0, 0.25, 64.0
"""The first guesses of a, b, c and n in `LatencyModel`."""


@dataclass(slots=True, eq=False)
class FeatureRequest:
    """Texts to be read; the future gives their features, (n, d) on the CPU, or its EngineError."""

    rows: Sequence[Encoded]
    is_urgent: bool = False
    """Somebody waits for an answer: it goes before those that nobody sees."""
    future: "Future[Tensor]" = field(default_factory=Future)
    done: dict[int, Tensor] = field(default_factory=dict)
    """The features of the rows read so far, by the row's number."""
    seconds: float = 0.0


class PreferenceModels:
    """The preference models that requests may name, which the API calls tastes. For one event loop."""

    def __init__(self, base: Base, *, read: Callable[[FeatureRequest], Awaitable[Tensor]]) -> None:
        """`read` gives the features of a request's rows."""
        self._base = base
        self._read = read
        self._models: dict[str, PreferenceModel] = {}
        self._features: LRUCache[bytes, Tensor] = LRUCache(CACHE_BYTES, getsizeof=lambda features: features.nbytes)
        self._recent = RecentTexts()
        self._fitting = asyncio.Lock()
        self.fits = 0
        """How many times a model was fitted."""

    def __contains__(self, name: object) -> bool:
        return name in self._models

    def __len__(self) -> int:
        return len(self._models)

    async def fit(
        self, name: str, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
    ) -> TasteFit:
        """Fit a model anew; it replaces the one of this name at once, when it is there. Without texts it is removed.

        Raises:
            RequestError: there is nothing to be learned from these ratings, or they name texts that are not there.
            EngineUnavailable: the engine has stopped, or memory ran out.
            ModelError: the base computes values that are not numbers.
        """
        _check(texts, people)
        began = time.perf_counter()
        async with self._fitting:
            if not texts:
                self._models.pop(name, None)
                return TasteFit(0, 0, None, time.perf_counter() - began)
            if name not in self and len(self) >= MAX_NAMES:
                raise RequestError(f"There are {MAX_NAMES} tastes already; remove one first.")
            features = await self._features_of([await self._encoded(text) for text in texts])
            model, auroc = await asyncio.to_thread(_fitted, features, texts, people)
            self._models[name] = model
        self.fits += 1
        return TasteFit(len(texts), len(model.people), auroc, time.perf_counter() - began)

    async def select(self, candidates: Sequence[JobProgress], selection: Selection) -> JobProgress:
        """The most novel of one job's texts that please nearly most.

        The first, unseen, where there is nothing to select by: the model is gone, or it or the base cannot compute.
        """
        job, model = candidates[0].job, self._models.get(selection.taste or "")
        if model is None or len(candidates) < 2:
            return candidates[0]
        rows = [self._row(job.prompt, job.family.as_written(each.text, job.messages)) for each in candidates]
        draw = selection.draw(job.sampling.seed)
        try:
            features = await self._read(FeatureRequest(rows, is_urgent=True))
        except EngineError as error:
            logger.warning("The first of %d texts is taken unseen: %s", len(candidates), error)
            return candidates[0]
        scores = await asyncio.to_thread(model.scores, features, person=selection.person, draw=draw)
        is_eligible = scores.isfinite() & torch.tensor([bool(each.text.strip()) for each in candidates])
        if not is_eligible.any():
            return candidates[0]
        near = nearly_best(scores.sigmoid().masked_fill(~is_eligible, -torch.inf)).nonzero()[:, 0].tolist()
        place = self._recent.most_novel([row.completion for row in rows], near)
        self._features[_key(rows[place])] = features[place].clone()  # it may be rated soon
        return replace(candidates[place], compared=len(candidates))

    async def _encoded(self, text: RatedText) -> Encoded:
        """One text as token ids; others have their turn on the event loop before the next."""
        await asyncio.sleep(0)
        written = self._base.family.as_written(text.text, text.messages)
        return self._row(self._base.template.encode(text.messages), written)

    def _row(self, prompt: Sequence[int], written: str) -> Encoded:
        """A text as the trainer reads it, with its end token; what exceeds the context is cut off, the prompt first."""
        limit = self._base.context_tokens
        completion = (*self._base.template.plain(written)[: limit - 1], int(self._base.tokenizer.eos_token_id))
        return Encoded(tuple(prompt[max(len(prompt) + len(completion) - limit, 0) :]), completion)

    async def _features_of(self, rows: Sequence[Encoded]) -> Tensor:
        """The features of rated texts, (n, d); only those are computed that are not known."""
        keys = [_key(row) for row in rows]
        found = {key: self._features[key] for key in keys if key in self._features}
        missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in found}
        if missing:
            features = require_finite(await self._read(FeatureRequest(list(missing.values()))))
            new = dict(zip(missing, map(Tensor.clone, features), strict=True))
            self._features.update(new)
            found |= new
        return torch.stack([found[key] for key in keys])


def _key(row: Encoded) -> bytes:
    """A name for a prompt and its text."""
    ids = array("q", [len(row.prompt), *row.prompt, *row.completion])
    return hashlib.blake2b(ids.tobytes(), digest_size=16).digest()


def _check(texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]) -> None:
    values = [text.value for text in texts if text.weight > 0.0]
    if texts and len(values) < MIN_TEXTS:
        raise RequestError(f"texts: {len(values)} have a weight, but a taste needs {MIN_TEXTS} at least.")
    if texts and not min(values) < 0.0 < max(values):
        raise RequestError("texts: a taste needs liked and disliked ones; these are all of one side.")
    for ratings in people.values():
        if any(not 0 <= rating.text_index < len(texts) for rating in ratings):
            raise RequestError("people: a rating names a text that is not there; texts are counted from 0.")


def _fitted(
    features: Tensor, texts: Sequence[RatedText], people: Mapping[str, Sequence[PersonalRating]]
) -> tuple[PreferenceModel, float | None]:
    """The model, and how well everybody's ratings predict one another."""
    labels = labels_of(
        [text.value for text in texts], [text.weight for text in texts], [group_of(text.messages) for text in texts]
    )
    likes = {
        person: PersonLikes(
            torch.tensor([rating.text_index for rating in ratings]),
            torch.tensor([(1.0 + rating.value) / 2.0 for rating in ratings], dtype=torch.float64),
        )
        for person, ratings in people.items()
        if len(ratings) >= MIN_PERSONAL_RATINGS
    }
    model = fit_preferences(features, labels, likes)
    sides = [text.value > 0.0 for text in texts if text.weight > 0.0 and text.value]
    can_tell = min(sides.count(True), sides.count(False)) >= _MIN_PER_SIDE and len(labels.groups.unique()) > 1
    return model, find_signal(features, labels, seed=0).auroc if can_tell else None


class RecentTexts:
    """The texts that were shown last, as pairs of neighbouring tokens: distinct-2's (Li et al. 2016, arXiv 1510.03055).

    Where several texts please almost equally, the most novel keeps what a community reads diverse.
    """

    def __init__(self) -> None:
        self._texts: deque[frozenset[tuple[int, int]]] = deque()
        self._counts: Counter[tuple[int, int]] = Counter()

    def novelty(self, completion: Sequence[int]) -> float:
        """From 0 to 1: the mean over the text's different pairs of 1 / (1 + how many texts had it); 0 without pairs."""
        pairs = set(itertools.pairwise(completion))
        return sum(1.0 / (1 + self._counts[pair]) for pair in pairs) / max(1, len(pairs))

    def add(self, completion: Sequence[int]) -> None:
        """One more text was shown; the oldest is forgotten where there are `NOVELTY_WINDOW`."""
        if len(self._texts) == NOVELTY_WINDOW:
            self._counts -= Counter(self._texts.popleft())
        self._texts.append(frozenset(itertools.pairwise(completion)))
        self._counts.update(self._texts[-1])

    def most_novel(self, completions: Sequence[Sequence[int]], places: Sequence[int]) -> int:
        """Which of these places has the most novel text, the first of equals; it counts as shown from now on."""
        place = max(places, key=lambda place: self.novelty(completions[place]))
        self.add(completions[place])
        return place


class FeatureReader:
    """Reads texts for their features, a slice at a time. For one thread."""

    def __init__(self, base: Base, *, prepare: Callable[[int], None]) -> None:
        """`prepare` is called with the number of tokens before they are read."""
        self._base = base
        self._prepare = prepare
        self._waiting: deque[FeatureRequest] = deque()
        self._slice_tokens = float(_FIRST_SLICE_TOKENS)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: FeatureRequest) -> None:
        """Let texts wait to be read, at least one."""
        if not request.future.set_running_or_notify_cancel():
            return
        urgent = sum(other.is_urgent for other in self._waiting)  # these are the first
        self._waiting.insert(urgent if request.is_urgent else len(self._waiting), request)

    def read(self) -> FeatureRequest | None:
        """Read a slice of what is first, some `SLICE_SECONDS` long; the request if that was the last of it.

        What cannot be read fails its request.
        """
        request = self._waiting[0]
        chosen = self._slice(request)
        tokens = len(chosen) * max(len(request.rows[i]) for i in chosen)
        began, failure = time.perf_counter(), None
        try:
            self._prepare(tokens)
            features = text_features(self._base, [request.rows[i] for i in chosen], max_tokens=tokens)
        except (RuntimeError, MemoryError) as error:  # torch's; what is repaired is repaired outside this block
            failure = error
            logger.exception("Reading %d texts failed.", len(chosen))
        if failure is not None:
            if is_out_of_memory(failure) and len(chosen) > 1:
                self._slice_tokens /= 2
            else:
                self._waiting.popleft()
                error_text = "The model could not read these texts; try again later."
                request.future.set_exception(EngineUnavailable(error_text))
            return None
        seconds = time.perf_counter() - began
        fitting = min(tokens * SLICE_SECONDS / max(seconds, 1e-6), 2 * self._slice_tokens)
        self._slice_tokens += _SLICE_SMOOTHING * (fitting - self._slice_tokens)
        request.seconds += seconds
        request.done |= dict(zip(chosen, features, strict=True))
        if len(request.done) < len(request.rows):
            return None
        self._waiting.popleft()
        request.future.set_result(torch.stack([request.done[i] for i in range(len(request.rows))]))
        return request

    def fail_all(self) -> None:
        """Fail everything that waits: the thread ends."""
        for request in self._waiting:
            request.future.set_exception(EngineUnavailable("The engine has stopped; start it again."))
        self._waiting.clear()

    def _slice(self, request: FeatureRequest) -> list[int]:
        """The shortest of the rows that are not read, as many as may be read at once, at least one."""
        left = [i for i in range(len(request.rows)) if i not in request.done]
        left.sort(key=lambda i: len(request.rows[i]))
        count = 1
        while count < len(left) and (count + 1) * len(request.rows[left[count]]) <= self._slice_tokens:
            count += 1
        return left[:count]


class LatencyModel:
    """How much longer an answer takes when several texts are written for it side by side, learned from measurements.

    A single text of n tokens takes n steps of one row. A step of r rows takes 1 + a (r - 1) times as long. Of k texts
    the longest decides: it has about n (1 + c ln k) tokens (where lengths have an exponential tail, the largest of k
    grows by the logarithm: Gumbel, "Statistics of Extremes", 1958), and at the end all k are read to be compared, which
    takes b steps a text. a, b and c are moving averages. A machine is disturbed now and then, so one measurement counts
    as twice what was expected at most; and what is not measured any more fades back to a first guess, so that one bad
    minute does not decide for ever.
    """

    def __init__(self) -> None:
        self._step_seconds = 0.0
        self._row_cost = _ROW_COST
        self._reading_cost = _READING_COST
        self._spread = _SPREAD
        self._tokens = _TYPICAL_TOKENS

    def observe_step(self, rows: int, seconds: float) -> None:
        """A step of so many rows took so long.

        Half of what was not expected may be the machine's speed, half what rows cost; steps of one row, which come at
        the end of every answer, tell the two apart.
        """
        if not self._step_seconds:
            self._step_seconds = seconds / self._step_cost(rows)
        surprise = min(seconds / (self._step_seconds * self._step_cost(rows)) - 1.0, 1.0)
        if rows > 1:  # the more rows, the better they tell what one costs
            change = surprise * self._step_cost(rows) / (rows + 3)
            self._row_cost = max(self._row_cost + _SMOOTHING * change, 0.0)
        self._step_seconds *= 1.0 + 2.0 * _SMOOTHING * surprise

    def observe_answer(self, lengths: Sequence[int]) -> None:
        """The texts of one answer are complete; `lengths` are in tokens."""
        mean = sum(lengths) / len(lengths)
        self._tokens += _SMOOTHING * (mean - self._tokens)
        if len(lengths) > 1:
            self._spread += _SMOOTHING * ((max(lengths) / mean - 1.0) / math.log(len(lengths)) - self._spread)
        else:
            self._row_cost += _SMOOTHING * (_ROW_COST - self._row_cost)
            self._reading_cost += _SMOOTHING * (_READING_COST - self._reading_cost)
            self._spread += _SMOOTHING * (_SPREAD - self._spread)

    def observe_reading(self, texts: int, seconds: float) -> None:
        """So many texts were read, to be compared, in so long."""
        if self._step_seconds:
            steps = min(seconds / texts / self._step_seconds, 2.0 * self._reading_cost)
            self._reading_cost += 4.0 * _SMOOTHING * (steps - self._reading_cost)  # they are few

    def allows(self, rows: Sequence[int], texts: int) -> bool:
        """Whether an answer of so many texts may be begun when the batches then have so many `rows` each."""
        longest = 1.0 + self._spread * math.log(texts)
        reading = texts * self._reading_cost / self._tokens
        return longest * sum(map(self._step_cost, rows)) + reading <= MAX_SLOWDOWN

    def _step_cost(self, rows: int) -> float:
        """How many times as long as a step of one row a step of so many takes."""
        return 1.0 + self._row_cost * (rows - 1)
