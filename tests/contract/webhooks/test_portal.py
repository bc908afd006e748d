"""The portal, through each mount: the same way, and what each framework must hand on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django.urls
import fastapi
import flask
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import dispatch_sandbox
from dispatch_returns import webhooks
from dispatch_returns.client import DispatchClient
from dispatch_returns.portal import ReturnsPortal
from dispatch_returns.returns.online import codes
from dispatch_returns.returns.steps.statuses import STEPS
from dispatch_returns.webhooks.http import Answer
from dispatch_returns.webhooks.http import Request as OurRequest

from tests.support.django_project import asgi_project, wsgi_project  # isort: skip
from tests.support.portal_shop import HOST, Browser, PortalShop
from tests.support.web_requests import Reply, Request, ask_asgi, ask_wsgi


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        yield box


class PortalMountContract(ABC):
    """Inherit it, say how to mount and how to ask."""

    @abstractmethod
    def mount(self, portal: ReturnsPortal) -> Any:
        """Return the application, with the portal at ``/returns/``."""

    @abstractmethod
    def ask(self, app: Any, request: Request, path: str) -> Reply:
        """Send one request to it; exceptions come through."""

    @pytest.fixture
    def shop(self, box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[PortalShop]:
        shop = PortalShop(box, tmp_path)
        yield shop
        shop.close()

    def browser(self, shop: PortalShop) -> Browser:
        """A browser whose requests go through the mount."""
        app = self.mount(shop.portal)

        def serve(asked: OurRequest) -> Answer:
            body = asked.read(100_000, 1.0)
            assert isinstance(body, bytes)
            headers = [
                *asked.headers.items(),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ]
            request = Request(
                body, headers, asked.method, query=asked.query, client=asked.client or ""
            )
            reply = self.ask(app, request, asked.path)
            assert reply.status is not None
            return Answer(
                reply.status,
                reply.body,
                tuple((name.lower(), value) for name, value in reply.headers.items()),
            )

        return Browser(serve)

    def test_the_whole_way(self, shop: PortalShop) -> None:
        browser = self.browser(shop)
        browser.get()
        browser.submit("start", order="1234", known="jane@example.com")
        shop.work()
        browser.submit("code", code=shop.mailer.code)
        browser.submit("reason", **{"q.SKU-001": "1"})
        browser.submit("check", r="changed_mind")
        browser.submit("confirm", note="Zurück, bitte.\nDanke")
        assert browser.page == "return"
        shop.work()
        browser.get(browser.url)
        assert "Your label is ready" in browser.text
        browser.get(next(it for it in browser.links if it.startswith("label?")))
        assert browser.answer.body.startswith(b"%PDF")

    def test_the_headers_arrive(self, shop: PortalShop) -> None:
        browser = self.browser(shop)
        browser.get()
        assert "frame-ancestors 'none'" in browser.header("content-security-policy")
        assert browser.header("cache-control") == "no-store"
        assert browser.header("referrer-policy") == "same-origin"
        assert browser.header("x-frame-options") == "DENY"
        browser.get("style.css?v=1")
        assert browser.header("content-type").startswith("text/css")
        assert "immutable" in browser.header("cache-control")

    def test_the_clients_address_is_counted(
        self, shop: PortalShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str | None] = []
        monkeypatch.setattr(codes, "network_of", seen.append)
        browser = self.browser(shop)
        browser.client = "9.9.9.9"
        browser.get()
        browser.submit("start", order="1234", known="jane@example.com")
        assert seen == ["9.9.9.9"]

    def test_a_form_that_is_too_large_is_refused(self, shop: PortalShop) -> None:
        browser = self.browser(shop)
        browser.get()
        assert browser.post("start", {"order": "x" * 40_000}).status == 413

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PROPFIND"])
    def test_other_methods_are_answered_by_the_portal(self, shop: PortalShop, method: str) -> None:
        browser = self.browser(shop)
        assert browser.send(method, f"{HOST}/returns/order").status == 405


class TestFastAPI(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        app = fastapi.FastAPI()
        app.include_router(webhooks.fastapi.portal_router(portal), prefix="/returns")
        return app

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)


class TestStarlette(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        return Starlette(routes=[Mount("/returns", routes=webhooks.fastapi.portal_routes(portal))])

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)


class TestASGI(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        return webhooks.asgi.portal(portal)

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)


class TestWSGI(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        return webhooks.wsgi.portal(portal)

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)


class TestFlask(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        app = flask.Flask("shop")
        app.testing = True
        app.register_blueprint(webhooks.flask.portal_blueprint(portal), url_prefix="/returns")
        return app

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)


class TestDjango(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        urls = django.urls.include(webhooks.django.portal_urls(portal))
        return wsgi_project(django.urls.path("returns/", urls))

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)


class TestDjangoAsync(PortalMountContract):
    def mount(self, portal: ReturnsPortal) -> Any:
        urls = django.urls.include(webhooks.django.async_portal_urls(portal))
        return asgi_project(django.urls.path("returns/", urls))

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)
