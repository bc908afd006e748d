"""A stand-in for refunds at Adyen (Checkout API v72), and for its webhooks."""

from __future__ import annotations

from dispatch_sandbox.adyen.state import (
    API_KEY,
    HMAC_KEY,
    MERCHANT_ACCOUNT,
    AdyenStandIn,
    notification,
)

__all__ = ["API_KEY", "HMAC_KEY", "MERCHANT_ACCOUNT", "AdyenStandIn", "notification"]


def __dir__() -> list[str]:
    return __all__
