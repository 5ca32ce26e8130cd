"""What the engine's server counts, in Prometheus's text format.

Knows numbers and versions' names. Knows nothing of texts, people or HTTP routes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from engine.inference.engine import Engine
from engine.inference.request import Generation

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_FIRST_TOKEN_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Served:
    """One request's end."""

    generation: Generation
    first_token_seconds: float | None
    """From submission to the first text; None if there was none."""


class Metrics:
    """Counters of one server; gauges are read from the engine when asked for."""

    def __init__(self, engine: Engine) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "ovation_engine_requests", "Finished requests.", ["version", "outcome"], registry=registry
        )
        self._prompt = Counter("ovation_engine_prompt_tokens", "Tokens read.", ["version"], registry=registry)
        self._completion = Counter(
            "ovation_engine_completion_tokens", "Tokens written.", ["version"], registry=registry
        )
        self._compared = Counter(
            "ovation_engine_texts_compared", "Texts of which one was chosen by a taste.", ["version"], registry=registry
        )
        self._choices = Counter(
            "ovation_engine_choices", "Answers that were chosen from several texts.", ["version"], registry=registry
        )
        self._rejected = Counter("ovation_engine_rejected", "Requests that found the queue full.", registry=registry)
        self._first_token = Histogram(
            "ovation_engine_first_token_seconds",
            "From submission to the first text.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )

        def gauge(name: str, help_: str, read: Callable[[], float]) -> None:
            Gauge(f"ovation_engine_{name}", help_, registry=registry).set_function(read)

        gauge("requests_running", "Requests being written.", lambda: engine.running)
        gauge("requests_waiting", "Requests that have no row yet.", lambda: engine.waiting)
        gauge("row_limit", "Requests that may be written at once; memory decides.", lambda: engine.row_limit)
        gauge("kv_tokens_reserved", "Tokens' keys and values that they may hold.", lambda: engine.kv_reserved)
        gauge("kv_tokens_limit", "Tokens' keys and values that there is room for.", lambda: engine.kv_tokens)
        gauge("tastes", "Tastes that can be asked for.", lambda: len(engine.tastes))
        gauge("taste_fits", "How many times a taste was fitted.", lambda: engine.tastes.fits)
        gauge("versions", "Versions that can be asked for.", lambda: len(engine.model_names))

    def count(self, served: Served) -> None:
        """Note the end of a request."""
        generation = served.generation
        outcome = generation.finish_reason or ("failed" if generation.is_failed else "cancelled")
        self._requests.labels(generation.version, outcome).inc()
        self._prompt.labels(generation.version).inc(generation.prompt_tokens)
        self._completion.labels(generation.version).inc(generation.completion_tokens)
        if generation.best_of > 1:
            self._choices.labels(generation.version).inc()
            self._compared.labels(generation.version).inc(generation.best_of)
        if served.first_token_seconds is not None:
            self._first_token.observe(served.first_token_seconds)

    def count_rejected(self) -> None:
        """Note a request that was turned away."""
        self._rejected.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
