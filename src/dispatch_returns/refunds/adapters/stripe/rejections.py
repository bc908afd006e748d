"""What Stripe's error answers mean: tables, and one pure function.

Only what Stripe itself says was refused counts as refused. Everything else is an unknown outcome,
including a stored 500 and an answer that cannot be understood.

Sources: https://docs.stripe.com/error-codes, https://docs.stripe.com/error-low-level,
https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import Meaning, mapping, plain, retry_after

_UNKNOWN = Meaning(
    ErrorKind.UNKNOWN_OUTCOME,
    "Stripe failed or gave no answer that can be relied on: it may have been carried out.",
)
_RATE_LIMITED = Meaning(
    ErrorKind.RATE_LIMITED, "Stripe takes no more requests at this moment; ask again later."
)
_IN_PROGRESS = Meaning(
    ErrorKind.IN_PROGRESS, "Stripe is working on this very refund at this moment; ask again later."
)
_KEY_CONFLICT = Meaning(
    ErrorKind.KEY_CONFLICT,
    "This idempotency key was used before with another content:"
    " look in Stripe what was refunded under it.",
)
_ALREADY_REFUNDED = Meaning(
    ErrorKind.ALREADY_REFUNDED, "Nothing is left on the payment: it was refunded before."
)
_EXCEEDS_REMAINING = Meaning(
    ErrorKind.EXCEEDS_REMAINING,
    "The amount is more than what is left on the payment: look at its earlier refunds in Stripe,"
    " and correct the amount.",
)
_DISPUTED = Meaning(
    ErrorKind.DISPUTED,
    "The customer's bank disputes the payment, so it cannot be refunded: answer the dispute in"
    " Stripe. If it is lost, the bank has paid the customer.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Stripe cannot refund this payment: look at it in Stripe, and pay the customer another way.",
)
_TOO_SMALL = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "The amount is below the least that Stripe refunds in this currency:"
    " pay the customer another way.",
)
_NOTHING_PAID = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Nothing was paid with this PaymentIntent: cancel it in Stripe if it is still authorised, or"
    " correct the payment's id on the ticket.",
)
_NO_BALANCE = Meaning(
    ErrorKind.INSUFFICIENT_BALANCE,
    "The Stripe balance does not cover the refund: add funds in Stripe (Balances) or wait for"
    " payments to settle, then run: dispatch-returns refunds retry.",
)
_NOT_FOUND = Meaning(
    ErrorKind.NOT_FOUND,
    "Stripe knows no such payment: check its id, and that the API key is of the account and the"
    " mode (test or live) that took it. A connected account's payment needs that account's id.",
)
_AUTH = Meaning(
    ErrorKind.AUTH,
    "Stripe does not accept the API key for this: check that it is complete and not revoked, and"
    " that it may write refunds and read charges, payment intents and disputes.",
)
_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Stripe refuses the request as it stands: look the request up in Stripe's logs"
    " (Developers, Logs).",
)

_BY_CODE: Mapping[str, Meaning] = {
    "idempotency_key_in_use": _IN_PROGRESS,
    "lock_timeout": _RATE_LIMITED,
    "rate_limit": _RATE_LIMITED,
    "charge_already_refunded": _ALREADY_REFUNDED,
    "charge_disputed": _DISPUTED,
    "refund_disputed_payment": _DISPUTED,
    "charge_not_refundable": _NOT_REFUNDABLE,
    "charge_expired_for_capture": _NOT_REFUNDABLE,
    "payment_intent_unexpected_state": _NOT_REFUNDABLE,
    # A refund has only one upper bound: what is left on its payment.
    "amount_too_large": _EXCEEDS_REMAINING,
    "amount_too_small": _TOO_SMALL,
    "balance_insufficient": _NO_BALANCE,
    "insufficient_funds": _NO_BALANCE,
    # Real answers carry this one as `message_code`, without a `code`.
    "insufficient_balance_for_refund": _NO_BALANCE,
    "resource_missing": _NOT_FOUND,
    "charge_exceeds_source_limit": _NOT_REFUNDABLE,
    # About the key or its account, whichever status they come with.
    "account_closed": _AUTH,
    "account_invalid": _AUTH,
    "api_key_expired": _AUTH,
    "livemode_mismatch": _AUTH,
    "platform_account_required": _AUTH,
    "platform_api_key_expired": _AUTH,
    "secret_key_required": _AUTH,
    "testmode_charges_only": _AUTH,
    # The HTTP status decides every other one: see `_BY_STATUS`.
}
# 402: "the parameters were valid but the request failed", which is a refusal.
_BY_STATUS: Mapping[int, Meaning] = {
    400: _CONFIG,
    401: _AUTH,
    402: _NOT_REFUNDABLE,
    403: _AUTH,
    404: _NOT_FOUND,
    409: _IN_PROGRESS,
}
# Refusals that real answers send without a code, recognised by their message.
_BY_MESSAGE = (
    (re.compile(r"greater than (?:the )?(?:unrefunded|charge) amount"), _EXCEEDS_REMAINING),
    (re.compile(r"Insufficient funds in your Stripe balance"), _NO_BALANCE),
    (re.compile(r"does not have a successful charge to refund"), _NOTHING_PAID),
    (re.compile(r"must be greater than or equal to 1\b"), _TOO_SMALL),
)


def rejection(status: int | None, body: object, headers: Mapping[str, str]) -> AdapterError:
    """Return what an answer of `status` (not 2xx) means.

    Stripe's own message is read and never repeated: it can contain a part of the key, or a
    customer's data.
    """
    # Empty where the answer has none, and so is not from Stripe.
    error = mapping(mapping(body).get("error"))
    code = plain(error.get("code")) or plain(error.get("message_code")) or plain(error.get("type"))
    request_id = plain(headers.get("request-id"))
    said = ", ".join(filter(None, (f"HTTP {status}" if status else None, code, request_id)))
    meaning = _meaning(status, error)
    return AdapterError(
        meaning.kind,
        f"{meaning.text} (Stripe: {said})" if said else meaning.text,
        code=code,
        request_id=request_id,
        retry_after=retry_after(headers) if meaning.kind is ErrorKind.RATE_LIMITED else None,
    )


def _meaning(status: int | None, error: Mapping[str, object]) -> Meaning:
    code, kind = error.get("code") or error.get("message_code"), error.get("type")
    if status == 429:
        return _RATE_LIMITED
    if status is None or status not in _BY_STATUS or not error or kind == "api_error":
        return _UNKNOWN
    if isinstance(code, str) and code in _BY_CODE:
        return _BY_CODE[code]
    if kind == "idempotency_error" and status == 400:
        return _KEY_CONFLICT
    if code is None:
        said = str(error.get("message"))
        by_message = (meaning for pattern, meaning in _BY_MESSAGE if pattern.search(said))
        return next(by_message, _BY_STATUS[status])
    return _BY_STATUS[status]
