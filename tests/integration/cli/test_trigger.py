from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from dispatch_returns.cli.serve import PATH
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.store import inbox
from dispatch_returns.webhooks import asgi, parse
from tests.support.cli import Shop
from tests.support.stripe_sandbox import serving


@contextlib.contextmanager
def receiver(shop: Shop) -> Iterator[str]:
    with (
        Connector(Settings.from_env(shop.settings)) as connector,
        serving(asgi.app(connector)) as url,
    ):
        yield url + PATH


@pytest.mark.parametrize(
    "event", ["ticket.created", "ticket.updated", "ticket.comment.created", "customer.created"]
)
def test_a_test_event_is_accepted_and_understood(shop: Shop, event: str) -> None:
    with receiver(shop) as url:
        said = shop.run("trigger", url, "--event", event, "--ticket", "tkt_9", "--json")
    assert said.code == 0
    assert said.json["accepted"] is True
    assert said.json["status"] == 200
    with shop.store() as store, store.read() as conn:
        (stored,) = inbox.newest(conn, limit=5)
    assert stored.event_id == said.json["event_id"]
    parsed = parse(stored.body)
    assert parsed.type == event
    assert parsed.workspace_id == shop.settings["DISPATCH_WORKSPACE"]
    assert parsed.ticket_id == (None if event == "customer.created" else "tkt_9")


def test_the_status_is_what_was_asked_for(shop: Shop) -> None:
    with receiver(shop) as url:
        shop.run("trigger", url, "--status", "approved")
    with shop.store() as store, store.read() as conn:
        (stored,) = inbox.newest(conn, limit=5)
    assert parse(stored.body).raw["data"]["status"] == "approved"
    assert parse(stored.body).raw["data"]["changes"] == ["status"]


def test_the_first_of_several_secrets_signs(shop: Shop) -> None:
    with receiver(shop) as url:
        said = shop.run("trigger", url, DISPATCH_WEBHOOK_SECRET="whsec_test, whsec_old")
    assert said.code == 0


def test_a_wrong_secret_is_refused_and_exits_with_1(shop: Shop) -> None:
    with receiver(shop) as url:
        said = shop.run("trigger", url, "--secret", "whsec_wrong")
    assert said.code == 1
    assert "401" in said.out
    assert "whsec" not in said.text


def test_without_a_secret_it_says_what_to_set(shop: Shop) -> None:
    said = shop.run("trigger", "http://127.0.0.1:1/", DISPATCH_WEBHOOK_SECRET="")
    assert said.code == 3
    assert "DISPATCH_WEBHOOK_SECRET" in said.err


def test_it_needs_no_setting_but_the_secret(shop: Shop) -> None:
    with receiver(shop) as url:
        said = shop.offline("trigger", url, "--secret", "whsec_test")
    assert said.code == 0


@pytest.mark.parametrize("url", ["foo", "ftp://a/b", "http://", "http://[::1/x"])
def test_a_url_that_is_not_whole_is_a_usage_error(shop: Shop, url: str) -> None:
    said = shop.run("trigger", url)
    assert said.code == 2
    assert "write it in full" in said.text


def test_a_receiver_that_is_not_there_is_one_sentence(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/hook"
    said = shop.run("trigger", url)
    assert said.code == 4
    assert said.err.startswith(f"Error: {url} cannot be reached")
    assert said.out == ""
    document = shop.run("trigger", url, "--json").json
    assert document["error"]["type"] == "ConnectionError"
