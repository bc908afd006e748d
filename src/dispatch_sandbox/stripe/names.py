"""The endpoints by name. A fault with another name is refused, because it would never apply."""

from __future__ import annotations

from typing import Literal, TypeAlias

EndpointName: TypeAlias = Literal[
    "GET /v1/account",
    "GET /v1/checkout/sessions/:id",
    "GET /v1/invoice_payments",
    "GET /v1/balance",
    "GET /v1/charges",
    "GET /v1/charges/:id",
    "GET /v1/disputes",
    "GET /v1/payment_intents",
    "GET /v1/payment_intents/:id",
    "GET /v1/payment_intents/search",
    "GET /v1/refunds",
    "GET /v1/refunds/:id",
    "POST /v1/charges",
    "POST /v1/payment_intents",
    "POST /v1/payment_intents/:id/cancel",
    "POST /v1/payment_intents/:id/capture",
    "POST /v1/payment_intents/:id/confirm",
    "POST /v1/refunds",
    "POST /v1/refunds/:id",
    "POST /v1/refunds/:id/cancel",
]
