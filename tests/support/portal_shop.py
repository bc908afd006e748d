"""A shop with a portal, and a small browser that follows its links and sends its forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import dispatch_sandbox
from dispatch_returns.money import Money
from dispatch_returns.portal import ReturnsPortal
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.model import Order, OrderLine
from dispatch_returns.returns.policy import PolicyBook, ReturnPolicy
from dispatch_returns.webhooks.http import Answer, NoBody, Request
from tests.support.desk import NOW
from tests.support.returns import Merchant, Notifier
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL

HOST = "https://shop.example"
POLICY: dict[str, Any] = {
    "version": "portal",
    "window_days": 30,
    "restocking_fee": "10%",
    "return_shipping": "4.90 USD",
    "final_sale": ["OUTLET-*"],
    "rules": [
        {
            "name": "faulty",
            "reasons": ["defective"],
            "outcome": "review",
            "why": "Ask for a photo.",
            "window_days": 365,
            "waive": ["final_sale"],
            "restocking_fee": "0%",
            "return_shipping": "0",
        }
    ],
    "reasons": [
        {
            "key": "wrong_size",
            "details": [{"key": "too_small"}, {"key": "too_large"}],
        },
        {"key": "changed_mind"},
        {"key": "defective"},
        {"key": "other", "words": {"en": "Something else", "de": "Etwas anderes"}},
    ],
}


def usd(minor: int) -> Money:
    return Money(minor, "USD", 2)


def line(sku: str, minor: int, quantity: int = 1, **more: Any) -> OrderLine:
    return OrderLine(sku, sku, quantity, usd(minor), usd(0), usd(0), **more)


def an_order(number: str = "1234", *, days: int = 3, **changed: Any) -> Order:
    """An order delivered some days before now: a jumper, two belts, something of the outlet."""
    delivered = NOW - timedelta(days=days)
    order = Order(
        id=number,
        currency="USD",
        lines=(
            line("SKU-001", 14900, title="Wool jumper, navy"),
            line("BELT", 2500, 2, title="Leather belt"),
            line("OUTLET-1", 900, title="Socks"),
        ),
        placed_at=delivered - timedelta(days=4),
        shipping=usd(0),
        delivered_at=delivered,
        customer_email=EMAIL,
        address=Address("Jane Doe", "Main St 1", "Springfield", "12345", "US"),
    )
    return replace(order, **changed)


@dataclass
class Mailer(Notifier):
    """Keeps the mails that would have been sent."""

    name: str = "smtp"

    @property
    def code(self) -> str:
        return str(self.told[-1].facts["code"])

    @property
    def link(self) -> str:
        return str(self.told[-1].facts["portal_link"])


class PortalShop(ReturnsShop):
    """A shop whose customers use the portal."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        *,
        policy: Mapping[str, Any] | None = None,
        orders: dict[str, Order] | None = None,
        mails: bool = True,
        **settings: Any,
    ) -> None:
        self.mailer = Mailer()
        merchant = Merchant()
        merchant.orders.known = {"1234": an_order()} if orders is None else orders
        book = PolicyBook([ReturnPolicy.of(**(POLICY if policy is None else policy))])
        settings = {"portal_url": f"{HOST}/returns", "shop": "Acme"} | settings
        parts = {"book": book, "mailer": self.mailer if mails else None}
        super().__init__(box, folder, merchant, parts, **settings)
        self.portal = ReturnsPortal(self.connector, wait=0)

    def browser(self, **headers: str) -> Browser:
        return Browser(self.portal.serve, dict(headers))

    def proven(self, order_id: str = "1234", **headers: str) -> Browser:
        """A browser that has opened an order by a signed link."""
        browser = self.browser(**headers)
        browser.get(self.portal.link(order_id))
        browser.submit("open")
        return browser

    def asked(self, browser: Browser | None = None, **pieces: int) -> Browser:
        """A browser that has asked for a return, of the jumper unless told otherwise."""
        browser = browser or self.proven()
        wanted = {f"q.{sku.replace('_', '-')}": str(n) for sku, n in pieces.items()}
        browser.submit("reason", **(wanted or {"q.SKU-001": "1"}))
        browser.submit("check", r="changed_mind")
        browser.submit("confirm")
        return browser


@dataclass
class FormFields:
    """A form of a page: where it goes, and what is in it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict[str, str])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FormFields] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(FormFields(given["action"], given.get("method", "get")))
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self._option = True
        elif tag == "textarea":
            self.forms[-1].fields[given["name"]] = ""
        elif tag == "input" and given.get("name") and self.forms:
            chosen = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            if chosen:
                self.forms[-1].fields[given["name"]] = given.get("value", "on")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass
class Browser:
    """Keeps the cookie, follows redirects, and remembers the page that it is on.

    `serve` answers; `headers` are sent with each request.
    """

    serve: Callable[[Request], Answer]
    headers: dict[str, str] = field(default_factory=dict[str, str])
    client: str = "8.8.4.4"
    cookie: str | None = None
    url: str = f"{HOST}/returns/"
    answer: Answer = field(default_factory=lambda: Answer(0, b"", ()))

    def get(self, place: str = "./") -> Answer:
        return self.send("GET", urljoin(self.url, place))

    def submit(self, action: str, **changed: str) -> Answer:
        """Send the form of the page that goes to `action`, with some fields changed."""
        form = self.form(action)
        fields = form.fields | changed
        place = urljoin(self.url, action)
        if form.method == "get":
            return self.send("GET", f"{place}?{urlencode(fields)}")
        return self.post(action, fields)

    def post(self, action: str, fields: Mapping[str, str], **headers: str) -> Answer:
        body = urlencode(fields).encode()
        return self.send("POST", urljoin(self.url, action), body, **headers)

    def send(self, method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
        self.url = url
        parts = urlsplit(url)
        sent = {"Host": parts.netloc, "Sec-Fetch-Site": "same-origin"} | self.headers | headers
        if self.cookie is not None:
            sent["Cookie"] = f"__Host-returns={self.cookie}"

        def read(limit: int, seconds: float) -> bytes | NoBody:
            return body[: limit + 1]

        asked = Request(method, parts.path, parts.query, sent, read, client=self.client)
        self.answer = self.serve(asked)
        self._keep_cookie()
        if self.answer.status == 303:
            return self.send("GET", urljoin(url, self.header("location")))
        return self.answer

    def _keep_cookie(self) -> None:
        if self.header("set-cookie"):
            self.cookie = SimpleCookie(self.header("set-cookie"))["__Host-returns"].value

    def header(self, name: str) -> str:
        return next((value for key, value in self.answer.headers if key == name), "")

    @property
    def page(self) -> str:
        """The page's last part."""
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def html(self) -> str:
        return self.answer.body.decode()

    @property
    def text(self) -> str:
        """What a person reads."""
        reader = self._read()
        return " ".join(" ".join(reader.text).split())

    @property
    def links(self) -> list[str]:
        return self._read().links

    def form(self, action: str) -> FormFields:
        found = [it for it in self._read().forms if it.action == action]
        assert found, f"no form goes to {action}: {self.text}"
        return found[0]

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.html)
        return reader
