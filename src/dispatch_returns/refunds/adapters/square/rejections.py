"""What Square's error codes mean. A code that is not here, and every 5xx, is an unknown outcome.

Source: square/connect-api-specification (2025-08), ``x-endpoint-errors`` of ``RefundPayment``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import Meaning, ProcessorAnswer, ProcessorHTTP, mapping

_AUTH = Meaning(
    ErrorKind.AUTH,
    "Square does not accept the access token for this: check SQUARE_ACCESS_TOKEN, that it is of the"
    " account that took the payment (production or Sandbox), and that it has PAYMENTS_READ and"
    " PAYMENTS_WRITE.",
)
_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Square refuses the request as it stands: look the payment up in Square's Dashboard, and"
    " report this with its id.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Square does not refund this payment. It may be older than a year, have 20 refunds, or have one"
    " that failed because your balance did not cover it: after that Square takes no further one."
    " Look at it in Square's Dashboard, and pay the customer another way.",
)
_IN_PROGRESS = Meaning(
    ErrorKind.IN_PROGRESS, "Square is working on a refund of this payment; ask again later."
)
_RATE_LIMITED = Meaning(
    ErrorKind.RATE_LIMITED, "Square takes no more requests at this moment; ask again later."
)
_BY_CODE: Mapping[str, Meaning] = {
    "UNAUTHORIZED": _AUTH,
    "ACCESS_TOKEN_EXPIRED": _AUTH,
    "ACCESS_TOKEN_REVOKED": _AUTH,
    "FORBIDDEN": _AUTH,
    "INSUFFICIENT_SCOPES": _AUTH,
    "INSUFFICIENT_PERMISSIONS_FOR_REFUND": _AUTH,
    "NOT_FOUND": Meaning(
        ErrorKind.NOT_FOUND,
        "Square knows no such payment: check its id, and that SQUARE_ACCESS_TOKEN is of the account"
        " that took it.",
    ),
    "IDEMPOTENCY_KEY_REUSED": Meaning(
        ErrorKind.KEY_CONFLICT,
        "Square has another request under this idempotency key: look at the payment's refunds in"
        " Square's Dashboard.",
    ),
    "CONFLICT": _IN_PROGRESS,
    "REFUND_ALREADY_PENDING": _IN_PROGRESS,
    "RATE_LIMITED": _RATE_LIMITED,
    "REFUND_AMOUNT_INVALID": Meaning(
        ErrorKind.EXCEEDS_REMAINING,
        "The amount is more than what can still be refunded of the payment: look at its earlier"
        " refunds in Square's Dashboard, and correct the amount.",
    ),
    "PAYMENT_NOT_REFUNDABLE_DUE_TO_DISPUTE": Meaning(
        ErrorKind.DISPUTED,
        "The customer's bank disputes this payment: answer the dispute in Square's Dashboard, and"
        " refund nothing until it is decided.",
    ),
    "REFUND_ERROR_PAYMENT_NEEDS_COMPLETION": Meaning(
        ErrorKind.NOT_SETTLED,
        "The payment is approved and not completed yet: complete or cancel it in Square.",
    ),
    "PAYMENT_NOT_REFUNDABLE": _NOT_REFUNDABLE,
    "REFUND_DECLINED": _NOT_REFUNDABLE,
    "GENERIC_DECLINE": _NOT_REFUNDABLE,
    "CARD_PRESENCE_REQUIRED": _NOT_REFUNDABLE,
    "UNSUPPORTED_INSTRUMENT_TYPE": _NOT_REFUNDABLE,
    "UNSUPPORTED_SOURCE_TYPE": _NOT_REFUNDABLE,
    "UNSUPPORTED_CURRENCY": _CONFIG,
    "VALUE_TOO_HIGH": _CONFIG,
    "VERSION_MISMATCH": _CONFIG,
    "API_VERSION_INCOMPATIBLE": _CONFIG,
    "INVALID_SQUARE_VERSION_FORMAT": _CONFIG,
}


def rejection(http: ProcessorHTTP, answer: ProcessorAnswer) -> AdapterError:
    """Return the error for an answer that is not 2xx."""
    errors = answer.data.get("errors")
    listed = cast("list[object]", errors) if isinstance(errors, list) else []
    code = mapping(listed[0]).get("code") if listed else None
    meaning = _BY_CODE.get(code) if isinstance(code, str) and 400 <= answer.status < 500 else None
    if answer.status == 429:
        meaning = _RATE_LIMITED  # it means the same from a proxy
    if meaning is None:
        return http.unknown(f"HTTP {answer.status}")
    return http.refused(meaning, answer, code=code if isinstance(code, str) else None)
