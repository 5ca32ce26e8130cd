"""No token reaches the log, not even inside a traceback."""

import logging

from bot.log import MaskingFormatter

OWN = "7:short-token"
OTHER = "987654321:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def test_tokens_are_masked_in_messages_and_tracebacks() -> None:
    formatter = MaskingFormatter(OWN)
    try:
        raise ValueError(f"https://api.telegram.org/bot{OTHER}/getMe")
    except ValueError:
        import sys

        record = logging.LogRecord("x", logging.ERROR, "f", 1, "calling %s", (f"/bot{OWN}/getMe",), sys.exc_info())
    line = formatter.format(record)
    assert OWN not in line and OTHER not in line
    assert line.count("<token>") == 2 and "ValueError" in line
