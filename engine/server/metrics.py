"""What the engine's server counts, in Prometheus's text format."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from engine.inference.engine import Engine, TextStream

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_FIRST_TOKEN_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters of one server; gauges are read from the engine when asked for."""

    def __init__(self, engine: Engine) -> None:
        self._registry = registry = CollectorRegistry()

        def counter(name: str, help_: str, *labels: str) -> Counter:
            return Counter(f"ovation_engine_{name}", help_, labels, registry=registry)

        self._requests = counter("requests", "Finished requests.", "version", "outcome")
        self._prompt = counter("prompt_tokens", "Tokens read.", "version")
        self._completion = counter("completion_tokens", "Tokens written.", "version")
        self._compared = counter("texts_compared", "Texts of which one was chosen by a taste.", "version")
        self._choices = counter("choices", "Answers that were chosen from several texts.", "version")
        self.rejected = counter("rejected", "Requests that found the queue full.")
        self._first_token = Histogram(
            "ovation_engine_first_token_seconds",
            "From submission to the first text.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        for name, help_, read in (
            ("requests_running", "Requests being written.", lambda: engine.running),
            ("requests_waiting", "Requests that have no row yet.", lambda: engine.waiting),
            ("row_limit", "Requests that may be written at once; memory decides.", lambda: engine.row_limit),
            ("kv_tokens_reserved", "Tokens' keys and values that they may hold.", lambda: engine.kv_reserved),
            ("kv_tokens_limit", "Tokens' keys and values that there is room for.", lambda: engine.kv_tokens),
            ("tastes", "Tastes that can be asked for.", lambda: len(engine.preferences)),
            ("taste_fits", "How many times a taste was fitted.", lambda: engine.preferences.fits),
            ("versions", "Versions that can be asked for.", lambda: len(engine.model_names)),
        ):
            Gauge(f"ovation_engine_{name}", help_, registry=registry).set_function(read)

    def count(self, generation: TextStream, first_token_seconds: float | None) -> None:
        """Note the end of a request; `first_token_seconds` is from submission to the first text, None without any."""
        outcome = generation.finish_reason or ("failed" if generation.is_failed else "cancelled")
        self._requests.labels(generation.version, outcome).inc()
        self._prompt.labels(generation.version).inc(generation.prompt_tokens)
        self._completion.labels(generation.version).inc(generation.completion_tokens)
        if generation.best_of > 1:
            self._choices.labels(generation.version).inc()
            self._compared.labels(generation.version).inc(generation.best_of)
        if first_token_seconds is not None:
            self._first_token.observe(first_token_seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
