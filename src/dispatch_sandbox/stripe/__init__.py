"""A test double of Stripe: not Stripe, and every answer says so.

It answers what a refund path asks (PaymentIntents, charges, refunds, balance, account) in
Stripe's shapes, keeps idempotency keys the way Stripe documents them, and produces on demand
what is hard to get from Stripe itself: lost answers, stored 500s, races, late failures. It is
used through the official SDK::

    stripe.StripeClient("sk_test_sandbox_stripe", base_addresses={"api": url})

Every answer carries ``x-sandbox: dispatch-returns``. Moves no money, knows no real card.
"""

from __future__ import annotations

from dispatch_sandbox.stripe.exchange import API_KEY
from dispatch_sandbox.stripe.faults import Fault
from dispatch_sandbox.stripe.server import routes
from dispatch_sandbox.stripe.state import PLATFORM, RequestRecord, StripeState

__all__ = ["API_KEY", "PLATFORM", "Fault", "RequestRecord", "StripeState", "routes"]


def __dir__() -> list[str]:
    return __all__
