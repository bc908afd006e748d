"""What Adyen's errors mean: tables, and two pure functions.

Adyen checks little before it answers ``received``: whether the payment has enough left, is captured
or not too old is said by webhook, with ``success`` false and a text.

Sources: https://docs.adyen.com/development-resources/error-codes,
https://docs.adyen.com/development-resources/api-idempotency, the ``ServiceError`` of Checkout v72.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import Meaning, ProcessorAnswer, ProcessorHTTP

_IN_PROGRESS = Meaning(
    ErrorKind.IN_PROGRESS, "Adyen is working on this very refund at this moment; ask again later."
)
_RATE_LIMITED = Meaning(
    ErrorKind.RATE_LIMITED, "Adyen takes no more requests at this moment; ask again later."
)
_NOT_FOUND = Meaning(
    ErrorKind.NOT_FOUND,
    "Adyen knows no such payment: check that the id is the pspReference of the payment itself, not"
    " of its capture, and of the environment (test or live) that took it.",
)
_AUTH = Meaning(
    ErrorKind.AUTH,
    "Adyen does not accept the API key for this: check ADYEN_API_KEY, that it belongs to the"
    " environment (test or live), and that its credential has the role for refunds (Merchant"
    " PAL Webservice).",
)
_MERCHANT = Meaning(
    ErrorKind.AUTH,
    "Adyen does not accept the merchant account: check ADYEN_MERCHANT_ACCOUNT, and that the API"
    " credential may use that account.",
)
_LINES = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "The payment method (Klarna, Afterpay and others) wants to know which articles are refunded,"
    " and their amounts do not add up to this refund: refund it in Adyen's Customer Area, where"
    " the articles can be chosen.",
)
_METHOD = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Adyen cannot refund a payment of this method so: look at it in the Customer Area, and pay the"
    " customer another way.",
)
_CURRENCY = Meaning(
    ErrorKind.CONFIG,
    "Adyen does not accept the currency: check the currency on the ticket or its order.",
)
_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Adyen refuses the request as it stands: look the request up in the Customer Area"
    " (Developers, API logs).",
)

_BY_CODE: Mapping[str, Meaning] = {
    "010": _AUTH,
    "113": _LINES,
    "114": _LINES,
    "115": _LINES,
    "136": _LINES,
    "138": _CURRENCY,
    "167": _NOT_FOUND,
    "704": _IN_PROGRESS,
    "901": _MERCHANT,
    "905": _METHOD,
    "906": _NOT_FOUND,
    "907": _METHOD,
    "931": _MERCHANT,
}
_BY_STATUS: Mapping[int, Meaning] = {
    400: _CONFIG,
    401: _AUTH,
    403: _AUTH,
    404: _NOT_FOUND,
    409: _IN_PROGRESS,
    422: _CONFIG,
}
_NAMES_LINES = re.compile(r"line ?items?|invoice ?lines?", re.IGNORECASE)
_CODE = re.compile(r"[0-9A-Za-z_]{1,20}", re.ASCII)

_RETRY = "then run: dispatch-returns refunds retry"
_FAILURES = (
    (
        re.compile(r"insufficient balance", re.IGNORECASE),
        f"less is left of the payment than is refunded: look at it in the Customer Area, {_RETRY}",
    ),
    (
        re.compile(r"n.t been captured|not captured", re.IGNORECASE),
        f"the payment is not captured yet: capture it in the Customer Area, {_RETRY}",
    ),
    (
        re.compile(r"charge ?back|dispute", re.IGNORECASE),
        "the customer disputes the payment: answer the dispute in the Customer Area",
    ),
)
"""What real notifications say, and what to do. Adyen publishes no list of these texts."""


def rejection(http: ProcessorHTTP, answer: ProcessorAnswer) -> AdapterError:
    """Return what an answer that is not 2xx means.

    ``transient-error: true`` asks for the same request again, so it may have been carried out.
    Adyen's own message is read and never repeated.
    """
    code = answer.data.get("errorCode")
    code = code if isinstance(code, str) and _CODE.fullmatch(code) else None
    request_id = answer.data.get("pspReference")
    said = request_id if isinstance(request_id, str) else None
    transient = answer.headers.get("transient-error", "").lower() == "true"
    meaning: Meaning | None
    if answer.status == 429:
        meaning = _RATE_LIMITED
    elif code is None or answer.status not in _BY_STATUS:
        meaning = None
    elif code == "704":
        meaning = _IN_PROGRESS
    elif transient:
        meaning = None
    elif answer.status == 422 and _NAMES_LINES.search(str(answer.data.get("message"))):
        meaning = _LINES
    else:
        meaning = _BY_CODE.get(code, _BY_STATUS[answer.status])
    if meaning is None:
        return http.unknown(f"HTTP {answer.status}{f', {code}' if code else ''}", said)
    return http.refused(meaning, answer, code=code, request_id=said)


def failure(reason: object) -> str | None:
    """Return why a refund failed, as a notification says it, with what to do where that is known.

    The text is not signed, so it decides nothing.
    """
    if not isinstance(reason, str) or not reason.isprintable() or not reason.strip():
        return None
    said = reason.strip()[:200]
    remedy = next((it for pattern, it in _FAILURES if pattern.search(said)), None)
    return said if remedy is None else f"{said} ({remedy})"
