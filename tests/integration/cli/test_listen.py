from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from dispatch_returns.cli.listen import Forwarder
from dispatch_returns.cli.serve import PATH
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.webhooks import asgi
from tests.integration.cli.test_trigger import receiver
from tests.support.cli import Shop, started
from tests.support.stripe_sandbox import serving
from tests.support.waiting import wait_until

NOWHERE = "http://127.0.0.1:9/webhooks/dispatch"


@pytest.fixture
def here(shop: Shop) -> Shop:
    """A shop with an older ticket and without a webhook: nothing is delivered to it."""
    shop.run("webhooks", "delete", NOWHERE)
    shop.ticket(order_id="old")
    return shop


@contextlib.contextmanager
def forwarding(shop: Shop, url: str, secret: str = "whsec_test") -> Iterator[Forwarder]:
    with shop.client() as client:
        made = Forwarder(client, "ws_sandbox", url, secret)
        made.begin()
        yield made


def test_what_changes_is_forwarded_once_and_paid(here: Shop) -> None:
    with receiver(here) as url, forwarding(here, url) as made:
        assert list(made.look()) == []
        ticket = here.ticket(payment_intent=here.pay())
        (line,) = made.look()
        assert line.endswith(f"ticket.created  {ticket}  refunded  ->  200")
        assert list(made.look()) == []
    here.work()
    assert here.row(ticket).state == "succeeded"


def test_what_is_not_received_is_sent_again(here: Shop) -> None:
    with forwarding(here, NOWHERE) as made:
        here.ticket()
        for _ in range(2):
            (line,) = made.look()
            assert line.endswith("it is sent again")


def test_another_secret_is_said(here: Shop) -> None:
    with receiver(here) as url, forwarding(here, url, "whsec_other") as made:
        here.ticket()
        (line,) = made.look()
        assert line.endswith("401 (the receiver has another DISPATCH_WEBHOOK_SECRET)")
        assert list(made.look()) == []


def test_the_command_leaves_nothing_behind(here: Shop) -> None:
    with (
        Connector(Settings.from_env(here.settings)) as connector,
        serving(asgi.app(connector)) as url,
        started(
            "listen", "--forward-to", url + PATH, "--every", "0.5",
            environment=here.settings, until="Ctrl-C", cwd=here.folder,
        ) as process,
    ):  # fmt: skip
        ticket = here.ticket(payment_intent=here.pay())
        wait_until(lambda: bool(here.run("events", "list", "--json").json["events"]), 20)
        said = process.end(signal.SIGINT)
    assert (said.code, f"{ticket}  refunded  ->  200" in said.out) == (130, True)
    assert here.run("webhooks", "list", "--json").json["webhooks"] == []
