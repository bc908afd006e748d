"""Bodies that are made to hurt: slow, deep, doubled, repeated; and headers that smuggle others."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from dispatch_returns import DispatchClient, webhooks
from dispatch_returns.cli.common import Stop
from dispatch_returns.cli.serve import PATH, _Paths, listen, serving
from dispatch_returns.errors import DispatchReturnsError
from dispatch_returns.store import Store
from dispatch_returns.store.inbox import EventState
from dispatch_returns.webhooks.receiver import Receiver
from tests.support.cli import Shop as ServedShop
from tests.support.cli import started
from tests.support.hook_server import hook_server
from tests.support.stores import open_store
from tests.support.webhooks import NOW, SECRET, event_body, shop, signed, stored

Served = Callable[[Any], contextlib.AbstractContextManager[str]]


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name for it
        """Say nothing on the terminal."""


class Probed:
    """The probes of no service: these tests do not ask them."""

    async def __call__(self, *_: object) -> None:
        raise AssertionError("nobody asks")


@contextlib.contextmanager
def by_serve(connector: Any) -> Iterator[str]:
    """What `dispatch-returns serve` runs, on a socket of its own."""
    app = _Paths(webhooks.asgi.app(connector), [PATH], Probed())  # type: ignore[arg-type]
    with listen("127.0.0.1", 0) as listener, serving(app, listener, Stop()):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"


@contextlib.contextmanager
def by_wsgi(connector: Any) -> Iterator[str]:
    """The standard library's server, whose streams give what is there."""
    app = webhooks.wsgi.app(connector)
    with wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PATH}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[by_serve, by_wsgi], ids=["serve", "wsgi"])
def served(request: pytest.FixtureRequest) -> Served:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


def dribble(url: str, *, every: float, length: str, until: float) -> tuple[bytes, float]:
    """Send one byte at a time; return what was answered, and after how many seconds."""
    target = urlsplit(url)
    assert target.port is not None
    with socket.create_connection(("127.0.0.1", target.port), timeout=every) as sender:
        begun = time.monotonic()
        head = f"POST {target.path} HTTP/1.1\r\nHost: shop\r\n{length}\r\n\r\n"
        sender.sendall(head.encode())
        answer = b""
        while time.monotonic() - begun < until:
            try:
                sender.sendall(b"1\r\nx\r\n" if "chunked" in length else b"x")
                received = sender.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                break
            answer += received
            if not received:
                break
        return answer, time.monotonic() - begun


@pytest.mark.parametrize(
    ("served", "length"),
    [
        (by_serve, "Content-Length: 100000"),
        (by_serve, "Transfer-Encoding: chunked"),
        (by_wsgi, "Content-Length: 100000"),  # that server reads no chunks
    ],
    ids=["serve", "serve, in chunks", "wsgi"],
)
def test_a_body_that_dribbles_in_is_cut_off(served: Served, store: Store, length: str) -> None:
    connector = shop(store, max_read=timedelta(seconds=0.5))
    with served(connector) as url:
        answer, seconds = dribble(url, every=0.05, length=length, until=10)
        assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.0 408"))
        assert 0.4 < seconds < 5, "and the connection is closed"
        body = event_body()
        assert httpx.post(url, content=body, headers=signed(body)).status_code == 200
    assert len(stored(store)) == 1


def test_a_byte_a_second_is_cut_off_by_serve_after_ten(
    shop_served: ServedShop,
) -> None:
    command = ("serve", "--port", "0", "--json")
    with started(
        *command, environment=shop_served.settings, until="}", cwd=shop_served.folder
    ) as process:
        answer, seconds = dribble(
            process.said["url"], every=1.0, length="Content-Length: 1000", until=30
        )
    assert answer.startswith(b"HTTP/1.1 408")
    assert 9 < seconds < 20


def test_a_slow_body_that_is_complete_in_time_is_taken(served: Served, store: Store) -> None:
    body = event_body()
    with served(shop(store)) as url:

        def slowly() -> Iterator[bytes]:
            for start in range(0, len(body), 100):
                time.sleep(0.01)
                yield body[start : start + 100]

        headers = {**signed(body), "Content-Length": str(len(body))}
        assert httpx.post(url, content=slowly(), headers=headers).status_code == 200
    assert [event.body for event in stored(store)] == [body]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
def test_a_deeply_nested_body_is_kept_as_unreadable(
    served: Served, store: Store, opening: bytes
) -> None:
    body = (opening * 1_000_000)[:1_000_000]
    around = event_body(data={"id": "tkt_1", "x": "DEEP"}).replace(
        b'"DEEP"', b"[" * 100_000 + b"]" * 100_000
    )
    with served(shop(store)) as url:
        for given in (body, around):
            answer = httpx.post(url, content=given, headers=signed(given))
            assert (answer.status_code, answer.json()) == (200, {"status": "unreadable"})
        assert httpx.post(url, content=body).status_code == 401, "who cannot sign is not parsed"
    assert {event.state for event in stored(store)} == {EventState.UNREADABLE}


def test_a_duplicate_key_means_the_last_one_and_an_event_decides_nothing(store: Store) -> None:
    """The signature covers the bytes, so nobody but the sender can have written it."""
    body = event_body().replace(b'"id":"evt_1"', b'"id":"evt_0","id":"evt_1"')
    tampered = event_body().replace(b'"id":"evt_1"', b'"id":"evt_1","id":"evt_2"')
    receiver = shop(store).receiver
    assert receiver.receive("POST", signed(body), body).status == 200
    assert receiver.receive("POST", signed(body), tampered).status == 401
    assert [event.event_id for event in stored(store)] == ["evt_1"]


def test_a_replay_is_known_by_its_id_and_then_refused_by_its_time(store: Store) -> None:
    clock = [NOW]
    receiver = shop(store, clock=lambda: clock[0]).receiver
    body = event_body(timestamp=NOW.isoformat())
    words: list[bytes] = []
    for days in (0, 1, 6.99, 7.01, 3650):
        clock[0] = NOW + timedelta(days=days)
        words.append(receiver.receive("POST", signed(body), body).body)
    assert [json.loads(word)["status"] for word in words] == [
        "accepted", "repeated", "repeated", "unauthorized", "unauthorized",
    ]  # fmt: skip
    clock[0] = NOW - timedelta(minutes=6)
    assert receiver.receive("POST", signed(body), body).status == 401
    assert len(stored(store)) == 1


def test_while_secrets_rotate_both_are_good_and_afterwards_one(store: Store) -> None:
    def status(secrets: Any, signer: str, event_id: str) -> int:
        body = event_body(id=event_id)
        receiver = Receiver(store, secrets, clock=lambda: NOW)
        return receiver.receive("POST", signed(body, signer), body).status

    assert [status(("old", "new"), it, f"evt_{it}") for it in ("old", "new")] == [200, 200]
    assert [status(("new",), it, f"evt_late_{it}") for it in ("old", "new")] == [401, 200]
    assert [status(given, "new", "evt_no") for given in ((), "", ("", "new"))] == [401, 401, 401]


INJECTED = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\x00b", "a\rb", "a\x0b\x0cb", "\x7f", "é"]


@pytest.mark.parametrize("text", INJECTED)
def test_no_header_is_smuggled_into_a_call(text: str) -> None:
    """Through a key, an idempotency key or an id: refused here, or sent as what it is."""
    with hook_server() as server:
        base = server.url.removesuffix("/hooks")
        for call in (
            lambda: DispatchClient(text, "ws_1", base_url=base, max_retries=0).tickets.get("tkt_1"),
            lambda: _client(base).comments.create("tkt_1", body="x", idempotency_key=text),
            lambda: _client(base).tickets.get(text),
            lambda: DispatchClient("sk_1", text, base_url=base, max_retries=0).tickets.get("t"),
        ):
            with contextlib.suppress(DispatchReturnsError):
                call()
        for post in server.posts:
            assert "x-evil" not in post.headers


def _client(base: str) -> DispatchClient:
    return DispatchClient("sk_1", "ws_1", base_url=base, max_retries=0)


@pytest.mark.parametrize("text", INJECTED)
def test_no_answer_repeats_what_it_was_asked(store: Store, text: str) -> None:
    receiver = shop(store).receiver
    body = event_body(id=text, data={"id": text, "title": text})
    for headers in (signed(body), {"X-Dispatch-Signature": text}, {"Content-Length": text}):
        answer = receiver.receive("POST", headers, body)
        assert text.encode() not in answer.body
        assert all(text not in name + value for name, value in answer.headers)
    assert SECRET not in str(stored(store))
