"""A steady thirty updates a second: what the bot adds to a prompt, and whether it keeps Telegram's limits.

Looks at the calls as they reached the stand-in, which refuses whatever exceeds the limits.
"""

import asyncio
import json
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.crowd import Crowd
from benchmarks.stage import Engine, staged
from benchmarks.tables import Row, number, percentile
from bot.sandbox.api.faults import LIMITED_PREFIXES, FloodLimits
from bot.sandbox.api.server import Call

PEOPLE = 160
GROUPS = 10
PROMPTS_PER_SECOND = 8.0
REACTIONS_PER_SECOND = 22.0

SECOND = (30, 1.0)
BURST = (5, 5.0)
MINUTE = (20, 60.0)
"""Telegram's limits over all chats, in one chat, and in one group: so many calls in so many seconds."""

_WARM_SECONDS = 60.0
_SLACK_SECONDS = 0.1
"""A call that waited may count as free only if this much more than a window had room."""
_LAG_SECONDS = 0.01


async def measure(engine: Engine, *, seconds: float) -> list[Row]:
    """Thirty updates a second for so long."""
    async with staged(engine, flood_limits=FloodLimits()) as stage:
        await stage.bot.start()
        crowd = Crowd(stage.sandbox, PEOPLE, seed=4, groups=GROUPS)
        lags: list[float] = []
        acting = [
            asyncio.create_task(
                crowd.act(prompts_per_second=PROMPTS_PER_SECOND, reactions_per_second=REACTIONS_PER_SECOND)
            ),
            asyncio.create_task(_watch_lag(lags)),
        ]
        busy = time.process_time()
        warm = min(_WARM_SECONDS, seconds / 2)
        await asyncio.sleep(warm)
        memory = stage.memory_mib
        await asyncio.sleep(seconds - warm)
        growth = 100 * (stage.memory_mib / memory - 1)
        busy = 100 * (time.process_time() - busy) / seconds
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)
        toll = await crowd.reckon(stage.bot, seconds=120.0)
        metrics = await stage.metrics()
    traffic = Traffic.of(stage.sandbox.calls)
    name = f"{PROMPTS_PER_SECOND + REACTIONS_PER_SECOND:.0f} updates a second for {seconds:.0f} s"
    return [
        *toll.rows(name),
        *_overhead_rows(traffic, metrics),
        *_limit_rows(traffic),
        ("… answers with status 429", str(sum(call.status == 429 for call in stage.sandbox.calls)), "0"),
        (f"… memory after {warm:.0f} s, MiB; growth until the end", f"{number(memory)}; {growth:+.1f} %", "± 5 %"),
        ("… the stand-in itself: lag p95, ms; share of a core", f"{_ms(lags, 95)}; {busy:.0f} %", ""),
    ]


@dataclass(slots=True)
class Traffic:
    """The calls that count towards the limits, by their arrival, and what each prompt had to wait."""

    all: list[float] = field(default_factory=list)
    chats: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    free: list[float] = field(default_factory=list)
    """Seconds from a prompt's fetching to its placeholder, where no limit was near."""
    held: list[float] = field(default_factory=list)
    """The same where a limit may have held it back."""

    @classmethod
    def of(cls, calls: Iterable[Call]) -> "Traffic":
        """Read the record of calls."""
        traffic = cls()
        ordered = sorted(calls, key=lambda call: call.at)
        fetched: dict[tuple[str, int], float] = {}
        for call in ordered:
            if call.method == "getUpdates":
                fetched |= _prompts_in(call)
        for call in ordered:
            if _is_counted(call):
                traffic._take(call, fetched)
        return traffic

    def _take(self, call: Call, fetched: Mapping[tuple[str, int], float]) -> None:
        at, chat = call.at.timestamp(), str(call.params.get("chat_id"))
        answers = json.loads(str(call.params.get("reply_parameters", "{}"))).get("message_id")
        since = fetched.get((chat, answers)) if call.method == "sendMessage" else None
        if since is not None:
            near = (_is_near(times, limit, at) for times, limit in self._limits_of(chat))
            (self.held if any(near) else self.free).append(at - since)
        self.all.append(at)
        self.chats[chat].append(at)

    def _limits_of(self, chat: str) -> list[tuple[list[float], tuple[int, float]]]:
        times = self.chats[chat]
        return [(self.all, SECOND), (times, BURST), *([(times, MINUTE)] if chat.startswith("-") else [])]


def _prompts_in(call: Call) -> Mapping[tuple[str, int], float]:
    """When each message of a poll's answer was handed over."""
    updates = call.result if isinstance(call.result, list) else []
    messages = [update["message"] for update in updates if "message" in update]
    handed_over = call.at.timestamp() + call.seconds
    return {(str(message["chat"]["id"]), message["message_id"]): handed_over for message in messages}


def _is_counted(call: Call) -> bool:
    return call.status == 200 and call.method.lower().startswith(LIMITED_PREFIXES)


def _is_near(times: Sequence[float], limit: tuple[int, float], at: float) -> bool:
    """Whether a call at that moment may have been the first for which there was room again."""
    return len(times) - bisect_left(times, at - limit[1] - _SLACK_SECONDS) >= limit[0] - 1


def most_in(times: Sequence[float], seconds: float) -> int:
    """The most that any window so long has held; `times` are in order."""
    return max((end + 1 - bisect_left(times, at - seconds + 1e-9) for end, at in enumerate(times)), default=0)


def _overhead_rows(traffic: Traffic, metrics: Mapping[str, float]) -> list[Row]:
    waited = f"{len(traffic.held)} of {len(traffic.held) + len(traffic.free)}"
    return [
        ("… from a prompt's fetching to its placeholder, p50, ms", _ms(traffic.free, 50), ""),
        ("… the same, p95, ms", _ms(traffic.free, 95), "≤ 25"),
        ("… prompts left out of these, for which a limit was near", waited, ""),
        ("… `ovation_overhead_seconds`, p95, ms", _histogram_p95(metrics), "≤ 25"),
    ]


def _limit_rows(traffic: Traffic) -> list[Row]:
    groups = [times for chat, times in traffic.chats.items() if chat.startswith("-")]
    overall = most_in(traffic.all, SECOND[1])
    in_chat = max((most_in(times, BURST[1]) for times in traffic.chats.values()), default=0)
    in_group = max((most_in(times, MINUTE[1]) for times in groups), default=0)
    return [
        ("… most calls in any second", str(overall), f"≤ {SECOND[0]}"),
        ("… most calls in one chat in any 5 seconds", str(in_chat), f"≤ {BURST[0]}"),
        ("… most calls in one group in any minute", str(in_group), f"≤ {MINUTE[0]}"),
    ]


def _ms(seconds: Sequence[float], percent: float) -> str:
    return number(1000 * percentile(seconds, percent)) if seconds else "–"


def _histogram_p95(metrics: Mapping[str, float]) -> str:
    """As Prometheus reads a quantile from buckets: on a line between their bounds."""
    prefix = "ovation_overhead_seconds_bucket"
    buckets = sorted((float(name.removeprefix(prefix)), count) for name, count in metrics.items() if prefix in name)
    rank = 0.95 * buckets[-1][1] if buckets else 0.0
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if rank and count >= rank:
            return number(1000 * (lower + (bound - lower) * (rank - below) / (count - below)))
        lower, below = bound, count
    return "–"


async def _watch_lag(lags: list[float]) -> None:
    """How much later than asked this event loop comes back."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_LAG_SECONDS)
        lags.append(time.perf_counter() - began - _LAG_SECONDS)
