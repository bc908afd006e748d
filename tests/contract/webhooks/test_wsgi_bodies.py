"""Bodies that a WSGI server cannot give whole: gunicorn's own reader, before each mount."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from django.test import override_settings
from django.urls import include, path
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.unreader import IterUnreader

from dispatch_returns import webhooks
from dispatch_returns.store import Store
from tests.support.django_project import wsgi_project
from tests.support.web_requests import Reply, Request, ask_wsgi, environ_of
from tests.support.webhook_mounts import delivery
from tests.support.webhooks import Shop, event_body, shop

PATH = "/webhooks/dispatch"


@pytest.fixture
def store(tmp_path: Any) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/inbox.db") as opened:
        yield opened


def plain(connector: Shop) -> Any:
    return webhooks.wsgi.app(connector)


def flask_app(connector: Shop) -> flask.Flask:
    app = flask.Flask("shop")
    app.testing = True  # what the application raises comes through
    app.register_blueprint(webhooks.flask.blueprint(connector), url_prefix="/webhooks")
    return app


def django_app(connector: Shop) -> Any:
    return wsgi_project(path("webhooks/", include(webhooks.django.urls(connector))))


mounts = pytest.mark.parametrize("mount", [plain, flask_app, django_app])


def ask(app: Any, environ: dict[str, Any]) -> tuple[int, bytes]:
    seen: list[str] = []
    body = b"".join(app(environ, lambda status, _headers, _exc=None: seen.append(status)))
    return int(seen[0][:3]), body


def in_chunks(sent: bytes) -> dict[str, Any]:
    """A delivery in chunks, as gunicorn hands it on when `sent` is all that arrives."""
    environ = environ_of(delivery(event_body(), length=None), PATH, terminated=True)
    environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    environ["wsgi.input"] = Body(ChunkedReader(SimpleNamespace(), IterUnreader([sent])))
    return environ


@mounts
@pytest.mark.parametrize(
    "sent",
    [
        b"5\r\nhello\r\nff\r\nand then no",
        b"5\r\nhello",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX",
    ],
    ids=["cut off", "cut off early", "no number", "no end of a chunk"],
)
def test_a_body_in_chunks_that_is_cut_off_or_malformed_is_400(
    mount: Callable[[Shop], Any], sent: bytes, store: Store
) -> None:
    status, body = ask(mount(shop(store)), in_chunks(sent))
    assert (status, body) == (400, b'{"status": "broken off"}')


@mounts
def test_a_body_whose_end_the_server_does_not_know_is_411(
    mount: Callable[[Shop], Any], store: Store
) -> None:
    environ = environ_of(delivery(event_body(), length=None), PATH, terminated=False)
    environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    assert ask(mount(shop(store)), environ)[0] == 411


@mounts
def test_a_body_that_was_read_before_is_said_in_the_log(
    mount: Callable[[Shop], Any], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    body = event_body()
    environ = environ_of(delivery(body), PATH, terminated=False)
    environ["wsgi.input"].read(len(body))
    environ["wsgi.input"] = environ_of(Request(b""), PATH, terminated=True)["wsgi.input"]
    with caplog.at_level(logging.WARNING, "dispatch_returns"):
        assert ask(mount(shop(store)), environ)[0] == 400
    assert f"({len(body)} bytes announced, 0 bytes seen)" in caplog.text


@pytest.mark.parametrize("length", ["true", None])
@pytest.mark.parametrize(
    "hook",
    [lambda: flask.request.get_data() and None, lambda: flask.request.get_json() and None],
    ids=["get_data", "get_json"],
)
def test_what_flask_has_kept_of_a_body_is_used(
    hook: Callable[[], None], length: str | None, store: Store
) -> None:
    app = flask_app(shop(store))
    app.before_request(hook)
    reply = ask_wsgi(app, delivery(event_body(), length=length), PATH)
    assert (reply.status, reply.word) == (200, "accepted")


def reading_first(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        request.read()
        return get_response(request)

    return middleware


def test_a_django_middleware_that_takes_the_stream_is_said_in_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(MIDDLEWARE=[f"{__name__}.{reading_first.__name__}"]):
        reply: Reply = ask_wsgi(django_app(shop(store)), delivery(event_body()), PATH)
    assert reply.status == 400
    assert "0 bytes seen" in caplog.text
