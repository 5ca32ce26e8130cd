"""What the bot counts about itself, in Prometheus's terms."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_OVERHEAD_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class BotMetrics:
    """The counters of one bot; gauges are set by `health` whenever somebody looks."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, help_: str) -> Counter:
            return Counter(f"ovation_{name}", help_, registry=registry)

        def gauge(name: str, help_: str) -> Gauge:
            return Gauge(f"ovation_{name}", help_, registry=registry)

        self.accepted = counter("accepted", "Updates committed to the inbox.")
        self.dropped = Counter(
            "ovation_dropped", "Updates not handled: asked for already, superseded, or too many waited.", ["reason"],
            registry=registry,
        )  # fmt: skip
        for reason in ("repeated", "superseded", "sender", "chat"):
            self.dropped.labels(reason)
        self.duplicate_updates = counter("duplicate_updates", "Updates that Telegram sent again.")
        self.dead_letters = counter("dead_letters", "Updates that were given up.")
        self.polling_errors = counter("polling_errors", "Polls that brought no answer.")
        self.delivered = counter("delivered", "Generations shown whole.")
        self.failed = counter("failed", "Generations that ended without a text.")
        self.refused = counter("refused", "Requests answered with a refusal.")
        self.turned_away = counter("turned_away", "Updates of people and chats whom the allow list does not name.")
        self.unknown_sends = counter("unknown_sends", "Placeholders that may or may not have reached the chat.")
        self.orphans = counter("orphans", "Doubled placeholders that were found and taken away.")
        self.floods = counter("429s", "Calls that Telegram asked to hold back.")
        self.tokens = counter("tokens", "Tokens written by the model.")
        self.compared = counter("compared", "Texts that were chosen from several by the house's taste.")
        self.overhead = Histogram(
            "ovation_overhead_seconds", "From a prompt's handler to its first call out.", buckets=_OVERHEAD_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.queue_depth = gauge("queue_depth", "Updates accepted and not handled yet.")
        self.queue_age = gauge("queue_age_seconds", "Age of the oldest of them.")
        self.unfinished = gauge("generations_unfinished", "Prompts accepted and not answered yet.")
        self.wal_bytes = gauge("wal_bytes", "Size of the write-ahead log.")
        self.free_disk_bytes = gauge("free_disk_bytes", "Free space where the data lies.")
        self.last_training_success = gauge("last_training_success_timestamp_seconds", "End of the last whole run.")
        self.last_backup = gauge("last_backup_timestamp_seconds", "Time of the newest backup.")
        self.consented_people = gauge("consented_people", "People whose opt-in stands in at least one chat.")
        self.taste_texts = gauge("taste_texts", "Rated texts that the house's taste was fitted on.")
        self.taste_people = gauge("taste_people", "People with a taste of their own on top of it.")
        self.taste_auroc = gauge("taste_auroc", "How well it tells liked texts from disliked ones, cross-validated.")
        self.engine_restarts = gauge("engine_restarts", "How often our engine had to be started again.")
        self.active_version = Gauge("ovation_active_version", "1 for the champion.", ["version"], registry=registry)
        self.polled_at = time.monotonic()
        """When updates were last asked for with success, or last came by webhook."""
        self.poll_fault = ""
        """Why the last poll brought no answer; "" where it did."""

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
