"""Every page of the portal in every state, on a real server, for pictures and for browser tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, make_server

import dispatch_sandbox
from dispatch_returns import webhooks
from dispatch_returns.errors import OrderError
from dispatch_returns.portal import ReturnsPortal
from dispatch_returns.returns.orders.model import Order
from tests.support.portal_shop import PortalShop, an_order, line

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenaufbewahrungsschachtel"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        pass


@dataclass(frozen=True)
class Site:
    """A portal that a browser can open, and its shop."""

    shop: PortalShop
    portal: ReturnsPortal
    url: str

    def link(self, order_id: str = "1234") -> str:
        return self.portal.link(order_id)


ORDERS: Mapping[str, Callable[[], Order]] = {
    "1234": an_order,
    "closed": lambda: an_order("closed", days=400),
    "many": lambda: an_order(
        "many",
        lines=tuple(
            line(f"SKU-{n:03}", 1000 + n, 1 + n % 3, title=f"Article {n}") for n in range(40)
        ),
    ),
    "long": lambda: an_order(
        "long", lines=(line("L" * 60, 123456789, 2, title=LONG), line("RTL", 100, title="קופסה"))
    ),
    "market": lambda: an_order("market", customer_email=None),
    "sent": lambda: an_order("sent"),
    "review": lambda: an_order("review"),
}


@contextlib.contextmanager
def site(box: dispatch_sandbox.Sandbox, folder: Path, **settings: Any) -> Iterator[Site]:
    """Serve a portal on loopback, with its customers' orders."""
    holder: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Any:
        return holder["app"](environ, start_response)

    server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    url = f"http://localhost:{server.server_port}/returns"
    orders = {name: make() for name, make in ORDERS.items()}
    shop = PortalShop(box, folder, orders=orders, portal_url=url, **settings)
    holder["app"] = webhooks.wsgi.portal(shop.portal)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        _fill(shop)
        yield Site(shop, shop.portal, url)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
        shop.close()


def _fill(shop: PortalShop) -> None:
    """Have two returns: one with its label, one with a person."""
    shop.asked(shop.proven("sent"), SKU_001=1, BELT=1)
    browser = shop.proven("review")
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="defective")
    browser.submit("confirm")
    shop.work()


PAGES = (
    "start",
    "start_empty",
    "code",
    "code_wrong",
    "open",
    "expired",
    "too_many",
    "away",
    "form_expired",
    "order",
    "order_nothing",
    "order_closed",
    "order_many",
    "order_long",
    "order_returns",
    "reason",
    "reason_some",
    "detail",
    "check",
    "check_review",
    "check_rejected",
    "check_email",
    "pending",
    "label_sent",
    "needs_review",
    "cancel",
)
"""The names of all pages in their states: see `show`."""


def show(site: Site, page: Any, name: str) -> None:  # noqa: C901 - one for each
    """Bring a browser's page to a state by what a customer does."""
    url = site.url

    def opened(order_id: str = "1234") -> None:
        page.goto(site.link(order_id))
        page.click("main button")

    def query(**fields: str) -> str:
        return urlencode(
            {name.replace("q_", "q.").replace("__", "-"): it for name, it in fields.items()}
        )

    match name:
        case "start":
            page.goto(f"{url}/")
        case "start_empty":
            page.goto(f"{url}/")
            page.click("main button")
        case "code" | "code_wrong":
            page.goto(f"{url}/")
            page.fill("#order", f"{name}-1234")
            page.fill("#known", f"{name}@example.com")
            page.click("main button")
            if name == "code_wrong":
                page.fill("#code", "000000")
                page.click("main button")
        case "open":
            page.goto(site.link())
        case "expired":
            page.goto(f"{url}/open?k=x.y")
        case "too_many":
            for _ in range(6):
                page.goto(f"{url}/")
                page.fill("#order", "too-many")
                page.fill("#known", "too-many@example.com")
                page.click("main button")
        case "away":
            opened()
            site.shop.merchant.orders.error = OrderError("away", retryable=True)
            page.goto(f"{url}/order")
            site.shop.merchant.orders.error = None
        case "form_expired":
            page.goto(f"{url}/")
            page.context.clear_cookies()
            page.fill("#order", "1")
            page.fill("#known", "1")
            page.click("main button")
        case "order":
            opened()
        case "order_nothing":
            opened()
            page.click("main form button")
        case "order_closed" | "order_many" | "order_long":
            opened(name.removeprefix("order_"))
        case "order_returns":
            opened("sent")
        case "reason":
            opened()
            page.goto(f"{url}/reason?{query(q_SKU__001='1')}")
        case "reason_some":
            opened()
            page.goto(f"{url}/reason?{query(q_OUTLET__1='1')}")
        case "detail":
            opened()
            page.goto(f"{url}/check?{query(q_SKU__001='1', r='wrong_size')}")
        case "check":
            opened()
            page.goto(f"{url}/check?{query(q_SKU__001='1', q_BELT='2', r='changed_mind')}")
        case "check_review":
            opened()
            page.goto(f"{url}/check?{query(q_SKU__001='1', r='defective')}")
        case "check_rejected":
            opened()
            page.goto(f"{url}/check?{query(q_OUTLET__1='1', r='changed_mind')}")
        case "check_email":
            opened("market")
            page.goto(f"{url}/check?{query(q_SKU__001='1', r='changed_mind')}")
            page.click("main button")
        case "pending":
            opened("long")
            page.goto(f"{url}/check?{query(q_RTL='1', r='changed_mind')}")
            page.click("main button")
        case "label_sent" | "needs_review":
            opened("sent" if name == "label_sent" else "review")
            page.click(".items a.name")
        case "cancel":
            opened("sent")
            page.click(".items a.name")
            page.click("text=cancel this return")
        case _:
            raise AssertionError(name)
