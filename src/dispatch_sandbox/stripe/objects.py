"""Stripe's objects in the shape they have on the wire, so that storing is rendering.

Fields Stripe leaves out until they apply (``failure_reason``, ``next_action``, the card's
``reference``) are left out here too: a client that expects them to be null breaks here first.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal, NotRequired, TypedDict


class TransferData(TypedDict):
    """Where a destination charge's money goes."""

    destination: str
    amount: NotRequired[int]


class PaymentIntent(TypedDict):
    """A PaymentIntent."""

    id: str
    object: Literal["payment_intent"]
    amount: int
    amount_capturable: int
    amount_received: int
    application_fee_amount: int | None
    canceled_at: int | None
    cancellation_reason: str | None
    capture_method: str
    client_secret: str
    confirmation_method: str
    created: int
    currency: str
    customer: str | None
    description: str | None
    latest_charge: str | None
    livemode: bool
    metadata: dict[str, str]
    next_action: None
    on_behalf_of: str | None
    payment_method: str | None
    payment_method_types: list[str]
    receipt_email: str | None
    status: str
    transfer_data: TransferData | None


class Charge(TypedDict):
    """A Charge; its amounts are in minor units."""

    id: str
    object: Literal["charge"]
    amount: int
    amount_captured: int
    amount_refunded: int
    application_fee: str | None
    application_fee_amount: int | None
    balance_transaction: str | None
    captured: bool
    created: int
    currency: str
    customer: str | None
    description: str | None
    disputed: bool
    livemode: bool
    metadata: dict[str, str]
    on_behalf_of: str | None
    paid: bool
    payment_intent: str | None
    payment_method: str
    payment_method_details: dict[str, Any]
    receipt_email: str | None
    refunded: bool
    status: str
    transfer: NotRequired[str]
    transfer_data: TransferData | None


DisputeStatus = Literal[
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
]


class Dispute(TypedDict):
    """A Dispute, as far as a refund path reads it."""

    id: str
    object: Literal["dispute"]
    amount: int
    charge: str
    created: int
    currency: str
    payment_intent: str | None
    status: DisputeStatus


class Refund(TypedDict):
    """A Refund."""

    id: str
    object: Literal["refund"]
    amount: int
    balance_transaction: str | None
    charge: str
    created: int
    currency: str
    destination_details: NotRequired[dict[str, Any]]
    failure_balance_transaction: NotRequired[str]
    failure_reason: NotRequired[str]
    instructions_email: NotRequired[str]
    metadata: dict[str, str]
    next_action: NotRequired[dict[str, Any]]
    payment_intent: str | None
    pending_reason: NotRequired[str]
    reason: str | None
    receipt_number: None
    source_transfer_reversal: None
    status: str
    transfer_reversal: str | None


def new_id(prefix: str) -> str:
    """Return an id such as ``re_0f3c…``."""
    return f"{prefix}_{secrets.token_hex(12)}"
