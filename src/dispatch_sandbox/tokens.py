"""The portal's tokens: JSON web tokens, signed with HMAC-SHA256 (RFC 7519, `HS256`)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, cast

from dispatch_sandbox.wire import Record, dumps, loads

_HEADER: Record = {"alg": "HS256", "typ": "JWT"}


def issue(claims: Record, secret: str) -> str:
    """Write a token."""
    signed = f"{_encode(dumps(_HEADER))}.{_encode(dumps(claims))}"
    return f"{signed}.{_sign(signed, secret)}"


def read(token: str, secret: str) -> Record | None:
    """Return the claims of a token that we signed, or None. It may have expired."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(
        _sign(signed, secret).encode(), signature.encode("utf-8", "replace")
    ):
        return None
    text = signed.partition(".")[2]
    claims: Any = loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return cast("Record", claims)


def _sign(signed: str, secret: str) -> str:
    digest = hmac.new(secret.encode(), signed.encode("utf-8", "replace"), hashlib.sha256)
    return _encode(digest.digest())


def _encode(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")
