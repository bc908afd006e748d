"""The endpoints: their work and their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dispatch_sandbox.stripe import payments, queries, refunds
from dispatch_sandbox.stripe.call import StripeCall
from dispatch_sandbox.stripe.names import EndpointName
from dispatch_sandbox.stripe.params import (
    Kind,
    amount,
    anything,
    boolean,
    choice,
    created,
    currency,
    email,
    expand,
    limit,
    metadata,
    nested,
    text,
    token,
)
from dispatch_sandbox.stripe.problems import StripeRequestError


@dataclass(frozen=True, slots=True)
class StripeEndpoint:
    """One endpoint. ``kind`` is the object it answers with, ``listed`` that it is in a list."""

    work: Callable[[StripeCall], Any]
    params: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    required: tuple[str, ...] = ()
    kind: str = ""
    listed: bool = False

    def answer(self, call: StripeCall) -> Any:
        """Do the work; return the object with the requested expansions."""
        found = self.work(call)
        paths = call.params.get("expand", ())
        if not self.listed:
            return call.book.expanded(self.kind, found, paths)
        data = [call.book.expanded(self.kind, entry, paths) for entry in found["data"]]
        return found | {"data": data}


_TRANSFER = nested({"destination": text, "amount": amount})
_METHOD_DATA = nested(
    {
        "type": choice("card", "konbini"),
        "card": nested(dict.fromkeys(("number", "exp_month", "exp_year", "cvc"), text)),
        "billing_details": anything,
    }
)
_PAYMENT: Mapping[str, Kind] = {
    "amount": amount,
    "currency": currency,
    "application_fee_amount": amount,
    "customer": text,
    "description": text,
    "metadata": metadata,
    "on_behalf_of": text,
    "receipt_email": email,
    "statement_descriptor_suffix": anything,
    "transfer_data": _TRANSFER,
}
_METHOD: Mapping[str, Kind] = {
    "payment_method": text,
    "payment_method_data": _METHOD_DATA,
    "return_url": anything,
    "off_session": anything,
}
_PAGE: Mapping[str, Kind] = {"limit": limit, "starting_after": text, "created": created}


def _one(
    kind: str,
    work: Callable[[StripeCall], Any],
    params: Mapping[str, Kind] | None = None,
    *required: str,
) -> StripeEndpoint:
    return StripeEndpoint(work, {**(params or {}), "expand": expand(kind)}, required, kind)


def _many(
    kind: str, work: Callable[[StripeCall], Any], params: Mapping[str, Kind], *required: str
) -> StripeEndpoint:
    takes = {**params, "expand": expand(kind, listed=True)}
    return StripeEndpoint(work, takes, required, kind, listed=True)


ENDPOINTS: Mapping[EndpointName, StripeEndpoint] = {
    "POST /v1/refunds": _one(
        "refund",
        refunds.create_refund,
        {
            "amount": amount,
            "charge": text,
            "payment_intent": text,
            "instructions_email": email,
            "metadata": metadata,
            "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
            "refund_application_fee": boolean,
            "reverse_transfer": boolean,
        },
    ),
    "GET /v1/refunds/:id": _one("refund", queries.get_refund),
    "POST /v1/refunds/:id": _one("refund", refunds.update_refund, {"metadata": metadata}),
    "POST /v1/refunds/:id/cancel": _one("refund", refunds.cancel_refund),
    "GET /v1/refunds": _many(
        "refund", queries.list_refunds, {**_PAGE, "charge": text, "payment_intent": text}
    ),
    "GET /v1/disputes": StripeEndpoint(
        queries.list_disputes, {**_PAGE, "charge": text, "payment_intent": text}
    ),
    "POST /v1/payment_intents": _one(
        "payment_intent",
        payments.create_payment_intent,
        {
            **_PAYMENT,
            **_METHOD,
            "automatic_payment_methods": anything,
            "capture_method": choice("automatic", "automatic_async", "manual"),
            "confirm": boolean,
            "payment_method_types": anything,
        },
        "amount",
        "currency",
    ),
    "GET /v1/payment_intents/:id": _one("payment_intent", queries.get_payment_intent),
    "POST /v1/payment_intents/:id/confirm": _one(
        "payment_intent", payments.confirm_payment_intent, _METHOD
    ),
    "POST /v1/payment_intents/:id/capture": _one(
        "payment_intent", payments.capture_payment_intent, {"amount_to_capture": amount}
    ),
    "POST /v1/payment_intents/:id/cancel": _one(
        "payment_intent",
        payments.cancel_payment_intent,
        {
            "cancellation_reason": choice(
                "abandoned", "duplicate", "fraudulent", "requested_by_customer"
            )
        },
    ),
    "GET /v1/payment_intents": _many("payment_intent", queries.list_payment_intents, _PAGE),
    "GET /v1/payment_intents/search": _many(
        "payment_intent",
        queries.search_payment_intents,
        {"query": text, "limit": limit, "page": text},
        "query",
    ),
    "POST /v1/charges": _one(
        "charge",
        payments.create_charge,
        {**_PAYMENT, "capture": boolean, "source": token},
        "amount",
        "currency",
        "source",
    ),
    "GET /v1/charges/:id": _one("charge", queries.get_charge),
    "GET /v1/charges": _many("charge", queries.list_charges, {**_PAGE, "payment_intent": text}),
    "GET /v1/checkout/sessions/:id": StripeEndpoint(queries.get_checkout_session),
    "GET /v1/invoice_payments": StripeEndpoint(
        queries.list_invoice_payments,
        {**_PAGE, "invoice": text, "status": choice("canceled", "open", "paid")},
    ),
    "GET /v1/balance": StripeEndpoint(queries.get_balance),
    "GET /v1/account": StripeEndpoint(queries.get_account),
}


def find_endpoint(method: str, path: str) -> tuple[EndpointName, str]:
    """Return an endpoint's name and the id in the path, which may be empty.

    Raises the 404 Stripe gives for an address it does not have.
    """
    name = f"{method} {path}"
    if name in ENDPOINTS:
        return cast("EndpointName", name), ""
    parts = path.split("/")
    at = 4 if parts[2:3] == ["checkout"] else 3
    if len(parts) > at:
        object_id, parts[at] = parts[at], ":id"
        name = f"{method} {'/'.join(parts)}"
        if name in ENDPOINTS:
            return cast("EndpointName", name), object_id
    raise StripeRequestError(
        404,
        f"Unrecognized request URL ({method}: {path}). This is a sandbox: it serves payments and"
        " refunds, and nothing else of Stripe's.",
    )
