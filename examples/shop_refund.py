"""Have the shop system refund its own order: the order is the payment, and no payment id is needed.

    dispatch-returns sandbox                    # in another terminal; export what it prints
    export DISPATCH_RETURNS_ORDERS=shopify      # or woocommerce
    export DISPATCH_RETURNS_ADAPTERS=shopify
    dispatch-returns setup
    python examples/shop_refund.py 149.00

The order is made in the sandbox. With a shop of your own, leave `order` out: it has the order.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import httpx

from dispatch_returns import Connector
from dispatch_returns.errors import DispatchReturnsError

SHOPS = {"shopify": "SHOPIFY_SHOP", "woocommerce": "WOOCOMMERCE_URL"}


def order(shop: str, amount: str) -> str:
    """Return the id of an order of `amount` USD, paid in the sandbox's shop."""
    url = f"{os.environ[SHOPS[shop]]}/_sandbox/{shop}/orders"
    made = httpx.post(url, json={"amount": amount}).raise_for_status()
    return str(made.json()["id"])


def main(amount: str) -> int:
    try:
        with Connector.from_env() as connector:
            (shop,) = connector.settings.adapters
            ticket = connector.client.tickets.create(
                subject="Return Request",
                status="refunded",
                customer_email="jane@example.com",
                custom_fields={
                    "order_id": order(shop, amount),
                    "received_date": "2026-01-15",
                    "refund_amount": Decimal(amount),
                },
            )
            refund = connector.refund(ticket.id)
    except DispatchReturnsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{refund.amount}: {refund.state} ({refund.detail or refund.processor_id})")
    return 0 if refund.state == "succeeded" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
