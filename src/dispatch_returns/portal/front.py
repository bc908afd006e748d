"""What all pages have in common: the visit, the headers, the ways to answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatch_returns.portal import session as sessions
from dispatch_returns.portal.forms import Form
from dispatch_returns.portal.pages import PageRenderer
from dispatch_returns.portal.session import Session
from dispatch_returns.portal.words import Words
from dispatch_returns.returns.online.service import OnlineReturns
from dispatch_returns.webhooks.http import Answer

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", _POLICY),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-robots-tag", "noindex"),
)
"""On every answer: nothing from elsewhere, in nobody's frame."""
NO_STORE = ("cache-control", "no-store")
FOR_EVER = ("cache-control", "public, max-age=31536000, immutable")
"""For what has its fingerprint in its address."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who looks, at what, in which language."""

    method: str
    page: str
    query: Form
    form: Form
    session: Session
    words: Words
    client: str | None


class Front:
    """Turns values into answers."""

    def __init__(self, online: OnlineReturns, pages: PageRenderer) -> None:
        self._codes = online.codes
        self._pages = pages

    def page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Answer:
        """Return a page for a visit, and keep its session."""
        # A form's answer has no address of its own: another language begins at the start.
        asked = visit.method != "POST"
        values.setdefault("query", visit.query.fields if asked else {})
        values.setdefault("page", visit.page if asked else "")
        return self.show(visit.words, template, status, visit.session, **values)

    def message(self, visit: Visit, kind: str, status: int) -> Answer:
        """Return a page that says what is the case, and the way on."""
        return self.page(visit, "message", status, kind=kind)

    def show(
        self,
        words: Words,
        template: str,
        status: int,
        session: Session | None = None,
        **values: Any,
    ) -> Answer:
        """Return a page; without a `session` it has no forms."""
        token, cookie = "", tuple[tuple[str, str], ...]()
        if session is not None:
            token = sessions.form_token(self._codes, session)
            cookie = (self.cookie(session),)
        proven = session is not None and session.order_id is not None
        body = self._pages.render(template, words, csrf=token, proven=proven, **values)
        kind = ("content-type", "text/html; charset=utf-8")
        return Answer(status, body, (kind, *HEADERS, NO_STORE, *cookie))

    def cookie(self, session: Session) -> tuple[str, str]:
        """Return the header that keeps a session."""
        return sessions.header(self._codes, session)


def redirect(place: str, *headers: tuple[str, str]) -> Answer:
    """Return the way to another page of ours: always a relative one."""
    return Answer(303, b"", (("location", place), *HEADERS, NO_STORE, *headers))


def plain(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """Return a line of text, for programs."""
    kind = ("content-type", "text/plain; charset=utf-8")
    return Answer(status, text.encode(), (kind, *HEADERS, NO_STORE, *headers))
