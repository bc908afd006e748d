"""The portal's session: one signed cookie, and the token that its forms carry.

Nothing is kept on the server. The cookie says whose order may be shown only after a proof, and the
proof makes a new session: a cookie that somebody planted before it opens nothing after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Any

from dispatch_returns.returns.online.codes import Codes
from dispatch_returns.returns.online.tokens import same

COOKIE = "__Host-returns"
"""Browsers accept this prefix only with ``Secure``, the path ``/`` and no domain:
https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis"""
VALID = timedelta(hours=2)
"""How long a page may stay open."""
LONGEST = timedelta(hours=12)
"""How long a session lasts, however often it is used."""
_PURPOSE = "session"
_OPTIONAL = {"order_id": "o", "asked": "a", "challenge": "c", "language": "l"}


@dataclass(frozen=True, slots=True)
class Session:
    """Who looks at the page. ``order_id`` is proven; ``asked`` is only what they typed.

    ``challenge`` is what the mailed code answers.
    """

    nonce: str
    began: int
    """Seconds since 1970."""
    order_id: str | None = None
    asked: str | None = None
    challenge: str | None = None
    language: str | None = None

    def proven(self, order_id: str, now: datetime) -> Session:
        """Return a new session that may see an order."""
        return replace(new(now), order_id=order_id, language=self.language)

    def waiting(self, asked: str, challenge: str) -> Session:
        """Return the session of a customer who waits for a code."""
        return replace(self, asked=asked, challenge=challenge)


def new(now: datetime) -> Session:
    """Return a session that may see nothing."""
    return Session(secrets.token_urlsafe(18), int(now.timestamp()))


def read(codes: Codes, headers: Mapping[str, str], now: datetime) -> Session | None:
    """Return the session of a request, None if it has none that we signed, or too old a one."""
    claims = codes.read(_PURPOSE, _cookie(headers))
    if claims is None or now.timestamp() > claims["b"] + LONGEST.total_seconds():
        return None
    optional = {name: claims.get(short) for name, short in _OPTIONAL.items()}
    return Session(claims["n"], claims["b"], **optional)


def header(codes: Codes, session: Session) -> tuple[str, str]:
    """Return the header that sets the session's cookie."""
    claims: dict[str, Any] = {"n": session.nonce, "b": session.began}
    optional = {short: getattr(session, name) for name, short in _OPTIONAL.items()}
    claims |= {short: value for short, value in optional.items() if value is not None}
    token = codes.sign(_PURPOSE, claims, VALID)
    return "set-cookie", f"{COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Lax"


def form_token(codes: Codes, session: Session) -> str:
    """Return what each form of the session carries, and no other site can know."""
    return codes.digest("form", session.nonce)


def is_ours(codes: Codes, session: Session | None, headers: Mapping[str, str], token: str) -> bool:
    """Whether a form was sent from a page of this session, and by no other site."""
    site = headers.get("sec-fetch-site", "same-origin")
    if session is None or site not in {"same-origin", "none"}:
        return False
    return same(token, form_token(codes, session))


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value
