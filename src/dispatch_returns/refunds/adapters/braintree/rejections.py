"""What Braintree's errors mean: tables, and one pure function.

GraphQL answers 200 with ``errors``. The class of an error says who is to blame, and its
``legacyCode`` is that of the older API.

Sources: https://developer.paypal.com/braintree/graphql/guides/making_api_calls,
https://developer.paypal.com/braintree/docs/reference/general/validation-errors/all
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import Meaning, ProcessorAnswer, ProcessorHTTP, mapping

_AUTH = Meaning(
    ErrorKind.AUTH,
    "Braintree does not accept the keys for this: check BRAINTREE_PUBLIC_KEY and"
    " BRAINTREE_PRIVATE_KEY (Settings, API), that they belong to this environment, and that their"
    " user may refund and void transactions.",
)
_NOT_FOUND = Meaning(
    ErrorKind.NOT_FOUND,
    "Braintree knows no such transaction: check its id, and that the keys are of the environment"
    " (sandbox or production) that took it.",
)
_RATE_LIMITED = Meaning(
    ErrorKind.RATE_LIMITED, "Braintree takes no more requests at this moment; ask again later."
)
_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Braintree refuses the request as it stands: look at the transaction in the Control Panel.",
)
_MERCHANT_ACCOUNT = Meaning(
    ErrorKind.CONFIG,
    "The merchant account of this transaction makes no refunds now (it is pending or suspended):"
    " ask Braintree, or pay the customer another way.",
)
_ALREADY = Meaning(
    ErrorKind.ALREADY_REFUNDED, "Nothing is left on the transaction: it was refunded before."
)
_EXCEEDS = Meaning(
    ErrorKind.EXCEEDS_REMAINING,
    "The amount is more than what is left on the transaction: look at its earlier refunds in the"
    " Control Panel, and correct the amount.",
)
_NOT_SETTLED = Meaning(
    ErrorKind.NOT_SETTLED,
    "The transaction is not settled yet, and a part of it can't be refunded before.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Braintree cannot refund this transaction: look at it in the Control Panel, and pay the"
    " customer another way.",
)
_DECLINED = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "The customer's bank declined the refund: pay the customer another way.",
)
_DECLINED_FOR_NOW = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "The customer's bank declined the refund for now: try again later with: dispatch-returns"
    " refunds retry.",
)

BY_CODE: Mapping[str, Meaning] = {
    "91505": _NOT_REFUNDABLE,
    "91506": _NOT_SETTLED,
    "91512": _ALREADY,
    "91521": _EXCEEDS,
    "91538": _MERCHANT_ACCOUNT,
    "91547": _MERCHANT_ACCOUNT,
    "91559": _MERCHANT_ACCOUNT,
    "91574": _NOT_SETTLED,
    "915200": _DECLINED,
    "915201": _DECLINED_FOR_NOW,
}
_BY_CLASS: Mapping[str, Meaning] = {
    "AUTHENTICATION": _AUTH,
    "AUTHORIZATION": _AUTH,
    "NOT_FOUND": _NOT_FOUND,
    "NOT_IMPLEMENTED": _CONFIG,
    "RESOURCE_LIMIT": _RATE_LIMITED,
    "UNSUPPORTED_CLIENT": _CONFIG,
    "VALIDATION": _CONFIG,
}
"""Any other class, such as INTERNAL, is an unknown outcome."""
_BY_STATUS: Mapping[int, Meaning] = {401: _AUTH, 403: _AUTH, 429: _RATE_LIMITED}


def rejection(
    http: ProcessorHTTP, answer: ProcessorAnswer, *, changes: bool
) -> AdapterError | None:
    """Return what an answer with errors means, None for one without.

    `changes`: the request is a mutation. Errors beside its result do not undo it: what it says is
    read, and what it leaves out is an unknown outcome.
    """
    request_id = mapping(answer.data.get("extensions")).get("requestId")
    said = request_id if isinstance(request_id, str) else None
    errors = answer.data.get("errors")
    if not answer.ok:
        if answer.status in _BY_STATUS:
            return http.refused(_BY_STATUS[answer.status], answer, request_id=said)
        return http.unknown(f"HTTP {answer.status}", said)
    if errors is None:
        return None
    if any(value is not None for value in mapping(answer.data.get("data")).values()):
        return None if changes else http.unknown("a part of an answer", said)
    found = [
        mapping(mapping(error).get("extensions"))
        for error in (cast("list[object]", errors) if isinstance(errors, list) else [])
    ]
    kinds = [f"{it.get('errorClass')}" for it in found] or ["no class"]
    # One that may come after the work was begun makes all of it unknown.
    if strange := next((it for it in kinds if it not in _BY_CLASS), None):
        return http.unknown(strange, said)
    kind, code = kinds[0], found[0].get("legacyCode")
    meaning = _BY_CLASS[kind]
    if kind == "VALIDATION" and isinstance(code, str):
        meaning = BY_CODE.get(code, meaning)
    return http.refused(
        meaning, answer, code=code if isinstance(code, str) else str(kind), request_id=said
    )
