"""Nothing of an order is shown before its owner is proven, and no form is anybody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode, urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dispatch_sandbox
from dispatch_returns.errors import ConfigurationError, OrderError
from dispatch_returns.portal import ReturnsPortal
from dispatch_returns.returns.online import attempts
from dispatch_returns.returns.online.codes import network_of
from dispatch_returns.webhooks.http import Request
from tests.support.portal_shop import HOST, Browser, PortalShop, an_order
from tests.support.workshop import EMAIL

PAGES = ["", "code", "open", "order", "reason", "check", "return", "label"]
SECRETS = ("Wool jumper", "Leather belt", "Springfield", "Jane Doe", EMAIL, "149.00")


def ask(shop: PortalShop, order: str = "1234", known: str = EMAIL, client: str = "") -> Browser:
    browser = shop.browser()
    browser.client = client or browser.client
    browser.get()
    browser.submit("start", order=order, known=known)
    return browser


def plain(browser: Browser) -> str:
    """The page without what differs each time: the token of its forms."""
    return re.sub(r'name="csrf" value="[^"]+"', "", browser.html)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_an_order_is_on_any_page_before_the_proof(shop: PortalShop, page: str) -> None:
    browser = shop.browser()
    browser.get(f"{page}?q.SKU-001=1&r=changed_mind&k=x.y&lang=de")
    assert browser.page in {"", "open"}
    assert [it for it in SECRETS if it in browser.html] == []


@pytest.mark.parametrize(
    ("order", "known"),
    [("1234", EMAIL), ("1234", "stranger@example.com"), ("9999", EMAIL), ("1234", "99999")],
)
def test_the_answer_is_the_same_whether_the_order_exists_or_the_address_is_wrong(
    shop: PortalShop, order: str, known: str
) -> None:
    browser = ask(shop, order, known)
    browser_ = ask(shop, "1234", "nobody@example.com")
    assert browser.page == "code"
    assert plain(browser).replace(order, "#") == plain(browser_).replace("1234", "#")
    assert [it for it in SECRETS if it in browser.html] == []


def test_the_web_request_asks_no_order_source_so_its_time_says_nothing(shop: PortalShop) -> None:
    shop.merchant.orders.error = AssertionError("it was asked")
    ask(shop)
    ask(shop, "9999")


@pytest.mark.parametrize(
    ("order", "known"), [("1234", "stranger@example.com"), ("9999", EMAIL), ("1234", "99999")]
)
def test_only_the_orders_own_address_gets_a_code(shop: PortalShop, order: str, known: str) -> None:
    ask(shop, order, known)
    shop.work()
    assert shop.mailer.told == []


def test_what_was_typed_is_not_stored_in_plain_text(shop: PortalShop) -> None:
    ask(shop, "1234", "someone@example.com")
    with shop.store.read() as conn:
        kept = [str(it) for it in conn.exec_driver_sql("SELECT payload FROM outbox").scalars()]
        counted = [str(it) for it in conn.exec_driver_sql("SELECT * FROM access_attempts")]
    assert not any("someone" in it for it in [*kept, *counted])
    assert not any("1234" in it for it in counted)


def test_a_code_is_guessed_five_times_and_no_more(shop: PortalShop) -> None:
    browser = ask(shop)
    shop.work()
    for _ in range(5):
        assert browser.submit("code", code="000000").status == 422
    browser.url = urljoin(browser.url, "code")
    browser.get("code")
    assert browser.submit("code", code=shop.mailer.code).status == 429
    shop.clock.turn(minutes=16)
    browser.get("code")
    assert browser.submit("code", code=shop.mailer.code).status == 410


def test_a_code_is_used_once_and_not_after_its_time(shop: PortalShop) -> None:
    browser = ask(shop)
    shop.work()
    cookie = browser.cookie
    assert browser.submit("code", code=shop.mailer.code).status == 200
    thief = shop.browser()
    thief.cookie = cookie  # as it was before the proof
    thief.get("code")
    assert thief.submit("code", code=shop.mailer.code).status == 429
    late = ask(shop)
    shop.work()
    shop.clock.turn(minutes=16)
    assert late.submit("code", code=shop.mailer.code).status == 410


def test_the_code_of_one_order_opens_no_other(shop: PortalShop) -> None:
    shop.merchant.orders.known["5678"] = an_order("5678", customer_email="other@example.com")
    ask(shop)
    shop.work()
    mine = shop.mailer.code
    other = ask(shop, "5678")
    assert other.submit("code", code=mine).status == 422


def test_attempts_are_limited_for_each_order_address_and_network(shop: PortalShop) -> None:
    for _ in range(5):
        assert ask(shop).answer.status == 200
    assert ask(shop).answer.status == 429
    for number in range(5):
        assert ask(shop, f"{number}").answer.status == 200
    assert ask(shop, "6").answer.status == 429  # the address, by now
    assert ask(shop, "6", "other@example.com").answer.status == 200
    shop.clock.turn(hours=1, seconds=1)
    assert ask(shop).answer.status == 200


def test_a_network_is_limited_and_a_proxy_is_not_taken_for_one(
    shop: PortalShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "CODES_OF_NETWORK", attempts.Limit(3, timedelta(hours=1)))
    for number in range(3):
        assert ask(shop, f"a{number}", f"{number}@x.example").answer.status == 200
    for number in range(4):
        status = ask(shop, f"c{number}", f"c{number}@x.example", client="10.0.0.1").answer.status
        assert status == 200
    assert ask(shop, "b", "b@x.example").answer.status == 429
    assert ask(shop, "b", "b@x.example", client="9.9.9.9").answer.status == 200


def test_the_network_of_an_address() -> None:
    assert network_of("8.8.8.8") == "8.8.8.8"
    assert network_of("2a00:1450:4001::8") == network_of("2a00:1450:4001::9")
    assert [network_of(it) for it in ("10.0.0.1", "127.0.0.1", "::1", "unix", "", None)] == [
        None
    ] * 6


def test_other_processes_share_the_limits(shop: PortalShop) -> None:
    for _ in range(5):
        ask(shop)
    other = Browser(ReturnsPortal(shop.connector).serve)
    other.get()
    other.submit("start", order="1234", known=EMAIL)
    assert other.answer.status == 429


def test_a_form_without_its_token_or_of_another_session_is_refused(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("reason", **{"q.SKU-001": "1"})
    browser.submit("check", r="changed_mind")
    fields = browser.form("confirm").fields
    foreign = shop.proven().form("leave").fields["csrf"]
    for token in ("", "x", foreign):
        assert browser.post("confirm", fields | {"csrf": token}).status == 403
    assert browser.post("confirm", fields, **{"Sec-Fetch-Site": "cross-site"}).status == 403
    with shop.store.read() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM online_requests").scalar_one() == 0


@pytest.mark.parametrize("action", ["start", "code", "open", "confirm", "leave"])
def test_no_form_is_taken_without_a_cookie(shop: PortalShop, action: str) -> None:
    assert shop.browser().post(action, {"csrf": "x", "k": "x"}).status == 403


def test_a_planted_cookie_opens_nothing_after_the_proof(shop: PortalShop) -> None:
    attacker = shop.browser()
    attacker.get()
    planted = attacker.cookie
    victim = shop.browser()
    victim.cookie = planted
    victim.get(shop.portal.link("1234"))
    victim.submit("open")
    assert victim.page == "order"
    assert victim.cookie != planted
    attacker.cookie = planted
    attacker.get("order")
    assert attacker.page == ""


def test_a_session_ends(shop: PortalShop) -> None:
    browser = shop.proven()
    for _ in range(7):  # it is used all the time
        shop.clock.turn(minutes=100)
        browser.get("order")
    assert browser.page == "order"
    shop.clock.turn(minutes=100)
    browser.get("order")
    assert browser.page == ""


def test_who_signs_out_sees_nothing_more(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.submit("leave")
    browser.get("order")
    assert browser.page == ""


def test_the_cookie_is_as_strict_as_it_can_be(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get()
    name, *attributes = browser.header("set-cookie").split("; ")
    assert name.startswith("__Host-returns=")
    assert set(attributes) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}


@pytest.mark.parametrize("page", ["./", "order", "nothing.here", "open?k=x", "label?r=x"])
def test_every_answer_forbids_frames_scripts_and_storing(shop: PortalShop, page: str) -> None:
    browser = shop.proven()
    browser.get(page)
    policy = browser.header("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert browser.header("x-frame-options") == "DENY"
    assert browser.header("x-content-type-options") == "nosniff"
    assert browser.header("cache-control") == "no-store"
    assert "<script" not in browser.html
    assert " style=" not in browser.html


@pytest.mark.parametrize(
    "path",
    [
        "/returns//evil.example",
        "/returns/\\\\evil.example",
        "/returns/javascript:alert(1)",
        "/returns/http:evil.example",
        "/returns/x\r\nSet-Cookie: a=b",
        "/returns/.evil.example",
    ],
)
def test_no_redirect_leads_away(shop: PortalShop, path: str) -> None:
    answer = shop.portal.serve(Request("GET", path, "", {}, lambda *_: b""))
    assert answer.status == 404
    assert not any(name == "location" for name, _ in answer.headers)


def test_the_page_without_its_slash_leads_to_the_one_with_it(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get(f"{HOST}/returns")
    assert browser.url == f"{HOST}/returns/"


def test_what_a_customer_writes_is_text_and_nothing_else(shop: PortalShop) -> None:
    browser = ask(shop, "<script>alert(1)</script>", EMAIL)
    assert "<script" not in browser.html
    assert "&lt;script&gt;" in browser.html


def test_a_forged_draft_gets_what_the_order_has_and_no_more(shop: PortalShop) -> None:
    browser = shop.proven()
    browser.get("check?q.BELT=9999&q.SKU-001=-1&q.NOTHING=1&r=changed_mind&d=../../x")
    fields = browser.form("confirm").fields
    assert fields["q.BELT"] == "2"
    assert {it for it in fields if it.startswith("q.")} == {"q.BELT"}
    assert re.fullmatch(r"[\w-]{16,64}", fields["d"])


def test_the_return_of_another_order_is_not_shown(shop: PortalShop) -> None:
    shop.merchant.orders.known["5678"] = an_order("5678", customer_email="other@example.com")
    mine = shop.asked()
    shop.work()
    mine.get(mine.url)
    other = shop.proven("5678")
    for page in ("return", "label"):
        other.get(f"{page}?r={mine.query['r']}")
        assert other.answer.status == 404


def test_an_order_system_that_is_away_is_said_and_nothing_is_lost(shop: PortalShop) -> None:
    browser = shop.proven()
    shop.merchant.orders.error = OrderError("away: jane@example.com", retryable=True)
    browser.get("order")
    assert (browser.answer.status, "Our shop system doesn't answer" in browser.text) == (503, True)
    shop.merchant.orders.error = RuntimeError("jane@example.com")
    browser.get("order")
    assert browser.answer.status == 503
    assert EMAIL not in browser.html


def test_an_exception_of_an_order_source_is_logged_without_its_words(
    shop: PortalShop, caplog: pytest.LogCaptureFixture
) -> None:
    browser = shop.proven()
    shop.merchant.orders.error = RuntimeError("jane@example.com")
    browser.get("order")
    assert "RuntimeError" in caplog.text
    assert EMAIL not in caplog.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
def test_other_methods_are_refused(shop: PortalShop, method: str) -> None:
    browser = shop.browser()
    assert browser.send(method, browser.url).status == 405
    assert browser.header("allow") == "GET, HEAD, POST"


def test_a_form_that_is_too_large_is_refused(shop: PortalShop) -> None:
    browser = shop.browser()
    browser.get()
    assert browser.post("start", {"order": "x" * 40_000}).status == 413


def test_a_head_request_has_no_body(shop: PortalShop) -> None:
    browser = shop.browser()
    assert browser.send("HEAD", browser.url).body == b""


def test_the_portal_says_what_it_needs(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    class Plain:
        settings = None
        online = None

    with pytest.raises(ConfigurationError, match="DISPATCH_RETURNS_POLICY"):
        ReturnsPortal(Plain())  # type: ignore[arg-type]
    with shop_with(box, tmp_path, portal_url=None) as shop:
        with pytest.raises(ConfigurationError, match="DISPATCH_RETURNS_PORTAL_URL"):
            shop.portal.link("1234")
        ask(shop)
        shop.work()
        assert "portal_link" not in shop.mailer.told[-1].facts
        for changed, variable in (
            ({"portal_logo": "logo.exe"}, "LOGO: use a PNG"),
            ({"portal_logo": "nowhere.png"}, "LOGO: nowhere.png cannot be read"),
            ({"portal_templates": "nowhere"}, "TEMPLATES: nowhere does not exist"),
        ):

            class Changed:
                settings = shop.settings.model_copy(update=changed)
                online = shop.connector.online

            with pytest.raises(ConfigurationError, match=variable):
                ReturnsPortal(Changed())


@contextmanager
def shop_with(
    box: dispatch_sandbox.Sandbox, folder: Path, **changed: object
) -> Iterator[PortalShop]:
    shop = PortalShop(box, folder, **changed)  # type: ignore[arg-type]
    try:
        yield shop
    finally:
        shop.close()


texts = st.text(max_size=30)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    page=st.sampled_from([*PAGES, "start", "confirm", "leave", "style.css"]) | texts,
    method=st.sampled_from(["GET", "POST"]),
    fields=st.dictionaries(
        st.sampled_from(["d", "r", "t", "q.SKU-001", "q.BELT", "csrf", "k", "code", "lang", "note"])
        | texts,
        st.sampled_from(["1", "2", "changed_mind", "wrong_size", "other"]) | texts,
        max_size=6,
    ),
    valid=st.booleans(),
)
def test_no_input_is_a_500(
    shop: PortalShop, page: str, method: str, fields: dict[str, str], valid: bool
) -> None:
    browser = getattr(shop, "kept", None) or shop.proven()
    shop.kept = browser  # type: ignore[attr-defined]
    browser.get(f"{HOST}/returns/order")
    if valid and browser.page == "order":
        fields = {**fields, "csrf": browser.form("leave").fields["csrf"]}
    body = urlencode(fields, errors="replace")
    url = f"{HOST}/returns/{quote(page, errors='replace')}"
    if method == "GET":
        browser.send("GET", f"{url}?{body}")
    else:
        browser.send("POST", url, body.encode())
    assert browser.answer.status in {200, 403, 404, 409, 410, 422, 429}
