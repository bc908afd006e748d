"""The contract of a mount, held by each of them; and what is each one's own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import socket
import sys
import threading
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from wsgiref.validate import validator

import fastapi
import flask
import httpx
import pytest
import uvicorn
import werkzeug.serving
from django.http import HttpRequest
from django.test import override_settings
from django.urls import include, path
from starlette.applications import Starlette
from starlette.routing import Mount

from dispatch_returns import webhooks
from dispatch_returns.errors import InvalidArgumentError, MissingExtraError
from dispatch_returns.store import Store
from dispatch_returns.webhooks.receiver import InboxStore
from tests.support.django_project import asgi_project, wsgi_project
from tests.support.waiting import wait_until
from tests.support.web_requests import Reply, Request, ask_asgi, ask_wsgi, environ_of
from tests.support.webhook_mounts import MountContract, delivery, stripes
from tests.support.webhooks import (
    FullDisk,
    Shop,
    event_body,
    shop,
    shop_with_stripe,
    signed,
    stored,
    stripe_event,
)


@contextlib.contextmanager
def uvicorn_serving(app: Any, lifespan: Literal["on", "off"] = "on") -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, lifespan=lifespan)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@contextlib.contextmanager
def running(server: Any) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@contextlib.contextmanager
def werkzeug_serving(app: Any) -> Iterator[str]:
    with running(werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True)) as url:
        yield url


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name for it
        """Say nothing on the terminal."""


class TestASGI(MountContract):
    PATH = "/anywhere"
    STRIPE = "/anywhere/stripe"

    def mount(self, connector: Shop) -> Any:
        return webhooks.asgi.app(connector)

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return uvicorn_serving(app)

    def test_nobody_is_answered_who_is_gone(self, store: Store) -> None:
        request = delivery(event_body(), length=str(len(event_body()) + 5), breaks_off=True)
        assert self.send(store, request).status is None

    def test_a_server_that_starts_and_stops_it_is_answered(self, store: Store) -> None:
        sent: list[str] = []
        received = iter(["startup", "shutdown"])

        async def send(message: Any) -> None:
            sent.append(message["type"])

        async def receive() -> Any:
            name = next(received)
            assert len(sent) == (name == "shutdown")  # each is answered before the next is awaited
            return {"type": f"lifespan.{name}"}

        asyncio.run(self.mount(shop(store))({"type": "lifespan"}, receive, send))
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert next(received, None) is None

    def test_a_websocket_is_turned_away(self, store: Store) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        asyncio.run(self.mount(shop(store))({"type": "websocket"}, receive, send))
        assert sent == [{"type": "websocket.close", "code": 1000}]

    def test_a_body_in_chunks_behind_a_real_server(self, store: Store) -> None:
        with self.serve(self.mount(shop(store))) as url:
            assert post_in_chunks(url + self.PATH).status_code == 200
        assert len(stored(store)) == 1


def post_in_chunks(url: str) -> httpx.Response:
    body = event_body()
    pieces = (body[start : start + 100] for start in range(0, len(body), 100))
    with httpx.Client(timeout=10, trust_env=False) as client:
        return client.post(url, content=pieces, headers=signed(body))


class TestFastAPI(MountContract):
    def mount(self, connector: Shop) -> fastapi.FastAPI:
        app = fastapi.FastAPI()
        app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
        return app

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return uvicorn_serving(app)

    def test_the_path_is_not_part_of_the_merchants_own_api(self, store: Store) -> None:
        assert self.mount(shop(store)).openapi()["paths"] == {}

    def test_other_paths_are_not_ours(self, store: Store) -> None:
        app = self.mount(shop(store))
        assert self.ask(app, delivery(event_body()), "/webhooks/other").status == 404
        assert self.ask(app, delivery(event_body()), "/dispatch").status == 404

    def test_a_router_may_stand_inside_another(self, store: Store) -> None:
        outer = fastapi.APIRouter(prefix="/v1")
        outer.include_router(webhooks.fastapi.router(shop(store)), prefix="/hooks")
        app = fastapi.FastAPI()
        app.include_router(outer)
        assert self.ask(app, delivery(event_body()), "/v1/hooks/dispatch").status == 200

    def test_a_client_library_that_raises_sees_no_exception(self, store: Store) -> None:
        transport = httpx.ASGITransport(self.mount(shop(store)), raise_app_exceptions=True)

        async def post() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                body = event_body()
                return await client.post(self.PATH, content=body, headers=signed(body))

        assert asyncio.run(post()).json() == {"status": "accepted"}


class TestStarlette(MountContract):
    def mount(self, connector: Shop) -> Starlette:
        routes = [webhooks.fastapi.route(connector, sender) for sender in connector.receivers]
        return Starlette(routes=[Mount("/webhooks", routes=routes)])

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return uvicorn_serving(app)


@contextlib.contextmanager
def wsgiref_serving(app: Any) -> Iterator[str]:
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=QuietHandler)
    with running(server) as url:
        yield url


class TestWSGI(MountContract):
    PATH = "/anywhere"
    STRIPE = "/anywhere/stripe"

    def mount(self, connector: Shop) -> Any:
        return webhooks.wsgi.app(connector)

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return wsgiref_serving(app)

    def test_the_rules_of_wsgi_are_kept(self, store: Store) -> None:
        app = validator(self.mount(shop(store)))
        for request in (delivery(event_body()), Request(method="GET"), Request(b"unsigned")):
            assert self.ask(app, request, self.PATH).status in (200, 401, 405)

    def test_a_server_that_cannot_end_a_body_is_not_waited_for(self, store: Store) -> None:
        environ = environ_of(delivery(event_body(), length=None), self.PATH, terminated=False)
        environ["CONTENT_LENGTH"] = ""
        seen: list[str] = []
        self.mount(shop(store))(environ, lambda status, headers: seen.append(status))
        assert seen == ["401 Unauthorized"]

    def test_a_client_that_is_gone_is_no_error(self, store: Store) -> None:
        request = delivery(event_body(), length=str(len(event_body()) + 5), breaks_off=True)
        reply = self.send(store, request)
        assert (reply.status, reply.word) == (400, "broken off")

    @pytest.mark.parametrize(
        ("status", "request_"),
        [("200 OK", delivery(event_body())), ("405 Method Not Allowed", Request(method="GET"))],
    )
    def test_the_status_line_is_whole(self, store: Store, status: str, request_: Request) -> None:
        seen: list[str] = []
        environ = environ_of(request_, self.PATH, terminated=False)
        self.mount(shop(store))(environ, lambda line, headers: seen.append(line))
        assert seen == [status]


class TestFlask(MountContract):
    def mount(self, connector: Shop) -> flask.Flask:
        app = flask.Flask("shop")
        app.testing = True  # what the application raises comes through
        app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
        return app

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return werkzeug_serving(app)

    def test_other_paths_are_not_ours(self, store: Store) -> None:
        app = self.mount(shop(store))
        assert self.ask(app, delivery(event_body()), "/webhooks/other").status == 404
        assert self.ask(app, delivery(event_body()), "/dispatch").status == 404

    def test_it_needs_no_prefix_and_may_be_mounted_twice(self, store: Store) -> None:
        app = flask.Flask("shop")
        app.url_map.merge_slashes = False
        other = webhooks.flask.blueprint(shop(FullDisk()))
        app.register_blueprint(webhooks.flask.blueprint(shop(store)))
        app.register_blueprint(other, url_prefix="/again/", name="again")
        assert self.ask(app, delivery(event_body()), "/dispatch").status == 200
        assert self.ask(app, delivery(event_body()), "/again/dispatch").status == 503
        with app.test_request_context():
            assert flask.url_for("dispatch_webhooks.receive") == "/dispatch"
            assert flask.url_for("again.receive") == "/again/dispatch"

    def test_a_blueprint_may_stand_inside_another(self, store: Store) -> None:
        outer = flask.Blueprint("hooks", "shop", url_prefix="/hooks")
        outer.register_blueprint(webhooks.flask.blueprint(shop(store)))
        app = flask.Flask("shop")
        app.register_blueprint(outer)
        assert self.ask(app, delivery(event_body()), "/hooks/dispatch").status == 200
        with app.test_request_context():
            assert flask.url_for("hooks.dispatch_webhooks.receive") == "/hooks/dispatch"

    def test_a_blueprint_may_have_its_subdomain(self, store: Store) -> None:
        app = flask.Flask("shop", subdomain_matching=True)
        app.config["SERVER_NAME"] = "shop.test"
        app.register_blueprint(webhooks.flask.blueprint(shop(store)), subdomain="hooks")
        client, body = app.test_client(), event_body()
        for host, status in (("shop.test", 404), ("hooks.shop.test", 200)):
            answer = client.post(
                "/dispatch", base_url=f"http://{host}", data=body, headers=signed(body)
            )
            assert answer.status_code == status

    def test_the_application_may_have_read_the_body_before(self, store: Store) -> None:
        app = self.mount(shop(store))
        app.before_request(lambda: flask.request.get_data() and None)
        assert self.ask(app, delivery(event_body()), self.PATH).status == 200

    def test_a_client_library_that_raises_sees_no_exception(self, store: Store) -> None:
        body = event_body()
        with self.mount(shop(store)).test_client() as client:
            answer = client.post(self.PATH, data=body, headers=signed(body))
        assert answer.json == {"status": "accepted"}

    def test_a_body_in_chunks_behind_a_real_server(self, store: Store) -> None:
        with self.serve(self.mount(shop(store))) as url:
            assert post_in_chunks(url + self.PATH).status_code == 200
        assert len(stored(store)) == 1


class TestDjango(MountContract):
    def mount(self, connector: Shop) -> Any:
        return wsgi_project(path("webhooks/", include(webhooks.django.urls(connector))))

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_wsgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return wsgiref_serving(app)

    def test_other_paths_are_not_ours(self, store: Store) -> None:
        reply = self.ask(self.mount(shop(store)), delivery(event_body()), "/webhooks/other")
        assert reply.status == 404

    def test_an_async_view_works_here_too(self, store: Store) -> None:
        app = wsgi_project(*webhooks.django.async_urls(shop(store)))
        assert self.ask(app, delivery(event_body()), "/dispatch").status == 200

    def test_the_projects_limit_for_forms_is_not_ours(self, store: Store) -> None:
        app = self.mount(shop(store))
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
            assert self.ask(app, delivery(event_body()), self.PATH).status == 200

    def test_a_middleware_may_have_read_the_body_before(self, store: Store) -> None:
        with override_settings(MIDDLEWARE=[f"{__name__}.{reading_first.__name__}"]):
            assert self.send(store, delivery(event_body())).status == 200

    def test_a_client_that_is_gone_is_no_error(self, store: Store) -> None:
        request = delivery(event_body(), length=str(len(event_body()) + 5), breaks_off=True)
        reply = self.send(store, request)
        assert (reply.status, reply.word) == (400, "broken off")


class TestDjangoAsync(MountContract):
    """Under ASGI Django takes the whole body in before it asks any view."""

    def mount(self, connector: Shop) -> Any:
        return asgi_project(path("webhooks/", include(webhooks.django.async_urls(connector))))

    def ask(self, app: Any, request: Request, path: str) -> Reply:
        return ask_asgi(app, request, path)

    def serve(self, app: Any) -> contextlib.AbstractContextManager[str]:
        return uvicorn_serving(app, lifespan="off")

    def send(self, store: InboxStore, request: Request, **options: Any) -> Reply:
        reply = super().send(store, request, **options)
        if reply.status in (405, 413):
            reply.read = 0  # what Django took in; ours looks at no more than the limit
        return reply

    def test_a_body_over_the_limit_is_not_taken_into_memory(self, store: Store) -> None:
        request = delivery(event_body() + b" " * 5000, length=None)
        taken = HttpRequest.read
        sizes: list[int] = []

        def read(self: HttpRequest, size: int) -> bytes:
            sizes.append(size)
            return taken(self, size)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HttpRequest, "read", read)
            assert self.send(store, request, max_body=1000).status == 413
        assert sum(sizes) <= 1001

    def test_a_sync_view_works_here_too(self, store: Store) -> None:
        app = asgi_project(*webhooks.django.urls(shop(store)))
        assert self.ask(app, delivery(event_body()), "/dispatch").status == 200

    def test_the_projects_limit_for_forms_is_not_ours(self, store: Store) -> None:
        app = self.mount(shop(store))
        with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
            assert self.ask(app, delivery(event_body()), self.PATH).status == 200


def reading_first(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware of the shop's that looks at every body."""

    def middleware(request: HttpRequest) -> Any:
        assert request.body
        return get_response(request)

    return middleware


class Threads:
    """What is started with the first request."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self) -> None:
        self.said.append("start")

    def stop(self) -> None:
        self.said.append("stop")


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_django_starts_the_threads_with_the_first_request(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    threads = Threads()
    webhooks.django.start_with_first_request(threads)
    app = wsgi_project() if kind == "wsgi" else asgi_project()
    ask = ask_wsgi if kind == "wsgi" else ask_asgi
    assert threads.said == []
    for _ in range(2):
        assert ask(app, Request(method="GET"), "/any").status == 404
    assert threads.said == ["start"]
    at_exit[0]()
    assert threads.said == ["start", "stop"]


def test_flask_starts_the_threads_with_the_first_request(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    at_exit: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    threads = Threads()
    app = flask.Flask("shop")
    app.register_blueprint(webhooks.flask.blueprint(shop(store)))
    webhooks.flask.start_with_first_request(threads)
    app.test_cli_runner().invoke(args=["routes"])
    assert threads.said == []
    for _ in range(2):
        assert ask_wsgi(app, Request(method="GET"), "/any").status == 404
    assert threads.said == ["start"]
    at_exit[0]()
    assert threads.said == ["start", "stop"]


@pytest.mark.parametrize(
    ("mount", "missing", "extra"),
    [
        ("django", "django.http", "django"),
        ("flask", "flask", "flask"),
        ("fastapi", "starlette.routing", "fastapi"),
    ],
)
def test_a_missing_framework_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, mount: str, missing: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"dispatch_returns.webhooks.{mount}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"dispatch_returns.webhooks.{mount}")
    assert caught.value.extra == extra
    assert f'pip install "dispatch-returns[{extra}]"' in str(caught.value)


@pytest.mark.parametrize("mount", [webhooks.asgi.app, webhooks.wsgi.app])
def test_a_mount_may_be_told_whose_deliveries_come(store: Store, mount: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="nothing is received from acme, only: stripe"):
        mount(shop_with_stripe(store), "acme")
    ask = ask_asgi if mount is webhooks.asgi.app else ask_wsgi
    app = mount(shop_with_stripe(store), "stripe")
    assert ask(app, stripes(stripe_event()), "/hooks/dispatch").status == 200
    assert ask(app, delivery(event_body()), "/hooks/dispatch").status == 401


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        yield opened


def test_starlette_alone_is_enough_for_its_route(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with Store.open(f"sqlite:///{tmp_path / 'inbox.db'}") as store:
        assert webhooks.fastapi.route(shop(store)).path == "/dispatch"
        with pytest.raises(MissingExtraError):
            webhooks.fastapi.router(shop(store))
