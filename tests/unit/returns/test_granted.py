"""What was granted is what is paid: in its currency, and not more, whatever a ticket says."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import RefundStateError
from dispatch_returns.money import Money
from dispatch_returns.refunds import RefundReason, actions
from dispatch_returns.returns.orders.model import Order, OrderLine
from tests.support.desk import usd
from tests.support.returns import PLACED
from tests.support.returns_shop import ReturnsShop


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def order_in(currency: str, price: Decimal) -> Order:
    """An order of one SKU-001 in another currency than its payment's."""
    cost, nothing = (Money.from_decimal(it, currency) for it in (price, Decimal(0)))
    line = OrderLine("SKU-001", "SKU-001", 1, cost, nothing, nothing)
    return Order("1234", currency, (line,), PLACED, nothing)


def patch_after_ours(shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let somebody change fields between our writing of `refunded` and our next look."""
    update = shop.client.tickets.update

    def ours_then_theirs(ticket_id: str, **changes: Any) -> Ticket:
        written = update(ticket_id, **changes)
        if changes.get("status") == "refunded":
            written = update(ticket_id, custom_fields=fields)
        return written

    monkeypatch.setattr(shop.client.tickets, "update", ours_then_theirs)
    monkeypatch.setattr(shop.client.tickets, "with_options", lambda **_: shop.client.tickets)


def test_an_amount_granted_in_one_currency_is_not_paid_in_another(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order_in("EUR", Decimal("149.00"))
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    (held,) = shop.refunds(ticket)
    assert (held.reason, shop.fake.refunds) == ("currency_differs", [])
    assert held.detail == "149.00 EUR was granted, and the payment is in USD."
    assert shop.now(ticket).custom_fields["currency"] == "EUR"


def test_the_processor_is_told_what_the_refund_is_for(shop: ReturnsShop) -> None:
    ticket = shop.ask("SKU-001", "SKU-002")
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    (request,) = shop.fake.requests
    details = request.details
    assert details.reason is RefundReason.RETURN
    assert details.reference == shop.connector.returns.get(ticket.id).number
    assert {line.sku for line in details.lines} == {"SKU-001", "SKU-002"}
    amounts = [line.amount for line in details.lines] + [details.shipping]
    known = [it.minor for it in amounts if it is not None]
    assert sum(known) == request.amount.minor, "the shares add up"


def test_another_amount_than_was_granted_goes_without_shares(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_after_ours(shop, monkeypatch, refund_amount=Decimal("1.00"))
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    (request,) = shop.fake.requests
    assert request.amount == usd("1.00")
    assert [line.amount for line in request.details.lines] == [None]


def test_a_currency_taken_off_the_ticket_stays_that_of_the_grant(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.merchant.orders.known["1234"] = order_in("EUR", Decimal("149.00"))
    patch_after_ours(shop, monkeypatch, currency=None)
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert [r.reason for r in shop.refunds(ticket)] == ["currency_differs"]


def test_a_refund_retried_for_an_earlier_parcel_keeps_its_currency(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order_in("EUR", Decimal("149.00"))
    ticket = shop.ask("SKU-001", "SKU-002")
    shop.connector.returns.receive(ticket.id, lines=["SKU-001"], who="Bob")
    shop.work()
    (held,) = shop.refunds(ticket)
    with pytest.raises(RefundStateError):
        actions.approve(
            shop.connector.refunds, held.id, who="Ann", facts=shop.connector.facts(ticket)
        )
    facts = shop.connector.facts(shop.now(ticket))
    again = actions.retry(shop.connector.refunds, held.id, who="Ann", facts=facts)
    assert (again.reason, shop.fake.refunds) == ("currency_differs", [])


def test_a_patch_between_the_settlement_and_the_refund_is_not_obeyed(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_after_ours(shop, monkeypatch, refund_amount=Decimal("999.00"))
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    (held,) = shop.refunds(ticket)
    assert (held.reason, shop.fake.refunds) == ("more_than_granted", [])
    assert (
        held.detail == "refund_amount is 999.00 USD, and 149.00 USD was granted for what came back."
    )
    actions.approve(
        shop.connector.refunds, held.id, who="Ann", facts=shop.connector.facts(shop.now(ticket))
    )
    shop.work()
    assert [r.amount for r in shop.fake.refunds] == [usd("999.00")]


def test_a_lower_amount_of_an_agents_is_obeyed(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_after_ours(shop, monkeypatch, refund_amount=Decimal("120.00"))
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert [r.amount for r in shop.fake.refunds] == [usd("120.00")]


def test_where_a_person_decides_their_amount_counts_also_a_higher_one(shop: ReturnsShop) -> None:
    shop.merchant.rules.refund_on_receipt = False
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    shop.put(ticket, "refunded", refund_amount=Decimal("160.00"))
    assert [r.amount for r in shop.fake.refunds] == [usd("160.00")]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("is_spam", True, "is marked as spam"),
        ("merged_into_id", "tkt_other", "was merged into another ticket"),
    ],
)
def test_a_ticket_that_was_taken_away_is_not_paid(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch, field: str, value: object, said: str
) -> None:
    ticket = shop.ticket()
    taken = ticket.model_copy(update={field: value})
    monkeypatch.setattr(shop.client.tickets, "get", lambda _ticket_id: taken)
    shop.run(ticket)
    held = shop.refund(ticket)
    assert held is not None
    assert (held.reason, held.detail, shop.fake.refunds) == (
        "ticket_removed",
        f"The ticket {said}.",
        [],
    )


def test_a_ticket_that_was_deleted_is_not_paid(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = shop.ticket()
    deleted = ticket.model_copy(update={"deleted_at": PLACED})
    monkeypatch.setattr(shop.client.tickets, "get", lambda _ticket_id: deleted)
    shop.run(ticket)
    assert (shop.refund(ticket), shop.fake.refunds) == (None, [])
