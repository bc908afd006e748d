"""Have a customer pay with Adyen, open the ticket of the return, and request the refund once.

    dispatch-returns sandbox                    # in another terminal; export what it prints
    export DISPATCH_RETURNS_ADAPTERS=adyen
    dispatch-returns setup
    python examples/adyen_refund.py 149.00

The payment is made in the sandbox. With Adyen itself, leave `pay` out: your shop has the
pspReference. The refund stays pending until Adyen's webhook says how it ends.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import httpx

from dispatch_returns import Connector
from dispatch_returns.errors import DispatchReturnsError


def pay(amount: str) -> str:
    """Return the pspReference of a payment of `amount` EUR in the sandbox."""
    url = f"{os.environ['ADYEN_BASE_URL']}/_sandbox/payments"
    made = httpx.post(url, json={"value": amount, "currency": "EUR"}).raise_for_status()
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
                    "currency": "EUR",
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
