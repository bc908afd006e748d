"""Compares e-mail addresses without regard to upper and lower case."""

from __future__ import annotations

import contextlib
import unicodedata


def email_key(address: str | None) -> str | None:
    """Return a key that is equal for two spellings of one address, or None where there is none.

    It ignores case, and a domain in punycode equals the domain that it stands for. Nothing else
    counts as the same: not ``_`` and ``-``, and not ``ß`` and ``ss``, which are two domains.

    >>> email_key(" Jane@Example.COM ")
    'jane@example.com'
    """
    text = unicodedata.normalize("NFC", (address or "").strip()).lower()
    local, at, domain = text.rpartition("@")
    if not at:
        return text or None
    return f"{local}@{'.'.join(_unicode(label) for label in domain.split('.'))}"


def same_email(one: str | None, other: str | None) -> bool:
    """Whether both are the same address. A missing address equals nothing."""
    key = email_key(one)
    return key is not None and key == email_key(other)


def _unicode(label: str) -> str:
    if label.startswith("xn--"):
        with contextlib.suppress(UnicodeError):
            return unicodedata.normalize("NFC", label[4:].encode().decode("punycode")).lower()
    return label
