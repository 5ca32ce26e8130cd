"""No token and nothing that people wrote reaches the log, not even inside a traceback."""

import logging
import sys

import pytest

from bot.common.errors import StartError
from bot.common.log import RedactingFilter
from engine.errors import RequestError

OWN = "7:short-token"
OTHER = "987654321:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def line(error: Exception, message: str = "it failed", *values: object) -> str:
    try:
        raise error
    except Exception:  # noqa: BLE001 - whatever was given
        record = logging.LogRecord("x", logging.ERROR, "f", 1, message, values, sys.exc_info())
    assert RedactingFilter(OWN).filter(record)
    return logging.Formatter("%(message)s").format(record)


def test_tokens_are_masked_in_messages_and_tracebacks() -> None:
    told = line(StartError(f"https://api.telegram.org/bot{OTHER}/getMe"), "calling %s", f"/bot{OWN}/getMe")
    assert OWN not in told and OTHER not in told
    assert told.count("<token>") == 2 and "StartError" in told and "test_log.py" in told


@pytest.mark.parametrize("error", [ValueError("my secret prompt"), RequestError("the prompt 'my secret prompt'")])
def test_the_words_of_exceptions_that_may_quote_a_person_are_left_out(error: Exception) -> None:
    told = line(error)
    assert "secret" not in told and type(error).__name__ in told


def test_a_cause_is_told_before_its_consequence() -> None:
    try:
        try:
            raise OSError("disk on fire")
        except OSError as cause:
            raise StartError("Put it out.") from cause
    except StartError as error:
        told = line(error)
    assert told.index("disk on fire") < told.index("which led to") < told.index("Put it out.")
