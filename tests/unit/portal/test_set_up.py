"""What the portal needs of the settings, and how a merchant hears of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns.cli.serve import _Paths
from dispatch_returns.cli.step_checks import portal
from dispatch_returns.client import DispatchClient
from dispatch_returns.connector.build import mailer_of
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError
from dispatch_returns.portal.words import Catalogue
from dispatch_returns.webhooks import asgi
from tests.support.portal_shop import PortalShop
from tests.support.web_requests import Reply, Request, ask_asgi

SMTP = {"host": "mail.example", "from": "returns@shop.example"}


def settings(**changed: Any) -> Settings:
    given: dict[str, Any] = {
        "api_key": SecretStr("sk"),
        "workspace": "ws_1",
        "portal_url": "https://shop.example/returns",
        "orders": "shopify",
    }
    return Settings(**given | changed)


@pytest.mark.parametrize(
    ("changed", "status", "remedy"),
    [
        ({"orders": "ticket"}, "failed", "DISPATCH_RETURNS_ORDERS"),
        ({}, "warning", "SMTP_HOST and SMTP_FROM"),
        ({"smtp_options": SMTP}, "ok", ""),
    ],
)
def test_doctor_says_what_the_portal_lacks(
    changed: dict[str, Any], status: str, remedy: str
) -> None:
    found = portal(settings(**changed))
    assert found.status == status
    assert remedy in (found.remedy or "")


def test_serve_has_the_portal_beside_the_receiver(shop: PortalShop) -> None:
    receiver, portal = asgi.app(shop.connector), asgi.portal(shop.portal)
    app = _Paths(receiver, ["/webhooks/dispatch"], None, portal)

    def ask(path: str) -> Reply:
        return ask_asgi(app, Request(method="GET"), path)

    assert b"Send something back" in ask("/returns/").body
    assert ask("/returns").headers["location"] == "./returns/"
    assert (ask("/returned").status, ask("/webhooks/dispatch").status) == (404, 405)
    without = _Paths(receiver, ["/webhooks/dispatch"], None)
    assert ask_asgi(without, Request(method="GET"), "/returns/").status == 404


def test_a_variable_of_another_program_is_no_mail_server() -> None:
    with DispatchClient("sk", "ws_1") as client:
        assert mailer_of(settings(smtp_options={"host": "mail.example"}), client) is None
        assert mailer_of(settings(smtp_options={"port": "x"}), client) is None
        mailer = mailer_of(settings(smtp_options=SMTP), client)
        assert mailer is not None
        assert mailer.name == "smtp"


def test_a_merchants_own_texts_templates_and_languages_come_first(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "de.toml").write_text('[start]\ntitle = "Umtausch"\n', encoding="utf-8")
    (own / "he.toml").write_text('[start]\ntitle = "החזרות"\n', encoding="utf-8")
    (own / "style.css").write_text("body{color:red}", encoding="utf-8")
    shop = PortalShop(box, tmp_path, portal_templates=str(own))
    try:
        browser = shop.browser(**{"Accept-Language": "de"})
        browser.get()
        assert "Umtausch" in browser.text
        assert "Bestellnummer" in browser.text  # ours, where there is no other
        browser.get("?lang=he")
        assert '<html lang="he" dir="rtl">' in browser.html
        assert "החזרות" in browser.text
        assert "Order number" in browser.text  # English, where the language has no text
        browser.get("style.css")
        assert browser.answer.body.endswith(b"body{color:red}")
    finally:
        shop.close()


def test_a_file_of_words_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "fr.toml").write_text("[start\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"fr\.toml: these words can't be read"):
        Catalogue(tmp_path / "own")
