"""A stand-in for PayPal's Payments v2: a test double, not PayPal, and every answer says so.

It answers what a refund path asks (tokens, captures, refunds, certificates) in PayPal's shapes,
and keeps ``PayPal-Request-Id`` the way PayPal documents it. It signs its webhooks with a key pair
of its own, whose certificates no machine trusts unless it is told to.
"""

from __future__ import annotations

from dispatch_sandbox.paypal.state import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, PayPalStandIn

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "WEBHOOK_ID", "PayPalStandIn"]


def __dir__() -> list[str]:
    return __all__
