"""What PayPal's error answers mean: tables, and one pure function.

Sources: https://developer.paypal.com/docs/api/payments/v2/#captures_refund (the issues of a 422),
https://developer.paypal.com/reference/guidelines/idempotency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import (
    Meaning,
    ProcessorAnswer,
    ProcessorHTTP,
    mapping,
)

_AUTH = Meaning(
    ErrorKind.AUTH,
    "PayPal does not accept the client id and secret for this: check that both are of the same app"
    " in the right mode (live or sandbox), and of the account that took the payment.",
)
_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "PayPal refuses the request as it stands: look it up by its debug id with PayPal's support.",
)
_IN_PROGRESS = Meaning(
    ErrorKind.IN_PROGRESS, "PayPal is working on this very refund at this moment; ask again later."
)
_RATE_LIMITED = Meaning(
    ErrorKind.RATE_LIMITED, "PayPal takes no more requests at this moment; ask again later."
)
_NOT_FOUND = Meaning(
    ErrorKind.NOT_FOUND,
    "PayPal knows no such capture: check that the id is the capture's (the transaction id) and not"
    " the order's, and that the app is of the account and mode that took it.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "PayPal does not refund this payment: look at it in PayPal (Activity), and pay the customer"
    " another way.",
)
_DISPUTED = Meaning(
    ErrorKind.DISPUTED,
    "The payment is disputed, so PayPal does not refund it this way: answer the dispute in PayPal's"
    " Resolution Center.",
)
_ACCOUNT = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "A PayPal account of this payment is locked, restricted or closed: look at it in PayPal, and"
    " pay the customer another way.",
)
_TOO_OLD = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "The payment is too old for PayPal to refund: pay the customer another way.",
)

BY_ISSUE: Mapping[str, Meaning] = {
    "CAPTURE_FULLY_REFUNDED": Meaning(
        ErrorKind.ALREADY_REFUNDED, "Nothing is left on the payment: it was refunded before."
    ),
    "REFUND_AMOUNT_EXCEEDED": Meaning(
        ErrorKind.EXCEEDS_REMAINING,
        "The amount is more than what is left on the payment: look at its earlier refunds in"
        " PayPal, and correct the amount.",
    ),
    "PENDING_CAPTURE": Meaning(
        ErrorKind.NOT_SETTLED, "The payment is still pending at PayPal; it can be refunded later."
    ),
    "TRANSACTION_DISPUTED": _DISPUTED,
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": _DISPUTED,
    "REFUND_TIME_LIMIT_EXCEEDED": _TOO_OLD,
    "REFUND_NOT_ALLOWED": _NOT_REFUNDABLE,
    "REFUND_IS_RESTRICTED": _NOT_REFUNDABLE,
    "PARTIAL_REFUND_NOT_ALLOWED": Meaning(
        ErrorKind.NOT_REFUNDABLE,
        "PayPal refunds no part of this payment, only all of it: correct the amount, or pay the"
        " customer another way.",
    ),
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": Meaning(
        ErrorKind.NOT_REFUNDABLE,
        "PayPal makes no more refunds of this payment: pay the customer another way.",
    ),
    "REFUND_AMOUNT_TOO_LOW": Meaning(
        ErrorKind.NOT_REFUNDABLE,
        "After the conversion into your account's currency nothing is left of the amount: pay the"
        " customer another way.",
    ),
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": _ACCOUNT,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": _ACCOUNT,
    "PAYEE_ACCOUNT_RESTRICTED": _ACCOUNT,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": Meaning(
        ErrorKind.INSUFFICIENT_BALANCE,
        "The PayPal balance and its bank account do not cover the refund: add money in PayPal,"
        " then run: dispatch-returns refunds retry.",
    ),
    "INVALID_RESOURCE_ID": _NOT_FOUND,
    "PREVIOUS_REQUEST_IN_PROGRESS": _IN_PROGRESS,
    "PERMISSION_DENIED": _AUTH,
    # The others (a wrong currency, decimals, an invoice id used before) are about the request as it
    # stands: see `_BY_STATUS`.
}
_BY_STATUS: Mapping[int, Meaning] = {
    400: _CONFIG,
    401: _AUTH,
    403: _AUTH,
    404: _NOT_FOUND,
    409: _IN_PROGRESS,
    415: _CONFIG,
    422: _CONFIG,
    429: _RATE_LIMITED,
}


def rejection(http: ProcessorHTTP, answer: ProcessorAnswer) -> AdapterError:
    """Return what an answer (not 2xx) means. PayPal's own message is read and never repeated."""
    issues = issues_of(answer)
    code = issues[0] if issues else answer.data.get("name") or answer.data.get("error")
    request_id = answer.data.get("debug_id") or answer.headers.get("paypal-debug-id")
    meaning = _BY_STATUS.get(answer.status)
    # A proxy's own answer is not PayPal's word, JSON or not: the request may have gone through it.
    if meaning is None or not (_is_paypals(answer) or answer.status == 429):
        return http.unknown(f"HTTP {answer.status}", request_id)
    known = (BY_ISSUE[issue] for issue in issues if issue in BY_ISSUE)
    return http.refused(next(known, meaning), answer, code=code, request_id=request_id)


def _is_paypals(answer: ProcessorAnswer) -> bool:
    """Whether an error has what PayPal's errors have; a refused token is of another form."""
    words = ("error",) if answer.status == 401 and "error" in answer.data else ("name", "debug_id")
    return all(isinstance(answer.data.get(word), str) for word in words)


def issues_of(answer: ProcessorAnswer) -> list[str]:
    """Return the issues that an error names."""
    details = answer.data.get("details")
    each = cast("list[object]", details) if isinstance(details, list) else []
    found = [mapping(it).get("issue") for it in each]
    return [issue for issue in found if isinstance(issue, str)]
