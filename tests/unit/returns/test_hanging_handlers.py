"""A handler that never returns: it keeps one slot, is reported, and holds up no refund."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.connector.connector import Context
from dispatch_returns.store.outbox import Message
from dispatch_returns.webhooks.events import TicketUpdated
from tests.support.waiting import wait_until
from tests.support.workshop import Workshop


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path, workers=2, reconcile_every=0)
    yield shop
    shop.close()


@pytest.fixture
def hanging(shop: Workshop) -> Iterator[Callable[[], int]]:
    """A handler that returns when the test is over; gives how many calls hang in it."""
    over = threading.Event()
    entered: list[str] = []

    @shop.connector.on("ticket.updated")
    def hangs(event: TicketUpdated, _context: Context) -> None:
        entered.append(event.id)
        over.wait(60)

    yield lambda: len(entered)
    over.set()


def claimed(shop: Workshop) -> Message:
    """The call of a handler, claimed as a worker claims it."""
    shop.event(shop.ticket("item_received").id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    (message,) = shop.connector.messenger.claim_handlers(9)
    return message


def test_with_all_handlers_hung_refunds_go_on_and_the_handlers_wait_visibly(
    shop: Workshop, hanging: Callable[[], int]
) -> None:
    for _ in range(3):
        shop.event(shop.ticket("item_received").id)
    shop.connector.start()
    wait_until(lambda: hanging() == 2, 20)
    paid = shop.ticket()
    shop.event(paid.id)
    wait_until(lambda: shop.now(paid).custom_fields.get("refund_status") == "succeeded", 20)
    assert hanging() == 2, "each keeps its slot"
    shop.clock.turn(minutes=6)
    lag = shop.connector.health.lag()
    assert (lag.ok, lag.document["status"]) == (False, "late")
    assert lag.document["oldest_handler_seconds"] >= 360


def test_a_handler_over_its_limit_is_reported_once(
    shop: Workshop, caplog: pytest.LogCaptureFixture, hanging: Callable[[], int]
) -> None:
    assert hanging() == 0
    message = claimed(shop)
    shop.connector.messenger.keep_handler(message, 59)
    assert shop.connector.health.lag().ok
    for seconds in (61, 62, 130):
        shop.connector.messenger.keep_handler(message, seconds)
    assert shop.connector.health.lag().document["handlers_over_limit"] == 1
    assert not shop.connector.health.lag().ok
    (said,) = [it for it in caplog.records if it.levelno == logging.ERROR]
    assert "hangs has run for 61 s and occupies one of the slots" in said.getMessage()
    shop.connector.messenger._finish(message, message.state.DONE, None)
    assert shop.connector.health.lag().ok


def test_while_a_handler_runs_no_other_worker_calls_it_again(
    shop: Workshop, hanging: Callable[[], int]
) -> None:
    assert hanging() == 0
    message = claimed(shop)
    for minutes in range(1, 10):
        shop.clock.turn(minutes=1)
        shop.connector.messenger.keep_handler(message, 60.0 * minutes)
        assert shop.connector.messenger.claim_handlers(9) == []
    shop.clock.turn(minutes=3)  # its process is dead
    assert len(shop.connector.messenger.claim_handlers(9)) == 1
