"""E-mail addresses, compared as addresses: whatever their capitals, and in nothing else alike."""

from __future__ import annotations

import contextlib
import unicodedata


def email_key(address: str | None) -> str | None:
    """Return what is equal for two ways to write one address, None where there is none.

    Capitals do not count, and a domain in punycode is the one that it stands for. Nothing else is
    taken for the same: not ``_`` and ``-``, and not ``ß`` and ``ss``, which are two domains.

    >>> email_key(" Jane@Example.COM ")
    'jane@example.com'
    """
    text = unicodedata.normalize("NFC", (address or "").strip()).lower()
    local, at, domain = text.rpartition("@")
    if not at:
        return text or None
    return f"{local}@{'.'.join(_unicode(label) for label in domain.split('.'))}"


def same_email(one: str | None, other: str | None) -> bool:
    """Whether both are the same address. Nothing is the same as no address."""
    key = email_key(one)
    return key is not None and key == email_key(other)


def _unicode(label: str) -> str:
    if label.startswith("xn--"):
        with contextlib.suppress(UnicodeError):
            return unicodedata.normalize("NFC", label[4:].encode().decode("punycode")).lower()
    return label
