"""Personal data in a text: e-mail addresses, phone and card numbers, bank accounts, addresses of machines, secrets.

Recognised by their form and, where they have one, by their checksum (Luhn: ISO/IEC 7812-1; IBAN: ISO 13616).
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

from stdnum import iban, luhn

Kind = Literal["email", "phone", "card", "bank_account", "ip_address", "secret"]

_DIGIT = re.compile(r"\d")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d[\d ().\-/]{6,24}\d(?!\w)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w.]*[\w])")
_SECRET = re.compile(
    r"\b\d{6,12}:[\w-]{30,}"  # a bot's token
    r"|\b(?:sk|pk|rk)[-_](?:live|test|ant|proj)?[-_]?[A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bhf_[A-Za-z0-9]{30,}|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET_HINTS = (
    ":", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "xox",
    "AKIA", "AIza", "eyJ", "PRIVATE KEY",
)  # fmt: skip
"""A text without any of these has no secret; looking for them costs a tenth of matching the pattern."""
_MOBILE_CN = re.compile(r"1[3-9]\d{9}")


def personal_data(text: str) -> frozenset[tuple[Kind, str]]:
    """What is found, as its kind and a canonical form, equal however the same was written.

    >>> sorted(personal_data("write to Ada@example.org or +49 30 1234567"))
    [('email', 'ada@example.org'), ('phone', '+49301234567')]
    """
    text = unicodedata.normalize("NFKC", text)
    finders = _FINDERS if _DIGIT.search(text) else _WITHOUT_DIGITS
    return frozenset(found for finder in finders for found in finder(text))


def _emails(text: str) -> Iterator[tuple[Kind, str]]:
    if "@" in text:
        for match in _EMAIL.findall(text):
            yield "email", match.lower()


def _numbers(text: str) -> Iterator[tuple[Kind, str]]:
    """Cards by their checksum; phones by a + or a leading 0, or the form of a Chinese mobile number."""
    for match in _DIGITS.findall(text):
        digits = re.sub(r"\D", "", match)
        if 13 <= len(digits) <= 19 and luhn.is_valid(digits):
            yield "card", digits
        elif match.lstrip("(").startswith(("+", "0")) and 8 <= len(digits) <= 15 and not _is_other(match):
            yield "phone", ("+" if "+" in match else "") + digits
        elif _MOBILE_CN.fullmatch(digits) or re.fullmatch(r"\(?\d{3}\)?[ -.]\d{3}[ -.]\d{4}", match):
            yield "phone", digits


def _is_other(text: str) -> bool:
    """A date, as 01.02.2026 or 01-02-2026 10, or a fraction, as 0.12345678."""
    return re.match(r"0?\d[./-]\d{1,2}[./-]\d{2,4}|0\.\d+$", text) is not None


def _accounts(text: str) -> Iterator[tuple[Kind, str]]:
    for match in _IBAN.findall(text):
        for end in range(len(match), 14, -1):  # capitals may follow it
            if iban.is_valid(match[:end]):
                yield "bank_account", match[:end].replace(" ", "")
                break


def _ip_addresses(text: str) -> Iterator[tuple[Kind, str]]:
    for match in _IP.findall(text):
        try:
            yield "ip_address", ipaddress.ip_address(match).compressed
        except ValueError:
            continue


def _secrets(text: str) -> Iterator[tuple[Kind, str]]:
    if any(hint in text for hint in _SECRET_HINTS):
        for match in _SECRET.findall(text):
            yield "secret", match


_Finder = Callable[[str], Iterator[tuple[Kind, str]]]
_WITHOUT_DIGITS: tuple[_Finder, ...] = (_emails, _secrets)
_FINDERS: tuple[_Finder, ...] = (*_WITHOUT_DIGITS, _numbers, _accounts, _ip_addresses)
