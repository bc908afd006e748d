"""Which of several adapters pays a payment back: never by guess."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, InvalidArgumentError
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.sync import Reconciled, RefundSync
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import WORKSPACE, Desk, facts, usd
from tests.support.processors import Bank

STRIPE, UK, PAYPAL, MANUAL = Bank("pi_"), Bank("pi_"), Bank("pp_"), ManualAdapter()
ONE = Adapters.of({"stripe": STRIPE})
TWO = Adapters.of({"stripe": STRIPE, "paypal": PAYPAL})
ALL = Adapters({"stripe": STRIPE, "stripe-uk": UK, "paypal": PAYPAL, "manual": MANUAL})


@pytest.mark.parametrize(
    ("adapters", "payment", "by_order", "on_ticket", "expected"),
    [
        (ONE, "anything", None, None, "stripe"),
        (ONE, "anything", "stripe", "stripe", "stripe"),
        (ONE, "pi_1", None, "paypal", "The ticket names the adapter paypal"),
        (ONE, "pi_1", "paypal", None, "The order names the adapter paypal"),
        (TWO, "pi_1", None, None, "stripe"),
        (TWO, "pp_1", None, None, "paypal"),
        (TWO, "xx_1", None, None, "none of them can tell that the payment xx_1"),
        (TWO, "xx_1", "paypal", None, "paypal"),
        (TWO, "xx_1", None, "paypal", "the payment xx_1 belongs to none of them"),
        (TWO, "pi_1", None, "paypal", "the payment pi_1 belongs to stripe"),
        (TWO, "pi_1", "stripe", "paypal", "the payment pi_1 belongs to stripe"),
        (ALL, "pp_1", None, None, "paypal"),
        (ALL, "pi_1", None, None, "2 of them can tell that the payment pi_1"),
        (ALL, "pi_1", None, "stripe-uk", "stripe-uk"),
        (ALL, "pi_1", "stripe-uk", None, "stripe-uk"),
        (ALL, "pi_1", None, "manual", "the payment pi_1 belongs to stripe or stripe-uk"),
        (ALL, "cash 1", None, None, "none of them can tell that the payment cash 1"),
        (ALL, "cash 1", None, "manual", "manual"),
        (ALL, "cash 1", None, "", "none of them can tell"),
    ],
)
def test_who_pays(
    adapters: Adapters, payment: str, by_order: str | None, on_ticket: str | None, expected: str
) -> None:
    ref = PaymentRef("reference", payment, adapter=by_order)
    found = adapters.paying(ref, on_ticket or None)
    if isinstance(found, Hold):
        assert found.reason is Reason.ADAPTER_UNCLEAR
        assert expected in found.detail
        assert "payment_adapter" in found.remedy
    else:
        assert found == expected


def test_adapters_have_names_of_their_own() -> None:
    assert list(Adapters.of([FakeAdapter({}), ManualAdapter()])) == ["fake", "manual"]
    assert Adapters.of(MANUAL).only == "manual"
    assert ALL.only is None
    with pytest.raises(InvalidArgumentError, match="two adapters have the same name"):
        Adapters.of([FakeAdapter({}), FakeAdapter({})])
    with pytest.raises(InvalidArgumentError, match="at least one"):
        Adapters.of([])


def desk_of(store: Store, **adapters: Bank) -> Desk:
    desk = Desk(store)
    desk.restart(adapters=adapters)
    return desk


def test_the_adapter_is_written_into_the_row(store: Store) -> None:
    paypal = Bank("pp_", {"pp_1": usd("149.00")})
    desk = desk_of(store, stripe=Bank("pi_"), paypal=paypal)
    row = desk.enter(facts(payment_intent=None, payment_reference="pp_1"))
    assert (row.adapter, row.payment and row.payment["adapter"]) == ("paypal", "paypal")
    desk.step()
    assert [it.payment.adapter for it in paypal.requests] == ["paypal"]


def test_a_payment_of_no_known_form_is_held_without_an_adapter(store: Store) -> None:
    desk = desk_of(store, stripe=Bank("pi_"), paypal=Bank("pp_"))
    row = desk.enter(facts(payment_intent=None, payment_reference="xx_1"))
    assert (row.state, row.reason, row.adapter) == ("held", "adapter_unclear", None)
    assert desk.step() == 0


def test_a_refund_that_was_begun_stays_with_its_adapter(store: Store) -> None:
    stripe, paypal = Bank("pi_"), Bank("pp_", {"pp_1": usd("149.00")})
    stripe.add_payment("pi_1", usd("149.00"))
    desk = desk_of(store, stripe=stripe, paypal=paypal)
    stripe.refuses = AdapterError(ErrorKind.NOT_REFUNDABLE, "too old")
    row = desk.enter(facts())
    desk.step()
    assert (desk.only().state, desk.only().reason) == ("held", "not_refundable")
    again = desk.enter(facts(payment_intent=None, payment_reference="pp_1"))
    assert (again.id, again.state, again.reason) == (row.id, "held", "adapter_changed")
    assert (again.adapter, again.payment and again.payment["id"]) == ("stripe", "pi_1")
    assert re.search("begun with the adapter stripe, .* belongs to paypal", again.detail or "")
    assert paypal.requests == []


def test_a_refund_that_was_never_sent_may_go_to_another_adapter(store: Store) -> None:
    paypal = Bank("pp_", {"pp_1": usd("149.00")})
    desk = desk_of(store, stripe=Bank("pi_"), paypal=paypal)
    assert desk.enter(facts(payment_intent="pi_9")).adapter == "stripe"
    desk.enter(facts(payment_intent=None, payment_reference="pp_1"))
    desk.step()
    assert (desk.only().adapter, desk.only().state) == ("paypal", "succeeded")


def reported(desk: Desk, row: Refund, name: str, bank: Bank, payment: str) -> Reconciled:
    """Make our refund of `row` at another bank, as a store did that was lost; and report it."""
    ref = PaymentRef("payment_intent", payment)
    bank.refund(RefundRequest(row.id, f"{row.id}-g1", ref, usd("149.00"), WORKSPACE, row.ticket_id))
    (known,) = bank.refunds_of(ref)
    sync = RefundSync(desk.service, name, lambda: WORKSPACE)
    return desk.store.write("report", lambda conn: sync.reconcile(conn, known))


@pytest.mark.parametrize("ticket", [{"payment_reference": "xx_1"}, {"payment_reference": "pp_1"}])
def test_a_refund_of_ours_that_another_adapter_made_is_not_paid_again(
    store: Store, ticket: dict[str, str]
) -> None:
    stripe, paypal = (Bank(it, {f"{it}1": usd("149.00")}) for it in ("pi_", "pp_"))
    desk = desk_of(store, stripe=stripe, paypal=paypal)
    row = desk.enter(facts(payment_intent=None, **ticket))
    assert (row.adapter, row.was_sent) in {(None, False), ("paypal", False)}
    assert reported(desk, row, "stripe", stripe, "pi_1") is Reconciled.APPLIED
    desk.enter(facts(payment_intent=None, **ticket))
    desk.run(days=40)
    paid = desk.only()
    assert (paid.state, paid.adapter, paid.processor_id) == ("succeeded", "stripe", "fake_1")
    assert (paid.amount, paid.payment and paid.payment["id"]) == (usd("149.00"), "pi_1")
    assert paypal.requests == []


def test_a_row_that_is_taken_over_has_the_adapter_that_made_the_refund(store: Store) -> None:
    """Also where the refund names no payment: a PayPal refund may come without its link."""
    stripe, paypal = (Bank(it, {f"{it}1": usd("149.00")}) for it in ("pi_", "pp_"))
    desk = desk_of(store, stripe=stripe, paypal=paypal)
    row = desk.enter(facts(payment_intent=None, payment_reference="pp_1"))
    ref = PaymentRef("payment_intent", "pi_1")
    stripe.refund(RefundRequest(row.id, f"{row.id}-g1", ref, usd("149.00"), WORKSPACE, "tkt_1"))
    (known,) = stripe.refunds_of(ref)
    sync = RefundSync(desk.service, "stripe", lambda: WORKSPACE)
    bare = replace(known, payments=())
    desk.store.write("report", lambda conn: sync.reconcile(conn, bare))
    assert (desk.only().state, desk.only().adapter) == ("succeeded", "stripe")


def test_a_refund_of_ours_settles_a_row_that_was_held_without_a_payment(store: Store) -> None:
    stripe = Bank("pi_", {"pi_1": usd("149.00")})
    desk = desk_of(store, stripe=stripe)
    row = desk.enter(facts(payment_intent=None))
    assert (row.reason, row.payment) == ("no_payment", None)
    assert reported(desk, row, "stripe", stripe, "pi_1") is Reconciled.APPLIED
    desk.run(days=40)
    paid = desk.only()
    assert (paid.state, paid.amount, paid.reason) == ("succeeded", usd("149.00"), None)
    assert paid.payment is not None
    assert paid.payment["id"] == "pi_1"


def test_a_refund_of_ours_that_two_adapters_made_is_shown_to_a_person(store: Store) -> None:
    stripe, paypal = (Bank(it, {f"{it}1": usd("149.00")}) for it in ("pi_", "pp_"))
    desk = desk_of(store, stripe=stripe, paypal=paypal)
    row = desk.enter(facts(payment_intent=None, payment_reference="pp_1"))
    desk.step()
    paid = desk.only()
    stripe.add_payment("pi_2", usd("1.00"))
    stripe.refund_externally("pi_2", usd("1.00"))
    for _ in range(2):
        again = reported(desk, row, "stripe", stripe, "pi_1")
        assert again is Reconciled.FOR_A_PERSON
    assert desk.only() == paid
    (note,) = desk.told("note")
    assert "fake_2 was made at stripe, and this refund was begun at paypal." in note


def test_a_refund_of_ours_made_by_another_adapter_holds_the_retry(store: Store) -> None:
    stripe, paypal = (Bank(it, {f"{it}1": usd("149.00")}) for it in ("pi_", "pp_"))
    desk = desk_of(store, stripe=stripe, paypal=paypal)
    ticket = facts(payment_intent=None, payment_reference="pp_1")
    paypal.refuses = AdapterError(ErrorKind.NOT_REFUNDABLE, "too old")
    row = desk.enter(ticket)
    desk.step()
    paypal.refuses = None
    desk.retry(facts=ticket)
    assert (desk.only().state, desk.only().was_sent) == ("requested", True)
    assert reported(desk, row, "stripe", stripe, "pi_1") is Reconciled.FOR_A_PERSON
    desk.run(hours=1)
    held = desk.only()
    assert (held.state, held.reason) == ("held", "refunded_elsewhere")
    assert (
        "fake_1 was made at stripe, and this refund was begun at paypal." in desk.told("note")[-1]
    )
    assert paypal.refunds == []
