"""The library's bot on a network that is an object of the test's: it answers as the test wants, and opens nothing."""

from telegram.ext import ExtBot
from telegram.request import BaseRequest

from bot.messaging.messenger import Urgency
from bot.telegram.rate_limiter import RateLimiter


class NetworkStandIn(BaseRequest):
    """What the library asks of a network beside `do_request`, which each kind of stand-in has its own of."""

    @property
    def read_timeout(self) -> float:
        return 1.0

    async def initialize(self) -> None: ...

    async def shutdown(self) -> None: ...


def bot_on(network: NetworkStandIn) -> ExtBot[Urgency]:
    return ExtBot("1:token", request=network, get_updates_request=network, rate_limiter=RateLimiter())
