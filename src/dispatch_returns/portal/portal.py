"""`ReturnsPortal`: the endpoint that serves the pages, whichever framework it is mounted in."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from dispatch_returns.errors import (
    APIError,
    ConfigurationError,
    InvalidArgumentError,
    OrderError,
    StoreError,
)
from dispatch_returns.portal import session as sessions
from dispatch_returns.portal.core import Quote, ReturnDraft, ReturnOptions
from dispatch_returns.portal.drafts import Drafts
from dispatch_returns.portal.forms import MAX_BODY, Form, page_of
from dispatch_returns.portal.front import FOR_EVER, HEADERS, Front, Visit, plain, redirect
from dispatch_returns.portal.pages import PageRenderer
from dispatch_returns.portal.proof_pages import ProofPages
from dispatch_returns.portal.return_pages import ReturnPages
from dispatch_returns.portal.words import Catalogue, Words
from dispatch_returns.returns.online.codes import LINK
from dispatch_returns.returns.online.service import OnlineReturns
from dispatch_returns.telemetry import ids
from dispatch_returns.webhooks.http import Answer, AsyncRequest, NoBody, Request

log = logging.getLogger(__name__)

_READ_WITHIN = 10.0
_LINK_VALID = timedelta(days=60)
_LOGOS = {
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}


class PortalSettings(Protocol):
    """The settings that the portal reads: each is described in `Settings`."""

    @property
    def shop(self) -> str:
        """The shop's name."""
        ...

    @property
    def portal_url(self) -> str | None:
        """Where customers reach the portal."""
        ...

    @property
    def portal_logo(self) -> str | None:
        """The logo's file."""
        ...

    @property
    def portal_accent(self) -> str:
        """The colour of buttons."""
        ...

    @property
    def portal_templates(self) -> str | None:
        """The merchant's own templates and words."""
        ...


class HasOnlineReturns(Protocol):
    """What a portal takes: a `Connector`."""

    @property
    def settings(self) -> PortalSettings:
        """The settings."""
        ...

    @property
    def online(self) -> OnlineReturns | None:
        """What the portal needs of returns; None without a return policy."""
        ...


class ReturnsPortal:
    """The pages on which customers ask for returns. Every mount serves it.

    Example::

        portal = ReturnsPortal(connector)
        app.include_router(webhooks.fastapi.portal_router(portal), prefix="/returns")

    `wait` is how many seconds a confirmed request waits for the workers' decision, to show it on
    the page that follows. Raises `ConfigurationError` without a return policy, and
    `MissingExtraError` without the extra. Safe to use in many threads.
    """

    def __init__(self, connector: HasOnlineReturns, *, wait: float = 2.0) -> None:
        if connector.online is None:
            raise ConfigurationError(
                "the portal needs a return policy: set DISPATCH_RETURNS_POLICY, and"
                " DISPATCH_RETURNS_ORDERS to where your orders are"
            )
        settings = connector.settings
        folder = None if settings.portal_templates is None else Path(settings.portal_templates)
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"DISPATCH_RETURNS_PORTAL_TEMPLATES: {folder} does not exist")
        self._online = connector.online
        self._url = settings.portal_url
        self._catalogue = Catalogue(folder)
        self._logo = _read_logo(settings.portal_logo)
        self._pages = PageRenderer(
            self._catalogue,
            folder,
            shop=settings.shop,
            accent=settings.portal_accent,
            logo=None if self._logo is None else hashlib.sha256(self._logo[1]).hexdigest()[:12],
        )
        self._drafts = Drafts(self._online)
        self._front = Front(self._online, self._pages)
        proof = ProofPages(self._online, self._front)
        returns = ReturnPages(self._online, self._drafts, self._front, wait=wait)
        self._shown: Mapping[str, Callable[[Visit], Answer]] = {
            "": proof.start,
            "code": proof.code,
            "open": proof.link,
            "order": returns.order,
            "reason": returns.reason,
            "check": returns.check,
            "return": returns.progress,
            "label": returns.label,
            "cancel": returns.ask_to_cancel,
        }
        self._sent: Mapping[str, Callable[[Visit], Answer]] = {
            "start": proof.ask,
            "code": proof.answer,
            "open": proof.use_link,
            "leave": proof.leave,
            "confirm": returns.confirm,
            "cancel": returns.cancel,
        }

    def link(self, order_id: str, *, valid_for: timedelta = _LINK_VALID) -> str:
        """Return a link that opens the portal for an order, for its owner's mails and account.

        Anyone who has the link can see the order and return it, so send it to the owner only.
        Raises `ConfigurationError` without `DISPATCH_RETURNS_PORTAL_URL`.
        """
        if not self._url:
            raise ConfigurationError(
                "a link needs the portal's address: set DISPATCH_RETURNS_PORTAL_URL"
            )
        if not order_id.strip():
            raise InvalidArgumentError("order_id", "must not be empty")
        token = self._online.codes.sign(LINK, {"o": order_id}, valid_for)
        return f"{self._url.rstrip('/')}/open?{urlencode({'k': token})}"

    # The core, for front ends of your own: everything is judged here, at the moment of the call.

    def options(self, order_id: str) -> ReturnOptions | None:
        """Return what of an order may come back; None if there is no such order.

        It checks no proof: show it to the order's owner only. Raises `OrderError`.
        """
        order = self._online.order(order_id)
        return None if order is None else self._drafts.options(order)

    def quote(self, order_id: str, draft: ReturnDraft) -> Quote | None:
        """Return what would come of a draft; None if there is no such order. Like `options`."""
        order = self._online.order(order_id)
        return None if order is None else self._drafts.quote(order, draft)

    def confirm(
        self,
        order_id: str,
        draft: ReturnDraft,
        *,
        language: str = "en",
        note: str | None = None,
        email: str | None = None,
    ) -> str:
        """Ask for the return of a draft, once for its id, and return the request's id.

        The draft is judged again. `email` is needed if the order has no address of its own.
        Raises `OrderError`, and `InvalidArgumentError` for what can't be asked for.
        """
        order = self._online.order(order_id)
        if order is None:
            raise InvalidArgumentError("order_id", "there is no such order")
        return self._drafts.confirm(
            order_id, order, draft, language=language, note=note, email=email
        )

    # The endpoint.

    def serve(self, request: Request) -> Answer:
        """Return the answer to one request."""
        body: bytes | NoBody = b""
        if request.method == "POST":
            body = request.read(MAX_BODY, _READ_WITHIN)
        return self._answer(request, body)

    async def serve_async(self, request: AsyncRequest) -> Answer:
        """Like `serve`, without blocking the event loop."""
        body: bytes | NoBody = b""
        if request.method == "POST":
            body = await request.read(MAX_BODY, _READ_WITHIN)
        return await asyncio.to_thread(self._answer, request, body)

    def _answer(self, request: Request | AsyncRequest, body: bytes | NoBody) -> Answer:
        page = page_of(request.path)
        if request.method not in {"GET", "HEAD", "POST"}:
            return plain(405, "method not allowed", ("allow", "GET, HEAD, POST"))
        if page == "style.css":
            return Answer(200, self._pages.style, (("content-type", "text/css"), FOR_EVER))
        if page == "logo" and self._logo is not None:
            kind, content = self._logo
            return Answer(200, content, (("content-type", kind), *HEADERS, FOR_EVER))
        if isinstance(body, NoBody):
            return plain(408 if body.why == "too slow" else 400, body.why)
        if len(body) > MAX_BODY:
            return plain(413, "too large")
        headers = {name.lower(): value for name, value in request.headers.items()}
        words = self._catalogue.of(headers.get("accept-language"), self._online.language)
        try:
            answer = self._visit(request, page, headers, body, words)
        except (OrderError, APIError, ConfigurationError, StoreError) as error:
            log.warning("the portal's page %s failed: %s", page, type(error).__name__, extra=ids())
            answer = self._front.show(words, "message", 503, kind="away")
        except Exception as error:  # noqa: BLE001 - a merchant's own order source may raise anything
            # Only type and place: the message may have a customer's data.
            place = traceback.extract_tb(error.__traceback__)[-1]
            what, where = type(error).__name__, f"{place.filename}:{place.lineno}"
            log.error(  # noqa: TRY400 - a traceback can have a customer's data
                "the portal's page %s failed: %s at %s", page, what, where, extra=ids()
            )
            answer = self._front.show(words, "message", 503, kind="away")
        return replace(answer, body=b"") if request.method == "HEAD" else answer

    def _visit(
        self,
        request: Request | AsyncRequest,
        page: str,
        headers: Mapping[str, str],
        body: bytes,
        words: Words,
    ) -> Answer:
        codes, now = self._online.codes, self._online.now()
        known = sessions.read(codes, headers, now)
        session = known or sessions.new(now)
        query = Form.of(request.query)
        if (wanted := query.text("lang")) in self._catalogue.languages:
            session = replace(session, language=wanted)
        if session.language is not None:
            words = self._catalogue.of(session.language)
        form = Form.of(body.decode("utf-8", "replace"))
        visit = Visit(request.method, page, query, form, session, words, request.client)
        if request.method == "POST":
            if not sessions.is_ours(codes, known, headers, form.text("csrf")):
                return self._front.message(visit, "form_expired", 403)
            sent = self._sent.get(page)
            return self._front.message(visit, "no_page", 404) if sent is None else sent(visit)
        shown = self._shown.get(page)
        if shown is not None:
            return shown(visit)
        if page in self._sent:
            return redirect("./")  # a form's address, opened again
        if re.fullmatch(r"[a-z][a-z0-9_-]*", page):
            return redirect(f"./{page}/")  # mounted here, and opened without its last slash
        return self._front.message(visit, "no_page", 404)


def _read_logo(path: str | None) -> tuple[str, bytes] | None:
    if path is None:
        return None
    kind = _LOGOS.get(Path(path).suffix.lower())
    if kind is None:
        raise ConfigurationError("DISPATCH_RETURNS_PORTAL_LOGO: use a PNG, SVG, JPEG or WebP file")
    try:
        return kind, Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"DISPATCH_RETURNS_PORTAL_LOGO: {path} cannot be read ({error.strerror})"
        ) from None
