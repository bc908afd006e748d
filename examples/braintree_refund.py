"""Have a customer pay with Braintree, open the ticket of the return, and request the refund once.

    dispatch-returns sandbox                    # in another terminal; export what it prints
    export DISPATCH_RETURNS_ADAPTERS=braintree
    dispatch-returns setup
    python examples/braintree_refund.py 149.00

The payment is made in the sandbox. With Braintree itself, leave `pay` out: your shop has the
transaction's id. The refund stays pending until Braintree has settled it.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import httpx

from dispatch_returns import Connector
from dispatch_returns.errors import DispatchReturnsError


def pay(amount: str) -> str:
    """Return the id of a transaction of `amount` USD in the sandbox."""
    url = f"{os.environ['BRAINTREE_BASE_URL']}/_sandbox/payments"
    made = httpx.post(url, json={"value": amount, "currency": "USD"}).raise_for_status()
    return str(made.json()["id"])


def main(amount: str) -> int:
    try:
        with Connector.from_env() as connector:
            ticket = connector.client.tickets.create(
                subject="Return Request - Order #1234",
                status="refunded",
                custom_fields={
                    "order_id": "1234",
                    "received_date": "2026-01-15",
                    "refund_amount": Decimal(amount),
                    "payment_reference": pay(amount),
                },
            )
            refund = connector.refund(ticket.id)
    except DispatchReturnsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{refund.amount}: {refund.state} ({refund.detail or refund.processor_id})")
    return 0 if refund.state == "pending" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
