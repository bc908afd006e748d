from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from sqlalchemy import Connection

from dispatch_returns.cli.refunds import State as Asked
from dispatch_returns.clock import utc_now
from dispatch_returns.money import Money
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from tests.support.cli import Shop
from tests.support.stores import overwrite_refund

APPROVAL = {"DISPATCH_RETURNS_APPROVE_ABOVE": "100 USD"}
MANUAL = {"DISPATCH_RETURNS_ADAPTERS": "manual"}


def written(shop: Shop, ticket: str, *, state: State = State.SUCCEEDED, **values: Any) -> Refund:
    """Put a row into the ledger by hand."""
    fields: dict[str, Any] = {
        "adapter": "stripe",
        "amount": Money(14_900, "USD"),
        "payment": {"kind": "payment_intent", "id": "pi_1"},
        **values,
    }

    def write(conn: Connection) -> Refund | None:
        row = ledger.create(
            conn, "ws_sandbox", ticket, 1, utc_now(), state=State.REQUESTED, **fields
        )
        assert row is not None
        overwrite_refund(conn, row, state=state)
        return ledger.get(conn, row.id)

    with shop.store() as store:
        row = store.write("test", write)
    assert row is not None
    return row


def history(shop: Shop, refund: Refund) -> Any:
    return shop.offline("refunds", "show", refund.id, "--json").json


# Looking.


def test_a_list_needs_no_setting_but_the_database(shop: Shop) -> None:
    refund = written(shop, "tkt_1")
    said = shop.offline("refunds", "list")
    assert said.code == 0
    assert refund.id[:12] in said.out
    assert "149.00 USD" in said.out


def test_an_empty_list_says_so(shop: Shop) -> None:
    assert shop.offline("refunds", "list").out == "There are no such refunds.\n"
    assert shop.offline("refunds", "list", "--json").json == {"refunds": []}


def test_a_list_can_be_of_one_state_or_one_ticket(shop: Shop) -> None:
    written(shop, "tkt_1")
    written(shop, "tkt_2", state=State.FAILED)
    failed = shop.offline("refunds", "list", "--state", "failed", "--json").json["refunds"]
    assert [refund["ticket_id"] for refund in failed] == ["tkt_2"]
    of_ticket = shop.offline("refunds", "list", "--ticket", "tkt_1", "--json").json["refunds"]
    assert [refund["ticket_id"] for refund in of_ticket] == ["tkt_1"]
    assert len(shop.offline("refunds", "list", "--limit", "1", "--json").json["refunds"]) == 1


def test_the_states_that_can_be_asked_for_are_those_there_are() -> None:
    assert set(get_args(Asked)) == set(State)


def test_amounts_and_times_are_exact_for_machines(shop: Shop) -> None:
    refund = written(shop, "tkt_1", amount=Money(500, "JPY", 0))
    document = history(shop, refund)["refund"]
    assert document["amount"] == {"amount": "500", "currency": "JPY"}
    assert document["created_at"] == refund.created_at.isoformat()
    assert document["idempotency_key"] == refund.idempotency_key


def test_no_email_is_ever_shown(shop: Shop) -> None:
    refund = written(shop, "tkt_1", instructions_email="jane@example.com")
    for form in ([], ["--json"]):
        for command in (["list"], ["show", refund.id]):
            said = shop.offline("refunds", *command, *form)
            assert said.code == 0
            assert "jane" not in said.text


def test_no_line_is_wider_than_the_terminal(shop: Shop) -> None:
    refund = written(
        shop, "tkt_" + "9" * 60, state=State.HELD, reason="evidence_missing", detail="word " * 99
    )
    for command in (["list"], ["show", refund.id]):
        said = shop.offline("refunds", *command)
        assert max(map(len, said.out.splitlines())) <= 80


def test_a_held_refund_is_shown_with_its_history_and_what_to_do(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    said = shop.offline("refunds", "show", refund.id)
    assert "evidence_missing" in said.out
    assert "Complete the receipt of the item on the ticket" in said.text
    shown = history(shop, refund)
    assert [message["kind"] for message in shown["messages"]] == ["ticket", "note"]


def test_every_call_to_the_processor_is_shown(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    outcomes = [attempt["outcome"] for attempt in history(shop, refund)["attempts"]]
    assert outcomes == ["sent", "succeeded"]


# Which refund is meant.


def test_a_refund_is_found_by_its_id_its_beginning_and_its_ticket(shop: Shop) -> None:
    refund = written(shop, "tkt_1")
    written(shop, "tkt_2")
    for named in (refund.id, refund.id[:12], "tkt_1"):
        document = shop.offline("refunds", "show", named, "--json").json
        assert document["refund"]["id"] == refund.id


def test_what_may_mean_several_refunds_means_none(shop: Shop) -> None:
    ids = sorted(written(shop, f"tkt_{number}").id for number in range(7))
    said = shop.offline("refunds", "show", "rfd_")
    assert said.code == 1
    assert f"rfd_ matches several refunds: {', '.join(ids[:5])} ..." in said.text


@pytest.mark.parametrize("named", ["rfd_none", "tkt_none", "", "%", "rfd\\_"])
def test_a_refund_that_is_not_there_is_one_sentence(shop: Shop, named: str) -> None:
    written(shop, "tkt_1")
    said = shop.offline("refunds", "show", named)
    assert said.code == 1
    assert f"there is no refund {named}" in said.err


# Acting.


def test_approving_needs_the_name_of_who_does_it(shop: Shop) -> None:
    assert shop.run("refunds", "approve", "tkt_1").code == 2
    assert shop.run("refunds", "approve", "tkt_1", "--who", " ").code == 2


def test_an_approved_refund_is_paid_and_says_by_whom(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    held = shop.refund(ticket, **APPROVAL)
    assert (held.state, held.reason) == ("held", "approval_needed")
    said = shop.run("refunds", "approve", ticket, "--who", "Ann", "--why", "seen", **APPROVAL)
    assert said.code == 0
    assert "is requested. A running worker will process it." in said.text
    shop.work(**APPROVAL)
    assert shop.row(ticket).state == "succeeded"
    (act,) = history(shop, held)["actions"]
    assert (act["action"], act["who"], act["why"]) == ("approve", "Ann", "seen")


def test_what_does_not_wait_for_an_approval_is_refused(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    said = shop.run("refunds", "approve", refund.id, "--who", "Ann")
    assert said.code == 1
    assert "does not wait for an approval: it is succeeded" in said.err
    assert history(shop, refund)["actions"] == []


def test_a_canceled_refund_is_not_paid(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    refund = shop.refund(ticket, **APPROVAL)
    said = shop.run("refunds", "cancel", ticket, "--why", "kept it", "--json")
    assert said.code == 0
    assert said.json["refund"]["state"] == "canceled"
    shop.work()
    assert shop.row(ticket).state == "canceled"
    (act,) = history(shop, refund)["actions"]
    assert act["why"] == "kept it"
    assert act["who"]


def test_a_refund_that_is_paid_cannot_be_canceled(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    said = shop.run("refunds", "cancel", refund.id, "--json")
    assert said.code == 1
    assert said.json["error"]["type"] == "RefundStateError"
    assert said.err == ""


def test_a_refund_paid_by_hand_is_confirmed_with_its_reference(shop: Shop) -> None:
    assert shop.run("db", "adopt", "--who", "Ann", **MANUAL).code == 0
    ticket = shop.ticket(payment_reference="IBAN-1")
    pending = shop.refund(ticket, **MANUAL)
    assert pending.state == "pending"
    said = shop.run("refunds", "confirm", ticket, "--reference", "TX-9", **MANUAL)
    assert said.code == 0
    assert shop.row(ticket).state == "succeeded"
    assert shop.row(ticket).processor_id == "TX-9"


def test_a_refund_of_a_processor_cannot_be_confirmed_by_hand(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    assert shop.run("refunds", "confirm", refund.id).code == 1


def test_a_held_refund_is_evaluated_again_from_its_ticket(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay(), refund_amount=Decimal("999.00"))
    assert shop.refund(ticket).reason == "exceeds_remaining"
    still = shop.run("refunds", "retry", ticket)
    assert still.code == 1
    assert "is held. refund_amount is 999.00 USD and 149.00 USD is left" in still.text
    with shop.client() as client:
        client.tickets.update(ticket, custom_fields={"refund_amount": Decimal("100.00")})
    said = shop.run("refunds", "retry", ticket)
    assert said.code == 0
    shop.work()
    assert shop.row(ticket).state == "succeeded"
    assert str(shop.row(ticket).amount) == "100.00 USD"


def test_a_held_refund_of_another_workspace_is_refused(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    said = shop.run("refunds", "retry", refund.id, DISPATCH_WORKSPACE="ws_other")
    assert said.code == 3
    assert "DISPATCH_WORKSPACE is ws_other" in said.err


def test_a_paid_refund_is_not_tried_again(shop: Shop) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay()))
    said = shop.run("refunds", "retry", refund.id)
    assert said.code == 1
    assert "there is nothing to retry" in said.err


def test_nothing_was_paid_needs_a_reason(shop: Shop) -> None:
    refund = written(shop, "tkt_1", state=State.UNKNOWN, uncertain=True)
    assert shop.run("refunds", "retry", refund.id, "--nothing-was-paid").code == 2
    assert shop.row("tkt_1") == refund
    said = shop.run("refunds", "retry", refund.id, "--nothing-was-paid", "--why", "I looked")
    assert said.code == 0
    changed = shop.row("tkt_1")
    assert (changed.state, changed.generation) == ("requested", 2)
    assert history(shop, refund)["actions"][0]["why"] == "I looked"


def test_an_unknown_refund_is_only_looked_up_again_without_that_word(shop: Shop) -> None:
    refund = written(shop, "tkt_1", state=State.UNKNOWN, uncertain=True)
    assert shop.run("refunds", "retry", refund.id).code == 0
    changed = shop.row("tkt_1")
    assert (changed.state, changed.generation) == ("unknown", 1)
    assert changed.due_at is not None


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"DISPATCH_API_KEY": ""}, 3, "DISPATCH_API_KEY: is not set"),
        ({"DISPATCH_API_KEY": "sk_test_wrong"}, 3, "Check DISPATCH_API_KEY"),
        ({"DISPATCH_BASE_URL": "http://127.0.0.1:1/v1"}, 4, "Check DISPATCH_BASE_URL"),
        ({"DISPATCH_BASE_URL": "not a url"}, 3, "base_url"),
        ({"STRIPE_API_KEY": ""}, 3, "STRIPE_API_KEY"),
        ({"STRIPE_API_KEY": "sk_test_wrong"}, 3, "Stripe does not accept the API key"),
        ({"STRIPE_BASE_URL": "http://127.0.0.1:1"}, 4, "Stripe cannot be reached"),
        ({"DISPATCH_RETURNS_ADAPTERS": "acme"}, 3, "'acme'"),
        ({"DISPATCH_RETURNS_MAX_REFUND": "lots"}, 3, "DISPATCH_RETURNS_MAX_REFUND"),
    ],
)
def test_what_stands_in_the_way_of_an_act_is_one_sentence(
    shop: Shop, changed: dict[str, str], code: int, said: str
) -> None:
    refund = shop.refund(shop.ticket(payment_intent=shop.pay(), received_date=None))
    answer = shop.run("refunds", "retry", refund.id, **changed)
    assert answer.code == code
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""


def test_with_json_what_stands_in_the_way_is_the_one_document(shop: Shop) -> None:
    said = shop.run("refunds", "cancel", "tkt_1", "--json", DISPATCH_API_KEY="")
    assert said.code == 3
    assert said.json["error"]["type"] == "ConfigurationError"
    assert "DISPATCH_API_KEY: is not set" in said.json["error"]["message"]
    assert said.err == ""
