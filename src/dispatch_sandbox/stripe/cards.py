"""The payment methods that the double knows, under Stripe's own test names and numbers.

Source: Stripe's documentation, "Test card numbers" (refunds, disputes). What a card does later
is read from its last four digits, as a charge shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatch_sandbox.stripe.problems import invalid

_NUMBERS = {
    "visa": "4242424242424242",
    "mastercard": "5555555555554444",
    "pendingRefund": "4000000000007726",
    "refundFail": "4000000000005126",
    "createDispute": "4000000000000259",
    "bypassPending": "4000000000000077",
    "chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "chargeDeclinedLostCard": "4000000000009987",
    "chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
}
# By the last four digits: code, decline code, message.
_DECLINES: dict[str, tuple[str, str, str]] = {
    "0002": ("card_declined", "generic_decline", "Your card was declined."),
    "9995": ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "9987": ("card_declined", "lost_card", "Your card was declined."),
    "9979": ("card_declined", "stolen_card", "Your card was declined."),
    "0069": ("expired_card", "expired_card", "Your card has expired."),
    "0127": ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    "0119": (
        "processing_error",
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
    ),
}
_NAMES = {
    **{f"pm_card_{name}": number for name, number in _NUMBERS.items()},
    **{f"tok_{name}": number for name, number in _NUMBERS.items()},
    **{number: number for number in _NUMBERS.values()},
}
_METHODS = {number: f"pm_card_{name}" for name, number in _NUMBERS.items()}
_DISPUTED = "0259"
KONBINI = "pm_konbini"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A payment method."""

    method: str
    details: dict[str, Any]
    """Stripe's ``payment_method_details``."""

    @property
    def decline(self) -> tuple[str, str, str] | None:
        """Why the card is declined: code, decline code, message. None if it is not."""
        return _DECLINES.get(last4(self.details) or "")

    @property
    def disputed(self) -> bool:
        """Whether the customer disputes the charge at once."""
        return last4(self.details) == _DISPUTED


def instrument(name: str, param: str) -> Instrument:
    """Return the instrument of a payment method's id, a token, or a card number."""
    if name == KONBINI:
        return Instrument(KONBINI, {"type": "konbini", "konbini": {"store": None}})
    number = _NAMES.get(name)
    if number is None:
        raise invalid(f"No such PaymentMethod: '{name}'", code="resource_missing", param=param)
    brand = "mastercard" if number.startswith("5") else "visa"
    card = {"brand": brand, "last4": number[-4:], "country": "US", "funding": "credit"}
    return Instrument(_METHODS[number], {"type": "card", "card": card})


def instrument_of_data(data: dict[str, Any]) -> Instrument:
    """Return the instrument a ``payment_method_data`` object describes."""
    if data.get("type") == "konbini":
        return instrument(KONBINI, "payment_method_data")
    number = data.get("card", {}).get("number", "")
    return instrument(number, "payment_method_data[card][number]")


def last4(details: dict[str, Any]) -> str | None:
    """Return the card's last four digits, or None for another method."""
    card = details.get("card")
    return card["last4"] if card else None
