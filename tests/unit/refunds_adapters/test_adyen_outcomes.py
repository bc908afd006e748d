"""A refund at Adyen from its ticket to its end, which comes by webhook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.refunds import external
from dispatch_returns.refunds.adapter import KnownRefund
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.sync import RefundSync
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from tests.support.adyen_sandbox import DescribedAdyen, adapter_at, serving_adyen
from tests.support.desk import WORKSPACE, Clock, Desk, facts, schedule
from tests.support.stores import open_store

WEBHOOK = "http://127.0.0.1:1/webhooks/adyen"


class Shop:
    """A desk whose processor is the stand-in, and the webhooks between them."""

    def __init__(self, store: Store, adyen: DescribedAdyen, url: str, clock: Clock) -> None:
        self.adyen = adyen
        self.adapter = adapter_at(url)
        rarely = schedule(longest_retry=timedelta(hours=12))
        self.desk = Desk(store, self.adapter, clock=clock, schedule=rarely)
        self.payment = adyen.pay("149.00")
        self.sync = RefundSync(self.desk.service, "adyen", lambda: WORKSPACE)

    def asks(self, amount: str = "149.00", currency: str | None = "EUR") -> TicketFacts:
        return facts(
            f"tkt_{self.payment}",
            Decimal(amount),
            payment_intent=None,
            payment_reference=self.payment,
            currency=currency,
        )

    def hear(self) -> None:
        """Take every event that Adyen has sent, as the workers do."""
        for event in self.adyen.outgoing():
            request = WebhookRequest("POST", "/webhooks/adyen", event.headers, event.body)
            for head in self.adapter.verify_webhook(request):
                update = self.adapter.parse_event(head.body or b"")
                if update is not None:
                    self._write(self.sync.ask(update).refunds)

    def _write(self, refunds: list[KnownRefund]) -> None:
        def write(conn: Connection) -> None:
            for known in refunds:
                external.look_alone(conn, "adyen", {ref.id for ref in known.payments})
                self.sync.reconcile(conn, known)

        self.desk.store.write("event.done", write)

    def state(self) -> State:
        return self.desk.only().state


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[DescribedAdyen, str, Clock]]:
    clock = Clock()
    with serving_adyen(lambda: clock().timestamp()) as (adyen, url):
        adyen.listen(WEBHOOK)
        yield adyen, url, clock


@pytest.fixture
def shop(served: tuple[DescribedAdyen, str, Clock], tmp_path: Path) -> Iterator[Shop]:
    adyen, url, clock = served
    adyen.faults.clear()
    adyen.outgoing()
    with open_store(tmp_path, durable=False) as store:
        shop = Shop(store, adyen, url, clock)
        yield shop
        shop.adapter.close()


def test_a_refund_is_pending_until_its_webhook_says_that_it_was_made(shop: Shop) -> None:
    shop.desk.enter(shop.asks())
    shop.desk.step()
    assert shop.state() is State.PENDING
    shop.hear()
    assert shop.state() is State.SUCCEEDED
    assert shop.adyen.refunded(shop.payment) == 14900


def test_after_a_lost_answer_the_same_key_finds_the_refund(shop: Shop) -> None:
    shop.adyen.fail("lost_response")
    shop.desk.enter(shop.asks())
    shop.desk.step()
    assert shop.state() is State.UNKNOWN
    shop.desk.run(minutes=1)
    assert shop.state() is State.PENDING
    assert len(shop.adyen.payments[shop.payment].refunds) == 1


@pytest.mark.parametrize("fault", ["lost_response", "server_error"])
def test_after_a_lost_answer_the_webhook_finds_it_by_our_reference(shop: Shop, fault: str) -> None:
    shop.adyen.fail(fault, acted=True)  # type: ignore[arg-type]
    shop.desk.enter(shop.asks())
    shop.desk.step()
    assert (shop.state(), shop.desk.only().processor_id) == (State.UNKNOWN, None)
    shop.hear()
    row = shop.desk.only()
    assert row.state is State.SUCCEEDED
    assert row.processor_id == shop.adyen.payments[shop.payment].refunds[0].psp_reference


def test_a_refusal_comes_by_webhook_and_says_what_to_do(shop: Shop) -> None:
    shop.adyen.payments[shop.payment].captured = False
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    row = shop.desk.only()
    assert (row.state, row.reason) == (State.FAILED, Reason.REFUND_FAILED)
    assert "capture it" in (row.detail or "")


def test_more_than_is_left_fails_and_a_person_is_told(shop: Shop) -> None:
    shop.adyen.refund_externally(shop.payment, "100.00")
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    assert shop.state() is State.FAILED
    assert shop.adyen.refunded(shop.payment) == 10000


def test_a_refund_that_fails_or_comes_back_later_is_noticed(shop: Shop) -> None:
    shop.adyen.fail("fail_later", seconds=3 * 24 * 3600)
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    assert shop.state() is State.SUCCEEDED
    shop.desk.run(days=4)
    shop.hear()
    assert (shop.state(), shop.desk.only().reason) == (State.FAILED, Reason.REFUND_FAILED)


def test_money_that_comes_back_is_noticed(shop: Shop) -> None:
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    shop.adyen.reverse(shop.adyen.payments[shop.payment].refunds[0].psp_reference)
    shop.hear()
    assert shop.state() is State.FAILED


def test_a_failure_that_overtakes_the_success_stands(shop: Shop) -> None:
    shop.adyen.fail("webhook_reordered")
    shop.adyen.fail("fail_later", seconds=60)
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.desk.run(minutes=2)
    shop.hear()
    assert shop.state() is State.FAILED


def test_a_doubled_webhook_changes_nothing_twice(shop: Shop) -> None:
    shop.adyen.fail("webhook_doubled")
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    assert shop.desk.calls() == ["refund pending", "event succeeded"]


def test_where_the_webhook_is_lost_a_person_reads_it_after_a_week(shop: Shop) -> None:
    shop.adyen.fail("webhook_lost")
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.hear()
    shop.desk.run(days=8)
    assert shop.state() is State.PENDING
    assert any("webhook has not said" in text for text in shop.desk.told("note"))


def test_after_half_the_keys_life_an_unknown_refund_is_left_to_a_person(shop: Shop) -> None:
    """Only our clock says how old the key is, and a dead key would pay again."""
    shop.adyen.fail("lost_response", times=1000)
    shop.adyen.fail("webhook_lost")
    shop.desk.enter(shop.asks())
    shop.desk.step()
    shop.desk.run(days=9)
    row = shop.desk.only()
    assert (row.state, row.due_at, row.reason) == (State.UNKNOWN, None, Reason.OUTCOME_UNKNOWN)
    assert len(shop.adyen.payments[shop.payment].refunds) == 1


def test_a_ticket_without_a_currency_is_held(shop: Shop) -> None:
    shop.desk.enter(shop.asks(currency=None))
    row = shop.desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.CURRENCY_DIFFERS)
    assert "does not tell" in (row.detail or "")


def test_the_wrong_currency_is_refused_by_adyen(shop: Shop) -> None:
    shop.desk.enter(shop.asks(currency="USD"))
    shop.desk.step()
    row = shop.desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.REJECTED)
    assert shop.adyen.refunded(shop.payment) == 0
