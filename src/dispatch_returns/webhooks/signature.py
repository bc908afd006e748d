"""Checks that Dispatch sent a delivery: HMAC-SHA256 over the raw body, before it is decoded.

The header is ``X-Dispatch-Signature: sha256=<64 hex digits>``; the key is the UTF-8 bytes of the
whole secret, ``whsec_`` included.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from dispatch_returns.errors import InvalidArgumentError, SignatureError

HEADER = "X-Dispatch-Signature"

_PREFIX = "sha256="
_DIGEST = len(_PREFIX)
"""The prefix of the digest."""
_LENGTH = _DIGEST + 64


def sign(body: bytes, secret: str) -> str:
    """Return the header's value for `body`: ``sha256=<hex>``.

    Raises `InvalidArgumentError` for a body that is not bytes, and for a secret that `verify` would
    refuse.
    """
    if not isinstance(body, bytes):
        raise InvalidArgumentError("body", "sign the raw bytes that are sent")
    try:
        return _PREFIX + _digest(body, _several([secret])[0])
    except SignatureError as problem:
        raise InvalidArgumentError("secret", str(problem)) from None


def verify(body: bytes, signature: str | None, secrets: str | Sequence[str]) -> None:
    """Return if `signature` was made over `body` with one of `secrets`; else raise.

    `body` is the raw request body; `signature` is the header's value, None where it was not sent;
    several secrets serve rotation. Raises `SignatureError` in every other case, whatever the
    arguments are. Without any secret, or with a blank one among them, it refuses every delivery:
    that is a mistake in the configuration, and an open door is the worse way to notice it. The
    comparison takes the same time wherever the digests differ.
    """
    # Only ASCII may reach compare_digest, which raises TypeError for other text. There is no check
    # for hex: what is not hex equals no digest.
    if not isinstance(signature, str):
        raise SignatureError("there is no signature")
    if len(signature) != _LENGTH or not signature.startswith(_PREFIX) or not signature.isascii():
        raise SignatureError("the signature is not of the form sha256=<64 hex digits>")
    given = signature[_DIGEST:].lower()
    if not isinstance(body, bytes):
        raise SignatureError("the body is not bytes")
    matches = False
    for secret in (secrets,) if isinstance(secrets, str) else _several(secrets):
        matches |= hmac.compare_digest(_digest(body, secret), given)
    if not matches:
        raise SignatureError("the signature does not match")


def _several(secrets: Any) -> Sequence[str]:
    found: Sequence[str] = secrets
    if not isinstance(secrets, Sequence) or not found:
        raise SignatureError("no secret is configured")
    if not all(isinstance(secret, str) for secret in found):
        raise SignatureError("a secret is not text")
    return found


def _digest(body: bytes, secret: str) -> str:
    mac = _keyed(secret).copy()
    mac.update(body)
    return mac.hexdigest()


@lru_cache
def _keyed(secret: str) -> hmac.HMAC:
    # Cached, because preparing a key takes a quarter of the time of a verification.
    # The error would quote the secret, so it stops here and is not even a context.
    try:
        key = secret.encode()
    except UnicodeEncodeError:
        key = b""
    if not key.strip():
        raise SignatureError("a secret is blank, or cannot be written in UTF-8")
    return hmac.new(key, digestmod="sha256")
