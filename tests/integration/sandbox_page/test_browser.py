"""The page in a real browser, as a person uses it: without a script."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import dispatch_sandbox
from tests.support.browser import browser_page, chromium, needs_chromium
from tests.support.hook_server import HookServer
from tests.support.sandbox_shop import Shop

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as started:
        yield started


def test_a_status_is_changed_and_its_delivery_sent_again(
    shop: Shop, hooks: HookServer, browser: Browser
) -> None:
    already = len(hooks.posts)
    with browser_page(browser, scripts=False) as page:
        page.goto(shop.box.url)
        assert "test double" in page.locator("header").inner_text()
        page.get_by_role("link", name="Sandbox", exact=True).click()
        page.get_by_role("link", name="Return Request - Order #1234").click()
        notes = page.locator("li.note")
        assert "internal note" in notes.inner_text()

        page.get_by_label("Change the status").select_option("item_received")
        page.get_by_role("button", name="Set status").click()
        newest = page.locator("li.change").last.inner_text()
        assert "Status changed from label_sent to item_received" in newest
        assert "system" in newest
        assert "item received" in page.locator("h1").inner_text()

        hooks.wait_for(already + 1)
        assert shop.box.state.deliveries.wait_until_settled(10)
        page.goto(page.url)
        sent = page.locator("li.delivery").last
        assert "success" in sent.inner_text()
        sent.get_by_role("link", name="ticket.updated").click()
        assert '"changes": [' in page.locator("pre").first.inner_text()
        assert '{"received":true}' in page.locator("pre").last.inner_text()

        page.get_by_role("button", name="Redeliver").click()
        first, again = hooks.wait_for(already + 2)[-2:]
        assert first.json == again.json
        assert shop.box.state.deliveries.wait_until_settled(10)
        page.goto(page.url)
        assert "success" in page.locator("h1").inner_text()


def test_a_page_of_another_origin_cannot_post_to_it(
    shop: Shop, hooks: HookServer, browser: Browser
) -> None:
    """The attack as a browser makes it: a form elsewhere that aims here."""
    attack = (
        f'<form method="post" action="{shop.ticket}/status">'
        '<input name="status" value="closed"><button>Win</button></form>'
    )
    with browser_page(browser) as page:
        page.route(
            "http://127.0.0.1:9/",
            lambda route: route.fulfill(body=attack, content_type="text/html"),
        )
        page.goto("http://127.0.0.1:9/")
        with page.expect_navigation():
            page.get_by_role("button", name="Win").click()
        assert "another origin" in page.content()
    [ticket] = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE].tickets.values()
    assert ticket["status"] == "label_sent"


def test_it_asks_nothing_of_elsewhere_and_breaks_no_policy_of_its_own(
    shop: Shop, browser: Browser
) -> None:
    asked: list[str] = []
    said: list[str] = []
    with browser_page(browser, width=380) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        for path in ("", f"{shop.page}", f"{shop.page}/deliveries", shop.ticket):
            page.goto(path or shop.box.url)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is wider than a phone"
    assert [url for url in asked if not url.startswith(shop.box.url)] == []
    assert [text for text in said if "favicon" not in text and "404" not in text] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(shop: Shop, browser: Browser, scheme: Any) -> None:
    """WCAG 2.1, 1.4.3: a contrast of 4.5 to 1 at least, of each text to what is behind it."""
    with browser_page(browser, scheme=scheme) as page:
        for path in (shop.box.url, shop.page, f"{shop.page}/deliveries", shop.ticket):
            page.goto(path)
            assert page.evaluate(_FAINT) == []


def test_nothing_is_left_of_the_shops_text_that_is_markup(shop: Shop, browser: Browser) -> None:
    evil = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
    ticket = dispatch_sandbox.add_ticket(
        shop.box.state, title=evil, body=evil, customFields={evil: evil}
    )
    with browser_page(browser) as page:
        page.goto(f"{shop.page}/tickets/{ticket['id']}")
        assert evil in page.locator("h1").inner_text()
        assert page.locator("main script, main img").count() == 0
    assert httpx.get(shop.page).headers["content-security-policy"].startswith("default-src 'none'")


_FAINT = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((parts(colour)[3] ?? 1) > 0) return colour;
    }
  };
  return [...document.querySelectorAll("body *")]
    .filter(it => [...it.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(it => {
      const [a, b] = [light(getComputedStyle(it).color), light(behind(it))].sort((x, y) => y - x);
      return [it.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
    })
    .filter(([, contrast]) => contrast < 4.5);
}"""
