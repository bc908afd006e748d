"""Everything that only reads: one object, lists, the metadata search, balance and account."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dispatch_sandbox.stripe.call import StripeCall
from dispatch_sandbox.stripe.objects import Charge, PaymentIntent, Refund
from dispatch_sandbox.stripe.problems import invalid

_DEFAULT_LIMIT = 10
# A quoted text ends at its own quote, unless that is escaped.
_TERM = re.compile(
    r"""
    \s* (?P<not>-)?
    (?: metadata\[ (?P<q1>['"]) (?P<key> (?: \\. | (?!(?P=q1)). )+ ) (?P=q1) \]
      | (?P<field> status | currency | customer ) )
    \s* : \s* (?P<q2>['"]) (?P<value> (?: \\. | (?!(?P=q2)). )* ) (?P=q2)
    (?: \s+ AND (?=\s) | \s* \Z )
    """,
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")


def get_payment_intent(call: StripeCall) -> PaymentIntent:
    """``GET /v1/payment_intents/:id``."""
    return call.book.payment_intent(call.object_id)


def get_charge(call: StripeCall) -> Charge:
    """``GET /v1/charges/:id``."""
    return call.book.charge(call.object_id)


def get_refund(call: StripeCall) -> Refund:
    """``GET /v1/refunds/:id``."""
    return call.book.refund(call.object_id)


def list_payment_intents(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/payment_intents``, newest first."""
    return _page(call, "payment_intent", call.book.payment_intents.values())


def list_charges(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/charges``, newest first, of one PaymentIntent if asked."""
    intent_id = call.params.get("payment_intent")
    charges = call.book.charges.values()
    return _page(
        call,
        "charge",
        [charge for charge in charges if intent_id in {None, charge["payment_intent"]}],
    )


def list_refunds(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/refunds``, newest first, of one payment if asked."""
    charge_id, intent_id = call.params.get("charge"), call.params.get("payment_intent")
    refunds: Iterable[Refund] = call.book.refunds.values()
    if charge_id is not None:
        refunds = call.book.refunds_of(call.book.charge(charge_id, "charge")["id"])
    if intent_id is not None:
        intent = call.book.payment_intent(intent_id, "payment_intent")
        of_intent = call.book.refunds_of(intent["latest_charge"])
        refunds = [refund for refund in of_intent if charge_id in {None, refund["charge"]}]
    return _page(call, "refund", refunds)


def list_disputes(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/disputes``, newest first, of one payment if asked."""
    charge_id, intent_id = call.params.get("charge"), call.params.get("payment_intent")
    disputes = [
        it
        for it in call.book.disputes
        if charge_id in {None, it["charge"]} and intent_id in {None, it["payment_intent"]}
    ]
    return _page(call, "dispute", disputes)


def get_checkout_session(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/checkout/sessions/:id``."""
    return call.book.checkout_session(call.object_id)


def list_invoice_payments(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/invoice_payments``, newest first, of one invoice if asked."""
    invoice, status = call.params.get("invoice"), call.params.get("status")
    found = [
        it
        for it in call.book.invoice_payments
        if invoice in {None, it["invoice"]} and status in {None, it["status"]}
    ]
    return _page(call, "invoice_payment", found)


def _page(call: StripeCall, kind: str, oldest_first: Iterable[Any]) -> dict[str, Any]:
    found = [entry for entry in oldest_first if _in_time(entry, call.params.get("created", {}))]
    found.reverse()
    after = call.params.get("starting_after")
    if after is not None:
        ids = [entry["id"] for entry in found]
        if after not in ids:
            raise invalid(
                f"No such {kind}: '{after}'", code="resource_missing", param="starting_after"
            )
        del found[: ids.index(after) + 1]
    limit = call.params.get("limit", _DEFAULT_LIMIT)
    return {
        "object": "list",
        "url": f"/v1/{kind}s",
        "has_more": len(found) > limit,
        "data": found[:limit],
    }


def _in_time(entry: Mapping[str, Any], bounds: Mapping[str, int]) -> bool:
    created: int = entry["created"]
    return all(
        (bound == "gt" and created > moment)
        or (bound == "gte" and created >= moment)
        or (bound == "lt" and created < moment)
        or (bound == "lte" and created <= moment)
        for bound, moment in bounds.items()
    )


def search_payment_intents(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/payment_intents/search``: terms of metadata, status, currency or customer, and AND.

    Stripe's search lags behind its writes by up to a minute; this one does not. OR, numbers and
    other fields are refused: a search that finds nothing would be taken for an answer.
    https://docs.stripe.com/search#search-query-language
    """
    terms = _terms(call.params["query"])
    found = [
        intent
        for intent in call.book.payment_intents.values()
        if all(_fits(intent, term) for term in terms)
    ]
    found.reverse()
    page = call.params.get("page", "0")
    if not re.fullmatch("[0-9]{1,9}", page):
        raise invalid("Invalid page.", param="page")
    start, limit = int(page), call.params.get("limit", _DEFAULT_LIMIT)
    more = len(found) > start + limit
    return {
        "object": "search_result",
        "url": "/v1/payment_intents/search",
        "has_more": more,
        "next_page": str(start + limit) if more else None,
        "data": found[start : start + limit],
    }


def get_balance(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/balance``: what was captured minus what was refunded, without fees."""
    sums: dict[str, int] = {}
    for charge in call.book.charges.values():
        if charge["captured"]:
            kept = charge["amount"] - charge["amount_refunded"]
            sums[charge["currency"]] = sums.get(charge["currency"], 0) + kept
    available = [_funds(amount, currency) for currency, amount in sorted(sums.items())]
    return {
        "object": "balance",
        "livemode": False,
        "available": available or [_funds(0, "usd")],
        "pending": [_funds(0, currency) for currency in sorted(sums) or ["usd"]],
    }


def _funds(amount: int, currency: str) -> dict[str, Any]:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def get_account(call: StripeCall) -> dict[str, Any]:
    """``GET /v1/account``: the account of the key, or the one that it acts for."""
    return {
        "id": call.account,
        "object": "account",
        "type": "standard",
        "country": "US",
        "default_currency": "usd",
        "charges_enabled": True,
        "payouts_enabled": True,
        "details_submitted": True,
        "email": None,
    }


def _terms(query: str) -> list[re.Match[str]]:
    terms: list[re.Match[str]] = []
    at = 0
    while term := _TERM.match(query, at):
        terms.append(term)
        at = term.end()
    if not terms or at != len(query):
        raise invalid(
            "We were unable to parse your search query. This sandbox knows only metadata['key'],"
            " status, currency and customer with :'value', - before a term, and AND.",
            param="query",
        )
    return terms


def _fits(intent: PaymentIntent, term: re.Match[str]) -> bool:
    value = _ESCAPED.sub(r"\1", term["value"])
    if term["key"] is None:
        found = {
            "status": intent["status"],
            "currency": intent["currency"],
            "customer": intent["customer"],
        }[term["field"]]
    else:
        found = intent["metadata"].get(_ESCAPED.sub(r"\1", term["key"]))
    return (found == value) is not bool(term["not"])
