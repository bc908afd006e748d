"""Signed tokens and one-time codes. Pure: the key and the time come in as arguments."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

CODE_DIGITS = 6
_LONGEST = 4096


def sign(key: bytes, purpose: str, claims: Mapping[str, Any], expires: datetime) -> str:
    """Return a token that only `read` with the same key and `purpose` accepts, until `expires`."""
    content = {**claims, "x": int(expires.timestamp())}
    body = _encoded(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{body}.{_encoded(_mac(key, purpose, body))}"


def read(key: bytes, purpose: str, token: str | None, now: datetime) -> dict[str, Any] | None:
    """Return the claims of a token, None if it is not ours, for another purpose, or too old."""
    if token is None or len(token) > _LONGEST:
        return None
    body, dot, signature = token.partition(".")
    if not dot or not hmac.compare_digest(
        signature.encode(errors="replace"), _encoded(_mac(key, purpose, body)).encode()
    ):
        return None
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):  # pragma: no cover - only we can sign it
        return None
    return claims if claims["x"] > now.timestamp() else None


def code(key: bytes, challenge: str) -> str:
    """Return the code that answers `challenge`: six digits."""
    number = int.from_bytes(_mac(key, "code", challenge)[:8]) % 10**CODE_DIGITS
    return f"{number:0{CODE_DIGITS}}"


def digest(key: bytes, kind: str, text: str) -> str:
    """Return what stands for `text` in the store: without the key it can't be guessed back."""
    return _encoded(_mac(key, f"digest {kind}", text))


def same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


def _mac(key: bytes, purpose: str, text: str) -> bytes:
    content = f"dispatch-returns online: {purpose}\n{text}".encode(errors="replace")
    return hmac.digest(key, content, hashlib.sha256)


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
