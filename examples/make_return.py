"""Make a paid order and its return in the sandbox, up to the status `refunded`.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env          # creates the statuses
    set -a; . ./shop.env; set +a                        # in each terminal
    python make_return.py 149.00
    python make_return.py --request     # only the request: your policy does the rest

Prints the ticket's id. With a receiver running (see fastapi_app.py or flask_app.py) the refund
follows by itself; without one, hand the id to refund_script.py. Where the receiver has a policy
(docs/workflow.md), a request is enough: it walks to `label_sent` by itself.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from decimal import Decimal

import stripe

from dispatch_returns import DispatchClient, Money

STEPS = ("eligibility_check", "approved", "label_sent")


def take_payment(amount: Money, order_id: str) -> str:
    """Let the sandbox's customer pay; return the PaymentIntent's id."""
    sandbox = stripe.StripeClient(
        os.environ["STRIPE_API_KEY"], base_addresses={"api": os.environ["STRIPE_BASE_URL"]}
    )
    intent = sandbox.v1.payment_intents.create(
        {
            "amount": amount.minor,
            "currency": amount.currency.lower(),
            "payment_method": "pm_card_visa",
            "confirm": True,
            "metadata": {"order_id": order_id},
        }
    )
    return intent.id


def request(dispatch: DispatchClient, order_id: str, payment_intent: str, paid: Money) -> str:
    """Open a return as the guide does; return the ticket's id."""
    ticket = dispatch.tickets.create(
        subject=f"Return Request - Order #{order_id}",
        customer_email="jane@example.com",
        status="return_requested",
        custom_fields={
            "order_id": order_id,
            "return_reason": "wrong_size",
            "items_to_return": ["SKU-001"],
            "original_order_total": paid.major,
            "payment_intent": payment_intent,
            # What was bought, which the policy needs: see docs/orders.md.
            "currency": paid.currency,
            "order_lines": [{"sku": "SKU-001", "price": paid.major}],
            "delivered_date": datetime.now(UTC).date().isoformat(),
        },
    )
    return ticket.id


def walk(dispatch: DispatchClient, ticket_id: str, paid: Money) -> None:
    """Take a return through its steps by hand, as shops without a policy do."""
    for step in STEPS:
        dispatch.tickets.update(ticket_id, status=step)
    dispatch.tickets.update(
        ticket_id,
        status="item_received",
        custom_fields={
            "received_date": "2024-01-15",
            "condition": "good",
            "refund_amount": paid.major,
        },
    )
    dispatch.tickets.update(ticket_id, status="refunded")


def main(*arguments: str) -> None:
    amounts = [it for it in arguments if not it.startswith("--")]
    paid = Money.from_decimal(Decimal(amounts[0] if amounts else "149.00"), "USD")
    payment_intent = take_payment(paid, order_id="1234")
    with DispatchClient() as dispatch:
        ticket_id = request(dispatch, "1234", payment_intent, paid)
        if "--request" not in arguments:
            walk(dispatch, ticket_id, paid)
    print(ticket_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
