"""A stand-in for refunds and voids at Braintree, and for its webhooks."""

from __future__ import annotations

from dispatch_sandbox.braintree.state import (
    MERCHANT_ID,
    PRIVATE_KEY,
    PUBLIC_KEY,
    BraintreeStandIn,
)

__all__ = ["MERCHANT_ID", "PRIVATE_KEY", "PUBLIC_KEY", "BraintreeStandIn"]


def __dir__() -> list[str]:
    return __all__
