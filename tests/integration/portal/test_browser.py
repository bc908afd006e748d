"""The portal in a real browser: without scripts, by keyboard, on a phone, for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.returns.steps.statuses import STEPS
from tests.support import peers
from tests.support.browser import browser_page, chromium, needs_chromium
from tests.support.portal_pages import PAGES, Site, show, site
from tests.support.workshop import EMAIL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium

MOST = 100_000
"""Bytes of a page with all that it loads."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        folder: Path = tmp_path_factory.mktemp("portal")
        with site(box, folder) as served:
            yield served


@pytest.fixture(autouse=True)
def later(opened: Site) -> None:
    """No test reaches the limits of the one before."""
    opened.shop.clock.turn(hours=2)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_light_and_of_no_other_site(
    browser: Browser, opened: Site, name: str
) -> None:
    weights: dict[str, int] = {}
    with browser_page(browser, width=360) as page:
        page.on("response", lambda it: weights.update({it.url: _weight(it)}))
        show(opened, page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert all(url.startswith(opened.url) for url in weights)
        own = [size for url, size in weights.items() if "style.css" in url or url == page.url]
        assert sum(own) < MOST
        axe = peers.axe_source()
        assert _findings(page, axe) == []
        page.emulate_media(color_scheme="dark")
        assert _findings(page, axe) == []


def _weight(response: Any) -> int:
    return 0 if response.status in range(300, 400) else len(response.body())


def _findings(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [f"{it['id']}: {node['html']}" for it in found["violations"] for node in it["nodes"]]


def test_a_finding_would_be_found(browser: Browser) -> None:
    with browser_page(browser) as page:
        page.set_content("<html><body><img src=x><p style='color:#eee;background:#fff'>pale</p>")
        found = " ".join(_findings(page, peers.axe_source()))
        assert "image-alt" in found
        assert "color-contrast" in found


def test_the_whole_way_without_scripts_on_a_phone(browser: Browser, opened: Site) -> None:
    shop = opened.shop
    with browser_page(browser, scripts=False, width=360) as page:
        page.goto(f"{opened.url}/")
        page.get_by_label("Order number").fill("1234")
        page.get_by_label("E-mail address or postcode").fill(EMAIL)
        page.get_by_role("button", name="Send me a code").click()
        shop.work()
        page.get_by_label("Code").fill(shop.mailer.code)
        page.get_by_role("button", name="Open my order").click()
        page.get_by_label("Send this back: Wool jumper, navy").check()
        page.get_by_role("button", name="Continue").click()
        page.get_by_label("I don't like it").check()
        page.get_by_role("button", name="Continue").click()
        assert "$129.20" in page.inner_text("main")
        page.go_back()
        assert page.get_by_label("I don't like it").is_checked()
        page.go_forward()
        page.get_by_role("button", name="Ask for the return").dblclick()
        # Not the URL, in which "return" is from the first page on.
        page.get_by_role("heading", level=1, name="We have your request").wait_for()
        shop.work()
        page.get_by_role("link", name="Look again").click()
        assert "Your label is ready" in page.inner_text("h1")
        page.reload()
        assert "Your label is ready" in page.inner_text("h1")


def test_the_whole_way_by_keyboard(browser: Browser, opened: Site) -> None:
    with browser_page(browser, width=768) as page:

        def tab_to(name: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                seen = page.evaluate(
                    "(e => (e.labels?.[0] ?? e).innerText)(document.activeElement)"
                )
                if name in (seen or ""):
                    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                    assert outline != "none", f"the focus on {name} can't be seen"
                    return
            raise AssertionError(f"no way to {name} by keyboard")

        page.goto(opened.link("many"))
        tab_to("Continue")
        page.keyboard.press("Enter")
        page.wait_for_url("**/order")
        page.keyboard.press("Tab")
        assert "To the content" in page.evaluate("document.activeElement.innerText")
        tab_to("Send this back")
        page.keyboard.press("Space")
        tab_to("Continue")
        page.keyboard.press("Enter")
        page.wait_for_url("**/reason**")
        tab_to("It doesn't fit")
        page.keyboard.press("ArrowDown")
        tab_to("Continue")
        page.keyboard.press("Enter")
        page.wait_for_url("**/check**")
        tab_to("Ask for the return")
        page.keyboard.press("Enter")
        page.wait_for_url("**/return**")
        assert "We have your request" in page.inner_text("h1")


def test_the_policy_of_the_page_blocks_what_it_should(browser: Browser, opened: Site) -> None:
    with browser_page(browser) as page:
        page.goto(f"{opened.url}/")
        framed = f"<iframe src='{opened.url}/'></iframe>"
        page.set_content(framed)
        page.wait_for_timeout(300)
        assert "Send something back" not in page.frames[-1].content()
