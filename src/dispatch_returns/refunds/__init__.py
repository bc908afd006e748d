"""Refunds, each paid once: the names for authors of adapters and for readers of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.deliveries import WebhookRequest
    from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
    from dispatch_returns.refunds.adapter import (
        NO_MONEY_MOVED,
        EventHead,
        KnownRefund,
        Payment,
        PaymentKind,
        PaymentRef,
        RefundAdapter,
        RefundRequest,
        RefundResult,
        RefundStatus,
        RefundUpdate,
        SupportsAccount,
        SupportsChallenge,
        SupportsListing,
        SupportsRecognition,
        SupportsWebhooks,
        UnreadableRefund,
    )
    from dispatch_returns.refunds.adapters.manual import ManualAdapter
    from dispatch_returns.refunds.adapters.shopify import ShopifyAdapter
    from dispatch_returns.refunds.adapters.stripe import StripeAdapter
    from dispatch_returns.refunds.adapters.woocommerce import WooCommerceAdapter
    from dispatch_returns.refunds.capabilities import Capabilities
    from dispatch_returns.refunds.details import RefundDetails, RefundLine, RefundReason
    from dispatch_returns.refunds.guard import Reason
    from dispatch_returns.refunds.ledger import Refund
    from dispatch_returns.refunds.retry_schedule import RetrySchedule
    from dispatch_returns.refunds.ticket_facts import OrderLookup
    from dispatch_returns.refunds.transitions import State

__all__ = [
    "NO_MONEY_MOVED",
    "AdapterError",
    "Capabilities",
    "ErrorKind",
    "EventHead",
    "KnownRefund",
    "ManualAdapter",
    "OrderLookup",
    "Payment",
    "PaymentKind",
    "PaymentRef",
    "Reason",
    "Refund",
    "RefundAdapter",
    "RefundDetails",
    "RefundLine",
    "RefundReason",
    "RefundRequest",
    "RefundResult",
    "RefundStatus",
    "RefundUpdate",
    "RetrySchedule",
    "ShopifyAdapter",
    "State",
    "StripeAdapter",
    "SupportsAccount",
    "SupportsChallenge",
    "SupportsListing",
    "SupportsRecognition",
    "SupportsWebhooks",
    "UnreadableRefund",
    "UnsupportedFeatureError",
    "WebhookRequest",
    "WooCommerceAdapter",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".adapter",
        {
            "..deliveries": ["WebhookRequest"],
            "..errors": ["AdapterError", "ErrorKind", "UnsupportedFeatureError"],
            ".adapters.manual": ["ManualAdapter"],
            ".adapters.shopify": ["ShopifyAdapter"],
            ".adapters.stripe": ["StripeAdapter"],
            ".adapters.woocommerce": ["WooCommerceAdapter"],
            ".capabilities": ["Capabilities"],
            ".details": ["RefundDetails", "RefundLine", "RefundReason"],
            ".guard": ["Reason"],
            ".ledger": ["Refund"],
            ".retry_schedule": ["RetrySchedule"],
            ".ticket_facts": ["OrderLookup"],
            ".transitions": ["State"],
        },
    )
