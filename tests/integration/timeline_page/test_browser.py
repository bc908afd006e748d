"""The story of a return in a real browser: as a person opens the file, and prints it."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfReader

import dispatch_sandbox
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.returns.policy.verdict import Outcome
from dispatch_returns.returns.steps.statuses import STEPS
from tests.support.browser import browser_page, chromium, needs_chromium
from tests.support.cli import run
from tests.support.returns_shop import ReturnsShop

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium

EVIL = "<script>document.title='x'</script><img src=https://elsewhere.example onerror=alert(1)>"
WHITE = "rgb(255, 255, 255)"
INK = "rgb(29, 36, 48)"


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        yield box


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def paid(shop: ReturnsShop, who: str = "Bob, gate 3", **fields: Any) -> Ticket:
    """A return that came back damaged, and was paid in part."""
    ticket = shop.ask(**fields)
    shop.clock.turn(days=4)
    shop.connector.returns.receive(ticket.id, condition="damaged", who=who)
    shop.work()
    shop.work(minutes=1)
    return ticket


def written(shop: ReturnsShop, ticket: Ticket, folder: Path) -> str:
    """The page as the command writes it; return its address."""
    target = folder / "story.html"
    environment = {"DISPATCH_RETURNS_DATABASE_URL": f"sqlite:///{folder}/returns.db"}
    assert run("timeline", ticket.id, "--html", str(target), environment=environment).code == 0
    return target.as_uri()


def test_it_shows_the_whole_story_and_asks_nothing_of_elsewhere(
    shop: ReturnsShop, browser: Browser, tmp_path: Path
) -> None:
    address = written(shop, paid(shop), tmp_path)
    asked: list[str] = []
    said: list[str] = []
    with browser_page(browser, width=380) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        assert page.locator("ol.walk li.reached").count() == 6
        assert "refunded" in page.locator("ol.walk li.here").inner_text()
        for kind in ("step", "decision", "parcel", "money", "message"):
            assert page.locator(f"ol.moments li.{kind}").count() > 0, kind
        shown = page.locator("main").inner_text()
        for words in (
            "policy: approve",
            "74.50 USD",
            "Bob, gate 3",
            "notification sent: label sent",
        ):
            assert words in shown
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "it is wider than a phone"
    assert (asked, said) == ([address], [])


def test_what_others_have_written_is_text_and_nothing_else(
    shop: ReturnsShop, browser: Browser, tmp_path: Path
) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    shop.merchant.rules.why = EVIL
    ticket = shop.ask(return_reason=EVIL)
    shop.put(ticket, "approved")
    shop.connector.returns.receive(ticket.id, lines=[{"sku": EVIL}], condition=EVIL, who=EVIL)
    shop.work()
    address = written(shop, ticket, tmp_path)
    asked: list[str] = []
    with browser_page(browser) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda _dialog: pytest.fail("a script of somebody else's has run"))
        page.goto(address)
        assert page.title().startswith("Return R-")
        assert page.locator("main").inner_text().count(EVIL) >= 3
        assert page.locator("script, img, iframe, a, form").count() == 0
    assert asked == [address]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_to_one_page_that_can_be_read(
    shop: ReturnsShop, browser: Browser, tmp_path: Path, scheme: Any
) -> None:
    address = written(shop, paid(shop), tmp_path)
    with browser_page(browser, scheme=scheme) as page:
        page.goto(address)
        printed = PdfReader(io.BytesIO(page.pdf(format="A4")))
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
        assert page.evaluate("getComputedStyle(document.body).color") == INK
    (only,) = printed.pages
    text = " ".join(only.extract_text().split())
    for words in ("return requested", "policy: approve", "74.50 USD", "Written by"):
        assert words in text
