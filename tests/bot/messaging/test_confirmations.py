"""A question waits for its yes, whatever others ask meanwhile."""

import pytest

from bot.common.errors import Refusal
from bot.messaging.confirmations import Confirmations, Done


async def _done() -> Done:
    return Done("forget-done", {}, "forget")


async def test_nobody_can_push_out_what_others_were_asked() -> None:
    confirmations = Confirmations()
    nonce = confirmations.ask(_done, person_id=1, chat_id=1)
    own = [confirmations.ask(_done, person_id=2, chat_id=chat) for chat in range(2000)]
    assert await confirmations.answer(nonce, is_yes=True, person_id=1, chat_id=1) == await _done()
    assert await confirmations.answer(own[-1], is_yes=False, person_id=2, chat_id=1999) is None
    with pytest.raises(Refusal, match="confirm-expired"):
        await confirmations.answer(own[0], is_yes=True, person_id=2, chat_id=0)
