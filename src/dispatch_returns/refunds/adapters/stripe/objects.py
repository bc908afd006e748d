"""Reads Stripe's PaymentIntents, Charges and Refunds into our types.

Pure. An object that does not look as Stripe documents it raises one of `MISFITS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard, cast

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    Payment,
    PaymentKind,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
    unreadable_refunds,
)

StripeObject = Mapping[str, Any]

MISFITS = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What reading raises where an object does not look as Stripe documents it."""

_NOTHING: StripeObject = {}

REFUND_ID = "dispatch_refund_id"
IDEMPOTENCY_KEY = "dispatch_idempotency_key"
WORKSPACE_ID = "dispatch_workspace_id"
TICKET_ID = "dispatch_ticket_id"
_NOTES = (REFUND_ID, IDEMPOTENCY_KEY, WORKSPACE_ID, TICKET_ID)
_LONGEST_ID = 255

_NOT_PAID: Mapping[str, str] = {
    "requires_capture": "was authorised and never captured: cancel it in Stripe instead",
    "canceled": "was canceled: nothing was paid",
    "processing": "is still being processed: wait until it has succeeded",
}


def payment_of_intent(intent: StripeObject) -> Payment:
    """Read a PaymentIntent with its ``latest_charge`` expanded, the one that succeeded.

    Raises `AdapterError` (not_refundable) where nothing was paid.
    """
    _expect(intent, "payment_intent")
    charge = intent["latest_charge"]
    if charge is None:
        raise _not_paid("PaymentIntent", intent["status"])
    payment = _payment(charge, "PaymentIntent", intent["status"])
    names = payment.names | {text(intent["id"])}
    return replace(payment, order_id=_order_id(intent), email=email_of(intent), names=names)


def payment_of_charge(charge: StripeObject) -> Payment:
    """Read a Charge. Raises `AdapterError` (not_refundable) where nothing was paid."""
    state = charge["status"] if charge["captured"] else "requires_capture"
    return _payment(charge, "charge", state)


def _payment(charge: StripeObject, what: str, state: str) -> Payment:
    _expect(charge, "charge")
    currency = charge["currency"].upper()
    rule = stripe_rule(currency)
    amount = Money(charge["amount"], currency, rule.decimals)
    taken: int = charge.get("amount_captured", charge["amount"] if charge["captured"] else 0)
    captured = replace(amount, minor=taken)
    if charge["status"] != "succeeded" or not captured.minor:
        raise _not_paid(what, state)
    # A partial capture releases the rest, which Stripe counts as refunded too.
    released = amount - captured
    created = charge.get("created")
    refunded = max(0, charge["amount_refunded"] - released.minor)
    return Payment(
        currency=currency,
        rule=rule,
        charged=captured,
        refunded=replace(amount, minor=min(refunded, captured.minor)),
        disputed=bool(charge.get("disputed")),
        order_id=_order_id(charge),
        email=email_of(charge),
        names=frozenset(ref.id for ref in payments_of_charge(charge, None)),
        paid_at=None if created is None else datetime.fromtimestamp(created, UTC),
    )


def _order_id(payment: StripeObject) -> str | None:
    """Return the order that the shop stored on the payment, if it did."""
    metadata: StripeObject = payment.get("metadata") or _NOTHING
    return metadata.get("order_id") or None


def email_of(payment: StripeObject) -> str | None:
    """Return the payer's address, or None where Stripe has none.

    For a PaymentIntent or a Charge: the receipt's address, or the one entered with the payment
    method. A customer's own address counts where the object was expanded: a restricted key need not
    be allowed to read customers.
    """
    known = [payment, _expanded(payment, "latest_charge")]
    found: list[Any] = [it.get("receipt_email") for it in known]
    found += [_expanded(it, "billing_details").get("email") for it in known]
    found += [_expanded(payment, "customer").get("email")]
    return next((it for it in found if isinstance(it, str) and it.strip()), None)


def _expanded(of: StripeObject, name: str) -> StripeObject:
    """Return an object inside another; an empty one where it is missing, or only an id."""
    value = of.get(name)
    return cast("StripeObject", value) if isinstance(value, Mapping) else _NOTHING


def payments_found(page: StripeObject) -> list[PaymentRef]:
    """Read a page of a search for PaymentIntents; return those that were paid."""
    paid = (intent for intent in page["data"] if intent["status"] == "succeeded")
    return [PaymentRef("payment_intent", intent["id"]) for intent in paid]


_OVER = frozenset({"won", "warning_closed"})
"""Dispute statuses after which the money stays with the merchant."""


def disputes_are_over(page: StripeObject) -> bool:
    """Read a page of a payment's disputes; return whether none of them prevents a refund."""
    statuses = [dispute["status"] for dispute in page["data"]]
    return bool(statuses) and not page["has_more"] and _OVER.issuperset(statuses)


def payment_of_session(session: StripeObject) -> tuple[Literal["payment_intent", "invoice"], str]:
    """Read a Checkout Session; return what it was paid with: a subscription's has an invoice.

    Raises `AdapterError` (not_refundable) where nothing was paid.
    """
    _expect(session, "checkout.session")
    if session["payment_intent"] is not None:
        return "payment_intent", _id(session["payment_intent"])
    if session.get("invoice") is not None:
        return "invoice", _id(session["invoice"])
    raise _not_paid("Checkout Session", session["payment_status"])


def payment_of_invoice(page: StripeObject) -> str:
    """Read the paid InvoicePayments of an invoice; return the one PaymentIntent.

    Raises `AdapterError` (not_refundable) where there is none, or more than one.
    """
    found = [it["payment"] for it in page["data"]]
    intents = [_id(it["payment_intent"]) for it in found if it["type"] == "payment_intent"]
    if len(intents) == 1 and len(found) == 1:
        return intents[0]
    if not found:
        raise _not_paid("invoice", "open")
    raise AdapterError(
        ErrorKind.NOT_REFUNDABLE,
        "The invoice was not paid with one PaymentIntent: put the id of the payment to refund"
        " (pi_...) on the ticket.",
    )


def _not_paid(what: str, state: str) -> AdapterError:
    why = _NOT_PAID.get(state, "was not paid, so there is nothing to refund")
    return AdapterError(ErrorKind.NOT_REFUNDABLE, f"The {what} {why}.")


def refund_result(
    refund: StripeObject, *, ours: bool = True, request_id: str | None = None
) -> RefundResult:
    """Read a Refund."""
    _expect(refund, "refund")
    currency = refund["currency"].upper()
    return RefundResult(
        processor_id=printable(refund["id"]),
        status=RefundStatus(refund["status"]),
        amount=Money(refund["amount"], currency, stripe_rule(currency).decimals),
        ours=ours,
        arn=_arn(refund),
        failure_reason=_said(refund.get("failure_reason")),
        request_id=request_id,
    )


def _status(value: object) -> RefundStatus:
    """Read a status in a list or an event. Stripe's schema lets it be null, and new ones may come.

    One such refund must not hide the others. If it is not known to have failed, it may have been
    paid, so it counts as under way. In the answer to our own call it is an unknown outcome instead:
    see `refund_result`.
    """
    if value is not None and not isinstance(value, str):
        raise TypeError("a status is a text")
    return RefundStatus(value) if value in set(RefundStatus) else RefundStatus.PENDING


def known_refund(refund: StripeObject, account: str | None) -> KnownRefund:
    """Read a Refund and whose it is; `account` is the connected account it belongs to."""
    ours = metadata(refund)
    refund_id = noted(ours.get(REFUND_ID))
    return KnownRefund(
        result=refund_result(
            {**refund, "status": _status(refund["status"])}, ours=refund_id is not None
        ),
        payments=_payments_of_refund(refund, account),
        created_at=datetime.fromtimestamp(refund["created"], UTC),
        refund_id=refund_id,
        idempotency_key=noted(ours.get(IDEMPOTENCY_KEY)),
        workspace_id=noted(ours.get(WORKSPACE_ID)),
        ticket_id=noted(ours.get(TICKET_ID)),
    )


def _arn(refund: StripeObject) -> str | None:
    """Return the bank's tracing number; a card refund can also carry another kind of reference."""
    details: StripeObject = refund.get("destination_details") or _NOTHING
    kind = details.get("type")
    way: StripeObject = (details.get(kind) if isinstance(kind, str) else None) or _NOTHING
    if kind == "card" and way.get("reference_type") != "acquirer_reference_number":
        return None
    return _said(way.get("reference"))


def listed_refund(refund: object, account: str | None) -> KnownRefund | UnreadableRefund:
    """Read a Refund of a list, in which an unreadable one must not hide the others."""
    if not isinstance(refund, Mapping):
        return _unreadable(refund)
    try:
        return known_refund(cast("StripeObject", refund), account)
    except MISFITS:
        return _unreadable(cast("StripeObject", refund))


def _unreadable(refund: object) -> UnreadableRefund:
    """Return an `UnreadableRefund` that names the field that can't be read."""
    if not isinstance(refund, Mapping):
        return UnreadableRefund(None, "it is not an object")
    found = cast("StripeObject", refund)
    for name, read in _FIELDS.items():
        try:
            read(found)
        except MISFITS:
            problem = f"its {name} {'cannot be read' if name in found else 'is missing'}"
            return UnreadableRefund(_said(found.get("id")), problem)
    return UnreadableRefund(_said(found.get("id")), "it cannot be read")


_FIELDS: Mapping[str, Callable[[StripeObject], object]] = {
    "object": lambda it: _expect(it, "refund"),
    "id": lambda it: printable(it["id"]),
    "status": lambda it: _status(it["status"]),
    "currency": lambda it: stripe_rule(it["currency"].upper()),
    "amount": lambda it: Money(it["amount"], "USD", 2),
    "created": lambda it: datetime.fromtimestamp(it["created"], UTC),
    "metadata": lambda it: [noted(metadata(it).get(name)) for name in _NOTES],
    "payment_intent": lambda it: it.get("payment_intent") and _id(it["payment_intent"]),
    "charge": lambda it: it.get("charge") and _id(it["charge"]),
    "destination_details": _arn,
}


def _payments_of_refund(refund: StripeObject, account: str | None) -> tuple[PaymentRef, ...]:
    kinds: tuple[PaymentKind, ...] = ("payment_intent", "charge")
    return tuple(PaymentRef(kind, _id(refund[kind]), account) for kind in kinds if refund.get(kind))


def payments_of_charge(charge: StripeObject, account: str | None) -> tuple[PaymentRef, ...]:
    """Return the ids of a Charge's payment."""
    _expect(charge, "charge")
    return _payments_of_refund({**charge, "charge": charge["id"]}, account)


def metadata(refund: StripeObject) -> Mapping[str, Any]:
    """Return a Refund's metadata, which may be null."""
    return refund.get("metadata") or _NOTHING


def our_refund(refunds: Sequence[object], request: RefundRequest) -> StripeObject | None:
    """Return the refund of this request, from a payment's refunds, newest first.

    A refund that moves money matches, whichever key made it: adopting it keeps the customer from
    being paid twice. A failed refund matches only under the request's own key, because an earlier
    generation's failure says nothing about this one. Raises `AdapterError`: key_conflict when
    several move money, so that a person must look; unreadable_refund when none matches, and one
    that can't be read may be it.
    """
    clear = [r for r in refunds if _says_whose(r)]
    ours = [r for r in clear if metadata(r).get(REFUND_ID) == request.refund_id]
    moving = [r for r in ours if r["status"] not in NO_MONEY_MOVED]
    if len(moving) > 1:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            "This was refunded more than once: compare the refunds"
            f" {', '.join(text(r['id']) for r in moving)} in Stripe.",
        )
    key = request.idempotency_key
    under_this_key = [r for r in ours if metadata(r).get(IDEMPOTENCY_KEY) == key]
    found = next(iter(moving or under_this_key), None)
    if found is None and len(clear) < len(refunds):
        raise unreadable_refunds([_unreadable(r) for r in refunds if not _says_whose(r)])
    return found


def _says_whose(refund: object) -> TypeGuard[StripeObject]:
    """Whether a Refund in a list says whose it is, and where it stands."""
    if not isinstance(refund, Mapping):
        return False
    found = cast("StripeObject", refund)
    notes, status = found.get("metadata"), found.get("status", ...)
    return isinstance(notes, Mapping | None) and isinstance(status, str | None)


def _expect(found: StripeObject, kind: str) -> None:
    if found["object"] != kind:
        raise ValueError(f"not a {kind}")


def text(value: object) -> str:
    """Return a non-empty text. Raises `ValueError` for anything else."""
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def printable(value: object) -> str:
    """Return a short text that a database can hold: no NUL, no half of a character.

    Raises `ValueError` for anything else.
    """
    found = text(value)
    if not found.isprintable() or len(found) > _LONGEST_ID:
        raise ValueError("not printable, or too long")
    return found


def _said(value: object) -> str | None:
    """Return a text that is only shown to people, or None where it cannot be printed."""
    return value if isinstance(value, str) and value and value.isprintable() else None


def noted(value: object) -> str | None:
    """Return one of our ids from the metadata, or None where there is none.

    A person who may edit a refund in Stripe may write anything there, and what cannot be printed is
    not our id. Raises `ValueError` if it is not text.
    """
    if value is None:
        return None
    found = text(value)
    return found if found.isprintable() and len(found) <= _LONGEST_ID else None


def last_id(page: Sequence[object]) -> str:
    """Return the last id of a page; the next page begins after it.

    Raises `ValueError` where it has none.
    """
    for item in reversed(page):
        if isinstance(item, Mapping):
            found = cast("StripeObject", item).get("id")
            if isinstance(found, str) and found:
                return found
    raise ValueError("a page without an id")


def _id(value: Any) -> str:
    """Return an id, from the id itself or from the expanded object."""
    return printable(value if isinstance(value, str) else value["id"])
