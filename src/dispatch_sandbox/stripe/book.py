"""The objects of one account, and how much of each charge was refunded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dispatch_sandbox.stripe.objects import (
    Charge,
    Dispute,
    DisputeStatus,
    PaymentIntent,
    Refund,
    new_id,
)
from dispatch_sandbox.stripe.params import EXPANDABLE
from dispatch_sandbox.stripe.problems import missing

_RETURNED = frozenset({"failed", "canceled"})
_OVER = frozenset({"won", "warning_closed"})


def moves_money(refund: Refund) -> bool:
    """Whether the refund counts: not one that failed or was canceled."""
    return refund["status"] not in _RETURNED


def _session(payment_intent: str | None = None, invoice: str | None = None) -> dict[str, Any]:
    return {
        "id": new_id("cs_test"),
        "object": "checkout.session",
        "mode": "payment" if invoice is None else "subscription",
        "payment_status": "paid",
        "payment_intent": payment_intent,
        "invoice": invoice,
        "metadata": {},
    }


@dataclass(slots=True)
class Book:
    """The objects of one account, oldest first."""

    payment_intents: dict[str, PaymentIntent] = field(default_factory=dict[str, PaymentIntent])
    charges: dict[str, Charge] = field(default_factory=dict[str, Charge])
    refunds: dict[str, Refund] = field(default_factory=dict[str, Refund])
    refunds_by_charge: dict[str, list[Refund]] = field(default_factory=dict[str, list[Refund]])
    disputes: list[Dispute] = field(default_factory=list[Dispute])
    checkout_sessions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    invoice_payments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def payment_intent(self, object_id: str, param: str = "intent") -> PaymentIntent:
        """Return it. Raises Stripe's 404."""
        found = self.payment_intents.get(object_id)
        if found is None:
            raise missing("payment_intent", object_id, param)
        return found

    def charge(self, object_id: str, param: str = "id") -> Charge:
        """Return it. Raises Stripe's 404."""
        found = self.charges.get(object_id)
        if found is None:
            raise missing("charge", object_id, param)
        return found

    def checkout_session(self, object_id: str) -> dict[str, Any]:
        """Return it. Raises Stripe's 404."""
        found = self.checkout_sessions.get(object_id)
        if found is None:
            raise missing("checkout.session", object_id, "id")
        return found

    def check_out(self, intent: PaymentIntent) -> str:
        """Record that a customer paid on a Checkout page; return the id of the session."""
        made = _session(payment_intent=intent["id"])
        self.checkout_sessions[made["id"]] = made
        return str(made["id"])

    def invoice(self, intent: PaymentIntent, now: int) -> tuple[str, str]:
        """Record that a customer paid an invoice of a subscription from a Checkout page.

        Return the ids of the invoice and of the session.
        """
        invoice = new_id("in")
        made = _session(invoice=invoice)
        self.checkout_sessions[made["id"]] = made
        self.pay_invoice(invoice, intent, now)
        return invoice, made["id"]

    def pay_invoice(self, invoice: str, intent: PaymentIntent, now: int) -> None:
        """Record a payment of an invoice or a part of it."""
        paid = {"type": "payment_intent", "payment_intent": intent["id"]}
        self.invoice_payments.append(
            {
                "id": new_id("inpay"),
                "object": "invoice_payment",
                "amount_paid": intent["amount"],
                "created": now,
                "currency": intent["currency"],
                "invoice": invoice,
                "payment": paid,
                "status": "paid",
            }
        )

    def refund(self, object_id: str, param: str = "id") -> Refund:
        """Return it. Raises Stripe's 404."""
        found = self.refunds.get(object_id)
        if found is None:
            raise missing("refund", object_id, param)
        return found

    def refunds_of(self, charge_id: str | None) -> list[Refund]:
        """Return a charge's refunds, oldest first."""
        return self.refunds_by_charge.get(charge_id, []) if charge_id else []

    def dispute(self, charge: Charge, status: DisputeStatus, now: int) -> Dispute:
        """Dispute a charge, or set the status of its dispute.

        Stripe's charge stays ``disputed``, whatever came of it.
        """
        charge["disputed"] = True
        for known in self.disputes:
            if known["charge"] == charge["id"]:
                known["status"] = status
                return known
        made = Dispute(
            id=new_id("dp"),
            object="dispute",
            amount=charge["amount"],
            charge=charge["id"],
            created=now,
            currency=charge["currency"],
            payment_intent=charge["payment_intent"],
            status=status,
        )
        self.disputes.append(made)
        return made

    def stands_disputed(self, charge: Charge) -> bool:
        """Whether a dispute prevents a refund: not one that was won or closed."""
        of_it = [it["status"] for it in self.disputes if it["charge"] == charge["id"]]
        return charge["disputed"] and not (of_it and _OVER.issuperset(of_it))

    def add_refund(self, refund: Refund) -> None:
        """Store a refund, which may be new, and count it on its charge."""
        self.refunds[refund["id"]] = refund
        self.refunds_by_charge.setdefault(refund["charge"], []).append(refund)
        self._count(refund, refund["amount"])

    def end(self, refund: Refund, status: str, reason: str | None = None) -> None:
        """End a refund that was not paid: ``failed`` or ``canceled``."""
        refund["status"] = status
        refund.pop("pending_reason", None)
        refund.pop("next_action", None)
        if reason is not None:
            refund["failure_reason"] = reason
            refund["failure_balance_transaction"] = new_id("txn")
        self._count(refund, -refund["amount"])

    def _count(self, refund: Refund, amount: int) -> None:
        charge = self.charges[refund["charge"]]
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]

    def expanded(self, kind: str, found: Any, paths: tuple[tuple[str, ...], ...]) -> Any:
        """Return a copy of an object in which the ids at ``paths`` are the objects themselves."""
        if not paths:
            return found
        copy = dict(found)
        for first in {path[0] for path in paths}:
            target = EXPANDABLE[kind][first]
            below = tuple(path[1:] for path in paths if path[0] == first and len(path) > 1)
            if copy[first] is not None:
                known = self.charges if target == "charge" else self.payment_intents
                copy[first] = self.expanded(target, known[copy[first]], below)
        return copy

    def dump(self) -> dict[str, Any]:
        """Return the objects as JSON-able lists."""
        return {
            "payment_intents": list(self.payment_intents.values()),
            "charges": list(self.charges.values()),
            "refunds": list(self.refunds.values()),
            "checkout_sessions": list(self.checkout_sessions.values()),
            "invoice_payments": self.invoice_payments,
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> Book:
        """Return the book that `dump` described."""
        book = cls(
            {entry["id"]: entry for entry in data["payment_intents"]},
            {entry["id"]: entry for entry in data["charges"]},
            {entry["id"]: entry for entry in data["refunds"]},
            checkout_sessions={it["id"]: it for it in data["checkout_sessions"]},
            invoice_payments=data["invoice_payments"],
        )
        for refund in book.refunds.values():
            book.refunds_by_charge.setdefault(refund["charge"], []).append(refund)
        return book
