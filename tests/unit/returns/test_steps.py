"""The six steps: what follows from where a ticket is, once, whoever brought it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import NotificationError, OrderError
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import records
from dispatch_returns.returns.policy.verdict import Item, Outcome
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.returns.steps import messages
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import outbox
from tests.support.desk import usd
from tests.support.lossy_answers import Lossy
from tests.support.returns import PLACED, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


# Requests and the eligibility check.


def test_a_return_walks_from_its_request_to_the_money(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    assert shop.status(ticket) == "label_sent"
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    done = shop.now(ticket)
    assert done.status == "refunded"
    assert done.custom_fields["refund_amount"] == Decimal("149.00")
    assert done.custom_fields["received_date"] == "2024-01-15"
    assert done.custom_fields["condition"] == "good"
    assert done.custom_fields["refund_status"] == "succeeded"
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]
    assert shop.story(ticket) == [
        "status return_requested",
        "status eligibility_check",
        "eligibility approve",
        "status approved",
        "label sent",
        "status label_sent",
        "receipt settled",
        "status item_received",
        "receipt accepted",
        "status refunded",
    ]
    assert shop.merchant.notifier.kinds == [
        "requested",
        "approved",
        "label_sent",
        "received",
        "refunded",
    ]
    path = [c.body for c in shop.client.comments.list(ticket.id) if c.author_type == "SYSTEM"]
    assert [words.split()[-1] for words in path] == [
        "eligibility_check",
        "approved",
        "label_sent",
        "item_received",
        "refunded",
    ]


def test_a_request_is_the_guides_ticket(shop: ReturnsShop) -> None:
    ticket = shop.connector.returns.request(
        order_id="1234",
        items=["SKU-001", Item("SKU-002", 2), {"sku": "SKU-003"}],
        reason="wrong_size",
        customer_email=EMAIL,
        original_order_total=usd("149.00"),
        key="order-1234",
    )
    assert (ticket.subject, ticket.status, ticket.customer_email) == (
        "Return Request - Order #1234",
        "return_requested",
        EMAIL,
    )
    assert ticket.custom_fields == {
        "order_id": "1234",
        "return_reason": "wrong_size",
        "items_to_return": ["SKU-001", "SKU-002", "SKU-002", "SKU-003"],
        "original_order_total": Decimal("149.00"),
    }
    again = shop.connector.returns.request(
        order_id="1234",
        items=["SKU-001", Item("SKU-002", 2), {"sku": "SKU-003"}],
        reason="wrong_size",
        customer_email=EMAIL,
        original_order_total=usd("149.00"),
        key="order-1234",
    )
    assert again.id == ticket.id


def test_the_policy_in_force_when_the_order_was_placed_is_asked_with_all_that_is_known(
    shop: ReturnsShop,
) -> None:
    ticket = shop.ask()
    (request, known, history, now) = shop.merchant.rules.asked[0]
    assert shop.merchant.rules.in_force_at[-1] == PLACED
    assert (request.ticket_id, request.order_id, request.items, request.reason) == (
        ticket.id,
        "1234",
        (Item("SKU-001", 1),),
        "wrong_size",
    )
    assert request.requested_at == ticket.created_at
    assert known == order()
    assert (history.returns_by_age, history.returned) == ((), {})
    assert now == shop.clock()


def test_the_verdict_is_kept_and_is_on_the_ticket_as_a_note(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    verdict = next(it for it in shop.decisions(ticket) if it.kind == "eligibility")
    assert (verdict.outcome, verdict.who, verdict.why) == (
        "approve",
        "policy test@1",
        "All is well.",
    )
    assert verdict.data["policy"] == "test@1"
    assert verdict.data["facts"] == {"order": "1234"}
    assert verdict.data["at"] == shop.clock().isoformat()
    assert verdict.data["results"] == [
        {"rule": "window", "outcome": "approve", "why": "All is well."}
    ]
    assert verdict.data["expected"]["total"]["minor"] == 14900
    (note,) = shop.notes(ticket)
    assert note == (
        f"Approved by the return policy test@1. (Return {shop.row(ticket).number})\n"
        "- window: approve. All is well.\n"
        "If everything arrives as announced: 149.00 USD."
    )


def test_a_request_that_needs_a_person_waits_for_one(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    shop.merchant.rules.assignee = "usr_ann"
    ticket = shop.ask()
    found = shop.now(ticket)
    assert (found.status, found.assignee_id) == ("needs_review", "usr_ann")
    assert shop.merchant.notifier.kinds == ["requested", "in_review"]
    assert shop.merchant.labels.bought == []
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    who = [it.who for it in shop.decisions(ticket) if it.outcome == "approved"]
    assert who == ["someone in Dispatch"]


def test_a_rejected_request_is_over_and_the_customer_is_told_why(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REJECT
    shop.merchant.rules.why = "The window of 30 days is over."
    ticket = shop.ask()
    assert shop.status(ticket) == "rejected"
    *_, told = shop.merchant.notifier.told
    assert (told.kind, told.facts["reason"]) == ("rejected", "The window of 30 days is over.")
    assert told.email == EMAIL
    shop.work(days=90)
    assert (shop.merchant.labels.bought, shop.fake.refunds) == ([], [])


def test_what_a_rule_says_of_a_customer_is_not_for_the_customer(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REJECT
    shop.merchant.rules.rule = "blocked"
    shop.ask()
    assert "reason" not in shop.merchant.notifier.told[-1].facts


def test_a_second_open_return_for_the_same_items_is_looked_at(shop: ReturnsShop) -> None:
    first = shop.ask()
    second = shop.ask()
    assert (shop.status(first), shop.status(second)) == ("label_sent", "needs_review")
    (note,) = shop.notes(second)
    assert f"{first.id} ({shop.row(first).number})" in note
    assert "open_return: review." in note
    third = shop.ask("SKU-009")
    assert shop.status(third) == "label_sent", "it asks for something else"


def test_of_two_requests_at_once_the_first_goes_on(shop: ReturnsShop) -> None:
    asked = [
        shop.connector.returns.request(
            order_id="1234", items=["SKU-001"], reason="x", customer_email=EMAIL
        )
        for _ in range(2)
    ]
    shop.work()
    assert sorted(map(shop.status, asked)) == ["label_sent", "needs_review"]


def test_earlier_returns_are_told_to_the_policy(shop: ReturnsShop) -> None:
    first = shop.ask()
    shop.connector.returns.receive(first.id, who="Bob")
    shop.work()
    shop.ask()
    *_, (_, _, history, _) = shop.merchant.rules.asked
    assert dict(history.returned) == {"SKU-001": 1}
    assert history.returns_by_age == (first.created_at,)


def test_an_order_nobody_knows_is_the_policys_to_judge(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    ticket = shop.ask(order_id="9999")
    *_, (_, known, _, _) = shop.merchant.rules.asked
    assert known is None
    assert shop.status(ticket) == "needs_review"


def test_a_corrected_request_is_checked_again(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    ticket = shop.ask("SKU-009")
    shop.merchant.rules.outcome = Outcome.APPROVE
    shop.put(ticket, "return_requested", items_to_return=["SKU-001"])
    assert shop.status(ticket) == "label_sent"
    assert shop.row(ticket).items == [{"sku": "SKU-001", "quantity": 1}]
    assert shop.story(ticket).count("eligibility review") == 1
    assert shop.story(ticket).count("eligibility approve") == 1


def test_our_own_writes_come_back_as_events_and_lead_to_nothing(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    before, told = shop.decisions(ticket), list(shop.merchant.notifier.told)
    for _ in range(3):
        shop.event(ticket.id)
        assert shop.work() == 1, "the event, and nothing after it"
    assert (shop.decisions(ticket), shop.merchant.notifier.told) == (before, told)


def test_repeated_and_late_events_check_buy_and_tell_once(shop: ReturnsShop) -> None:
    ticket = shop.connector.returns.request(
        order_id="1234", items=["SKU-001"], reason="x", customer_email=EMAIL
    )
    for kind in ("ticket.created", "ticket.updated", "ticket.created"):
        shop.event(ticket.id, kind=kind)
    shop.work()
    shop.event(ticket.id)
    shop.work(hours=3)
    assert shop.story(ticket).count("eligibility approve") == 1
    assert len(shop.merchant.labels.bought) == 1
    assert shop.merchant.notifier.kinds == ["requested", "approved", "label_sent"]


@pytest.mark.parametrize("status", ["open", "pending", "closed"])
def test_a_ticket_that_is_no_return_is_left_alone(shop: ReturnsShop, status: str) -> None:
    ticket = shop.ticket(status)
    shop.run(ticket)
    with shop.store.read() as conn:
        assert records.matching(conn, ticket.id, limit=2) == []


def test_a_ticket_that_was_refunded_before_is_paid_as_ever(shop: ReturnsShop) -> None:
    ticket = shop.ticket("refunded")
    shop.run(ticket)
    assert len(shop.fake.refunds) == 1
    assert shop.merchant.notifier.kinds == ["refunded"]
    assert [it for it in shop.comments(ticket) if not it.internal] == []


def test_every_status_can_be_named_otherwise(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    names: dict[str, Any] = {
        "requested_status": "asked",
        "check_status": "checking",
        "approved_status": "agreed",
        "label_sent_status": "labelled",
        "received_status": "arrived",
        "refunded_status": "paid_back",
    }
    shop = ReturnsShop(box, tmp_path, **names)
    for name in names.values():
        shop.client.statuses.create(key=name, name=name)
    ticket = shop.ask()
    assert shop.status(ticket) == "labelled"
    shop.put(ticket, "arrived", received_date="2024-01-15", condition="good")
    assert shop.status(ticket) == "paid_back"
    assert len(shop.fake.refunds) == 1
    shop.close()


# What agents do.


def test_a_ticket_dragged_elsewhere_is_left_there_and_recorded(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.put(ticket, "pending")
    shop.work(days=90)
    assert shop.status(ticket) == "pending"
    assert shop.row(ticket).step is Step.ELSEWHERE
    assert shop.story(ticket)[-1] == "unexpected status pending"
    shop.put(ticket, "label_sent")
    assert shop.row(ticket).step is Step.LABEL_SENT


def test_an_agents_move_counts_more_than_our_plan(shop: ReturnsShop) -> None:
    def agent_rejects() -> None:
        shop.set(ticket, "rejected")

    shop.merchant.labels.on_buy = agent_rejects
    ticket = shop.connector.returns.request(
        order_id="1234", items=["SKU-001"], reason="x", customer_email=EMAIL
    )
    shop.work()
    assert shop.status(ticket) == "rejected"
    shop.arrive(ticket)
    assert shop.status(ticket) == "rejected"
    assert shop.merchant.labels.voided == ["label_1"]
    assert shop.merchant.notifier.kinds[-1] == "rejected"


def test_a_move_whose_answer_was_lost_is_not_made_again_over_the_warehouses(
    shop: ReturnsShop,
) -> None:
    """Sent again, ``eligibility_check`` would undo the receipt, and the money with it."""
    ticket = shop.ask_only("SKU-001")
    received = {"received_date": "2024-01-15", "condition": "like_new"}
    answers = Lossy(shop, lambda: shop.set(ticket, "item_received", **received))
    shop.arrive(ticket)
    shop.work(minutes=1)
    answers.hang_up()
    assert answers.lost == 1
    assert "eligibility_check" not in {it.outcome for it in shop.decisions(ticket)}
    assert [it.amount for it in shop.receipts(ticket)] == [usd("149.00")]


def test_a_move_whose_answer_was_lost_was_made_once(shop: ReturnsShop) -> None:
    ticket = shop.ask_only("SKU-001")
    answers = Lossy(shop, lambda: None)
    shop.arrive(ticket)
    shop.work(minutes=1)
    answers.hang_up()
    assert answers.lost == 1
    assert shop.status(ticket) == "label_sent"
    assert shop.story(ticket).count("status approved") == 1


def after_deciding(shop: ReturnsShop, step: Step, change: Callable[[], None]) -> None:
    """Have somebody change the ticket once `step` is planned, before the ticket is read again."""
    engine = shop.connector._engine
    assert engine is not None
    get = engine._tickets.get

    def changed_before(ticket_id: str) -> Ticket:
        with shop.store.read() as conn:
            row = records.get(conn, records.return_id(dispatch_sandbox.WORKSPACE, ticket_id))
        assert row is not None
        if row.planned is not None and row.planned["step"] == step:
            engine._tickets.get = get  # type: ignore[method-assign]
            change()
        return get(ticket_id)

    engine._tickets.get = changed_before  # type: ignore[method-assign]


def test_an_amount_that_an_agent_lowers_while_ours_is_decided_is_what_is_paid(
    shop: ReturnsShop,
) -> None:
    ticket = shop.ask()
    lower: dict[str, Any] = {"refund_amount": Decimal("20.00"), "condition": "stained"}
    after_deciding(shop, Step.RECEIVED, lambda: shop.set(ticket, **lower))
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    fields = shop.now(ticket).custom_fields
    assert (fields["refund_amount"], fields["condition"]) == (20, "stained")
    assert [r.amount for r in shop.fake.refunds] == [usd("20.00")]


def test_an_amount_that_is_raised_while_ours_is_decided_is_held(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    higher: dict[str, Any] = {"refund_amount": Decimal("999.00")}
    after_deciding(shop, Step.RECEIVED, lambda: shop.set(ticket, **higher))
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "needs_review"
    assert shop.fake.refunds == []


def test_who_sets_the_planned_status_by_hand_finds_its_fields_written(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    after_deciding(shop, Step.RECEIVED, lambda: shop.set(ticket, "item_received"))
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    fields = shop.now(ticket).custom_fields
    assert (fields["refund_amount"], fields["condition"]) == (149, "good")
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]


def test_a_ticket_that_is_deleted_ends_its_return(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.client.tickets.delete(ticket.id)
    shop.event(ticket.id, kind="ticket.deleted")
    shop.work()
    assert shop.row(ticket).step is Step.GONE
    assert shop.story(ticket)[-1] == "status deleted"


REMOVED: list[dict[str, Any]] = [{"isSpam": True}, {"mergedIntoId": "tkt_other"}]


def mark(shop: ReturnsShop, ticket: Ticket, **values: Any) -> None:
    workspace = shop.box.state.workspaces[ticket.workspace_id]
    workspace.ticket_list.change(workspace.tickets[ticket.id], values)


@pytest.mark.parametrize("how", REMOVED, ids=["spam", "merged"])
def test_a_return_whose_ticket_was_taken_away_gets_no_label_and_no_notification(
    shop: ReturnsShop, how: dict[str, Any]
) -> None:
    ticket = shop.ask_only("SKU-001")
    mark(shop, ticket, **how)
    for _ in range(2):
        shop.arrive(ticket)
    assert (shop.labels(ticket), shop.merchant.notifier.kinds) == ([], [])
    assert (shop.row(ticket).step, shop.status(ticket)) == (Step.GONE, "return_requested")
    (note,) = shop.comments(ticket)
    assert "so this return stops" in note.body


@pytest.mark.parametrize("how", REMOVED, ids=["spam", "merged"])
def test_what_arrives_of_a_return_whose_ticket_was_taken_away_is_not_paid(
    shop: ReturnsShop, how: dict[str, Any]
) -> None:
    ticket = shop.ask()
    mark(shop, ticket, **how)
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work(days=40)
    assert (shop.fake.refunds, shop.status(ticket)) == ([], "label_sent")
    assert shop.merchant.notifier.kinds[-1] == "label_sent"


def test_a_return_goes_on_when_its_ticket_is_no_spam_any_more(shop: ReturnsShop) -> None:
    ticket = shop.ask_only("SKU-001")
    mark(shop, ticket, isSpam=True)
    shop.arrive(ticket)
    mark(shop, ticket, isSpam=False)
    shop.arrive(ticket)
    assert shop.status(ticket) == "label_sent"


def test_a_notification_that_waits_is_not_sent_to_whom_a_spam_ticket_names(
    shop: ReturnsShop,
) -> None:
    shop.merchant.notifier.error = NotificationError("away", retryable=True)
    ticket = shop.ask()
    shop.merchant.notifier.error = None
    mark(shop, ticket, isSpam=True)
    shop.work(hours=1)
    assert shop.merchant.notifier.kinds == []


def test_one_404_ends_no_return(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.fault(times=1, status=404)
    shop.work(days=8)
    assert shop.row(ticket).step is Step.LABEL_SENT
    shop.work(hours=1)
    assert shop.merchant.notifier.kinds[-1] == "reminder"


def test_a_ticket_that_is_not_found_for_a_day_ends_its_return_and_the_log_says_so(
    shop: ReturnsShop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ask()
    shop.client.tickets.delete(ticket.id)
    shop.work(days=8)
    for _ in range(23):
        shop.work(hours=1)
    assert shop.row(ticket).step is Step.LABEL_SENT
    for _ in range(2):
        shop.work(hours=1)
    assert shop.row(ticket).step is Step.GONE
    assert shop.story(ticket)[-1] == "status not found"
    assert any("the API has not known its ticket" in line for line in caplog.messages)


def test_a_return_whose_ticket_is_there_again_goes_on(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.fault(times=999, status=404)
    for _ in range(12):
        shop.work(days=8)
    assert shop.row(ticket).step is Step.GONE
    shop.box.state.faults.clear()
    told = list(shop.merchant.notifier.kinds)
    shop.arrive(ticket)
    assert shop.row(ticket).step is Step.EXPIRED
    assert shop.merchant.notifier.kinds == [*told, "expired"]
    shop.put(ticket, "item_received")
    assert shop.status(ticket) == "refunded"


def test_a_step_waits_until_the_api_shows_what_an_event_says(shop: ReturnsShop) -> None:
    ticket = shop.ask_only("SKU-001")
    later = shop.now(ticket).updated_at
    assert later is not None
    data = {"id": ticket.id, "status": "open", "updatedAt": f"{later + timedelta(minutes=1)}"}
    shop.arrive(ticket)
    shop.event(ticket.id, data=data)
    shop.work(days=8)
    assert shop.row(ticket).step is Step.LABEL_SENT
    assert "older than an event" in (shop.row(ticket).error or "")
    for _ in range(26):
        shop.work(hours=1)
    assert [note for note in shop.notes(ticket) if "This return waits until the API shows" in note]


# What fails.


def test_an_order_source_that_is_away_is_asked_again(shop: ReturnsShop) -> None:
    shop.merchant.orders.error = OrderError("the shop is away", retryable=True)
    ticket = shop.ask()
    assert shop.status(ticket) == "eligibility_check"
    assert "away" in (shop.row(ticket).error or "")
    shop.merchant.orders.error = None
    shop.work(minutes=5)
    assert shop.status(ticket) == "label_sent"
    assert shop.row(ticket).error is None


@pytest.mark.parametrize(
    "error", [OrderError("the shop is away", retryable=True), ValueError(f"bad {EMAIL}")]
)
def test_a_step_that_keeps_failing_is_given_to_people_with_the_reason(
    shop: ReturnsShop, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    shop.merchant.orders.error = error
    ticket = shop.ask()
    for _ in range(30):
        shop.work(hours=1)
    assert shop.status(ticket) == "needs_review"
    assert "parked eligibility_check" in shop.story(ticket)
    note = shop.notes(ticket)[-1]
    assert note.startswith("The step eligibility check failed: ")
    assert "set the status to eligibility_check again" in note
    assert EMAIL not in note + caplog.text
    shop.merchant.orders.error = None
    shop.put(ticket, "eligibility_check")
    assert shop.status(ticket) == "label_sent"


def test_what_can_never_work_is_given_to_people_at_once(shop: ReturnsShop) -> None:
    shop.merchant.orders.error = OrderError("the order contradicts itself")
    ticket = shop.ask()
    assert shop.status(ticket) == "needs_review"
    assert "contradicts itself" in shop.notes(ticket)[-1]


def test_while_the_api_is_away_nothing_is_lost_or_done_twice(shop: ReturnsShop) -> None:
    ticket = shop.connector.returns.request(
        order_id="1234", items=["SKU-001"], reason="x", customer_email=EMAIL
    )
    shop.fault(status=503, times=4)
    for _ in range(8):
        shop.work(minutes=10)
    assert shop.status(ticket) == "label_sent"
    assert shop.story(ticket).count("eligibility approve") == 1
    assert len(shop.merchant.labels.bought) == 1


def test_an_assignee_dispatch_does_not_know_costs_no_review(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    shop.merchant.rules.assignee = "queue with spaces"
    ticket = shop.ask()
    assert shop.status(ticket) == "needs_review"


# Waiting.


def test_nobody_is_reminded_of_a_parcel_that_has_come(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded"
    told = list(shop.merchant.notifier.kinds)
    shop.put(ticket, "label_sent")
    shop.work(days=60)
    assert shop.status(ticket) == "label_sent"
    assert shop.merchant.notifier.kinds == told


def test_people_are_reminded_once_of_what_nobody_decides(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REVIEW
    ticket = shop.ask()
    shop.work(days=1)
    assert len(shop.notes(ticket)) == 1
    shop.work(days=2)
    shop.work(days=30)
    assert len(shop.notes(ticket)) == 2
    assert "waited for a decision for 2 days." in shop.notes(ticket)[-1]


def test_a_parcel_that_never_comes_is_reminded_of_and_ends_the_return(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.work(days=7)
    shop.work(days=1)
    assert shop.merchant.notifier.kinds[3:] == ["reminder"]
    assert str(shop.merchant.notifier.told[-1].facts["expires_on"]) == "2024-02-14"
    shop.work(days=22)
    assert shop.status(ticket) == "expired"
    assert shop.merchant.notifier.kinds[3:] == ["reminder", "expired"]
    assert shop.merchant.labels.voided == ["label_1"]
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded", "it came after all"


# What arrives.


def test_the_guides_patch_is_a_receipt(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.put(
        ticket,
        "item_received",
        received_date="2024-01-20",
        condition="good",
        refund_amount=Decimal("149.00"),
    )
    assert shop.status(ticket) == "refunded"
    (receipt,) = shop.receipts(ticket)
    assert (receipt.state, receipt.received_date, receipt.who, receipt.amount) == (
        ReceiptState.ACCEPTED,
        "2024-01-20",
        "the warehouse",
        usd("149.00"),
    )
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]


def test_the_warehouse_may_give_less_and_not_more(shop: ReturnsShop) -> None:
    less, more = shop.ask(), shop.ask("SKU-002", order_id="7")
    shop.merchant.orders.known["7"] = order("7", SKU_002="10.00")
    shop.put(less, "item_received", received_date="2024-01-20", refund_amount=Decimal("100.00"))
    assert [r.amount for r in shop.fake.refunds] == [usd("100.00")]
    shop.put(more, "item_received", received_date="2024-01-20", refund_amount=Decimal("10.01"))
    assert shop.status(more) == "needs_review"
    assert "asks for 10.01 USD, more than the policy's 10.00 USD" in shop.notes(more)[-1]
    assert len(shop.fake.refunds) == 1


def test_damaged_items_are_worth_less_by_rule(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, condition="damaged", who="Bob")
    shop.work()
    assert [r.amount for r in shop.fake.refunds] == [usd("74.50")]
    (receipt,) = shop.receipts(ticket)
    assert receipt.breakdown is not None
    assert receipt.breakdown["fees"] == [
        ["condition", {"minor": 7450, "currency": "USD", "decimals": 2}]
    ]
    assert "- condition: -74.50 USD" in shop.notes(ticket)[-1]


def test_what_was_not_announced_is_looked_at_and_a_persons_word_counts(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, lines=["SKU-OTHER"], who="Bob")
    shop.work()
    found = shop.now(ticket)
    assert (found.status, found.custom_fields.get("refund_amount")) == ("needs_review", None)
    assert "More of SKU-OTHER arrived than was announced." in shop.notes(ticket)[-1]
    assert shop.fake.refunds == []
    shop.put(ticket, "refunded", refund_amount=Decimal("20.00"))
    assert [r.amount for r in shop.fake.refunds] == [usd("20.00")]
    (receipt,) = shop.receipts(ticket)
    assert receipt.state is ReceiptState.ACCEPTED


def test_without_refund_on_receipt_a_person_sets_refunded(shop: ReturnsShop) -> None:
    shop.merchant.rules.refund_on_receipt = False
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work(days=1)
    assert (shop.status(ticket), shop.fake.refunds) == ("item_received", [])
    shop.put(ticket, "refunded")
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]


def test_returnless_is_paid_without_a_label_or_a_receipt(shop: ReturnsShop) -> None:
    shop.merchant.rules.returnless = True
    ticket = shop.ask()
    assert shop.status(ticket) == "refunded"
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]
    assert shop.merchant.labels.bought == []
    assert shop.merchant.notifier.kinds == ["requested", "approved", "refunded"]
    assert shop.merchant.notifier.told[1].facts["keep_items"] is True
    assert "received_date" not in shop.now(ticket).custom_fields


@pytest.mark.parametrize("returnless", [False, True])
def test_what_another_return_of_the_order_was_paid_is_not_paid_again(
    shop: ReturnsShop, returnless: bool
) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    first = shop.ask("A")
    shop.connector.returns.receive(first.id, who="Bob")
    shop.work()
    shop.merchant.rules.returnless = returnless
    second = shop.ask("B")
    if not returnless:
        shop.connector.returns.receive(second.id, who="Bob")
        shop.work()
    assert shop.status(second) == "refunded"
    assert shop.merchant.rules.elsewhere == [{}, {"A": 1}]


def test_what_another_return_has_brought_counts_once_somebody_has_said_its_worth(
    shop: ReturnsShop,
) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    waiting, ticket = shop.ask("A"), shop.ask("B")
    shop.connector.returns.receive(waiting.id, who="Bob")
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert sorted(map(len, shop.merchant.rules.elsewhere)) == [0, 1]


def test_each_parcel_is_paid_by_itself_and_once(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded"
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert [(r.ordinal, r.amount, r.state) for r in shop.refunds(ticket)] == [
        (1, usd("10.00"), State.SUCCEEDED),
        (2, usd("20.00"), State.SUCCEEDED),
    ]
    assert shop.now(ticket).custom_fields["refund_id"] == shop.refunds(ticket)[1].processor_id
    for _ in range(3):
        shop.arrive(ticket)
    assert len(shop.fake.refunds) == 2
    assert shop.merchant.notifier.kinds.count("refunded") == 2


def test_two_parcels_recorded_at_once_are_both_paid(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    shop.connector.returns.receive(ticket.id, lines=["B"], who="Bob")
    shop.work()
    assert [r.amount for r in shop.refunds(ticket)] == [usd("10.00"), usd("20.00")]


def test_who_edits_the_ticket_makes_no_second_refund(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    for amount in ("20.00", "30.00"):
        shop.put(ticket, "item_received", refund_amount=Decimal(amount), refund_ordinal=2)
        shop.put(ticket, "refunded", refund_amount=Decimal(amount))
    assert [r.amount for r in shop.refunds(ticket)] == [usd("149.00")]
    assert len(shop.fake.refunds) == 1


def test_a_held_refund_keeps_the_next_parcel_waiting(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B", payment_intent="pi_nobody")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    shop.work()
    assert shop.status(ticket) == "needs_review"
    shop.arrive(ticket)
    shop.connector.returns.receive(ticket.id, lines=["B"], who="Bob")
    shop.work(hours=1)
    assert shop.now(ticket).custom_fields["refund_amount"] == Decimal("10.00")
    shop.put(ticket, "refunded", payment_intent="pi_1234")
    shop.work()
    assert [(r.amount, r.state) for r in shop.refunds(ticket)] == [
        (usd("10.00"), State.SUCCEEDED),
        (usd("20.00"), State.SUCCEEDED),
    ]


def test_an_earlier_parcels_refund_is_retried_with_its_own_amount(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    shop.work()
    shop.connector.returns.receive(ticket.id, lines=["B"], who="Bob")
    shop.work()
    first, second = shop.refunds(ticket)
    assert shop.connector.facts(shop.now(ticket), first).parcel.amount == usd("10.00")
    assert shop.connector.facts(shop.now(ticket), first).parcel.ordinal == 1
    assert shop.connector.facts(shop.now(ticket), second).amount == Decimal("20.00")
    assert shop.connector.facts(shop.now(ticket)).parcel.ordinal == 2


def test_a_refund_taken_back_for_a_person_is_recorded_as_ours(shop: ReturnsShop) -> None:
    ticket = shop.ask(payment_intent="pi_nobody")
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    shop.arrive(ticket)
    last = shop.decisions(ticket)[-1]
    assert (last.outcome, last.who) == ("needs_review", "dispatch-returns")


def test_in_a_dry_run_a_second_parcel_waits_without_a_loop(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = ReturnsShop(box, tmp_path, dry_run=True)
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    shop.connector.returns.receive(ticket.id, lines=["B"], who="Bob")
    shop.work()
    assert [r.reason for r in shop.refunds(ticket)] == ["dry_run"]
    assert shop.row(ticket).due_at == shop.clock() + timedelta(hours=1)
    shop.close()


def test_the_orders_payment_is_used_where_the_ticket_names_none(shop: ReturnsShop) -> None:
    known = order()
    payment = PaymentRef("payment_intent", "pi_1234")
    shop.merchant.orders.known["1234"] = replace(known, payment=payment)
    ticket = shop.ask(payment_intent=None)
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    assert shop.now(ticket).custom_fields["payment_intent"] == "pi_1234"
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]


def test_without_a_notifier_nobody_is_said_to_have_been_told(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = ReturnsShop(box, tmp_path, parts={"notifier": None})
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, who="Bob")
    shop.work()
    with shop.store.read() as conn:
        kinds = {it.kind for it in outbox.of_ticket(conn, ticket.id)}
    assert kinds == {"note", "comment", "ticket"}
    shop.close()


def test_the_customer_is_told_in_the_tickets_language(shop: ReturnsShop) -> None:
    shop.ask(language="de")
    assert {notification.language for notification in shop.merchant.notifier.told} == {"de"}
    assert shop.merchant.labels.bought[0].language == "de"


def test_a_customer_who_cannot_be_told_now_is_told_later_and_once(shop: ReturnsShop) -> None:
    shop.merchant.notifier.error = NotificationError("the mail server is away", retryable=True)
    ticket = shop.ask()
    assert shop.status(ticket) == "label_sent", "telling holds nothing up"
    shop.merchant.notifier.error = None
    shop.work(hours=1)
    assert sorted(shop.merchant.notifier.kinds) == ["approved", "label_sent", "requested"]
    assert set(shop.merchant.notifier.again) == {True}


@pytest.mark.parametrize("outcome", [Outcome.APPROVE, Outcome.REVIEW, Outcome.REJECT])
def test_a_notification_of_an_unproven_request_repeats_nothing_that_is_written_in_it(
    shop: ReturnsShop, outcome: Outcome
) -> None:
    shop.merchant.rules.outcome = outcome
    shop.ask()
    unproven = [it for it in shop.merchant.notifier.told if it.kind in messages.BEFORE_PROOF]
    assert unproven
    for told in unproven:
        assert told.name is None
        assert set(told.facts) <= {"return_number", "reason"}


def test_agents_are_told_of_a_customer_who_cannot_be_told(shop: ReturnsShop) -> None:
    shop.merchant.notifier.error = NotificationError("the SMTP server refused the recipient (550)")
    ticket = shop.ask()
    said = "The customer was not notified: the SMTP server refused the recipient (550)."
    assert [note.startswith(said) for note in shop.notes(ticket)].count(True) == 3


def test_the_label_goes_with_its_notification(shop: ReturnsShop) -> None:
    shop.ask()
    told = shop.merchant.notifier.told[-1]
    (attached,) = told.attachments
    assert (attached.content_type, attached.content) == ("application/pdf", b"%PDF-1.4 a label")
    assert told.facts["tracking_number"] == "TRACK1"
    assert str(told.facts["expires_on"]) == "2024-02-14"
