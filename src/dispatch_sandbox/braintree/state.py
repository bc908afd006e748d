"""Transactions and refunds as Braintree keeps them, behind as much of GraphQL as refunds need.

It does not parse GraphQL: an operation is known by the field that it asks for, and the answer has
every field of its object. What Braintree leaves open is said where it is decided here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from dispatch_sandbox.processors.base import (
    OutgoingEvent,
    ProcessorReply,
    ProcessorRequest,
    StandIn,
    new_id,
)

MERCHANT_ID = "sandboxmerchant"
PUBLIC_KEY = "sandboxpublic"
PRIVATE_KEY = "sandboxprivate"  # a test double's own
_SETTLES_AFTER = 24 * 3600.0
_UNSETTLED = {"AUTHORIZED", "SUBMITTED_FOR_SETTLEMENT"}
_GONE = {"FAILED", "SETTLEMENT_DECLINED", "VOIDED", "PROCESSOR_DECLINED"}
_NO_DECIMALS = {"JPY", "KRW", "CLP", "ISK"}
_SAID: Mapping[str, str] = {
    "91506": "Cannot refund a transaction unless it is settled.",
    "91512": "Transaction has already been fully refunded.",
    "91521": "Refund amount is too large.",
}


@dataclass(slots=True)
class BraintreeTransaction:
    """A sale. ``status`` is Braintree's word."""

    legacy_id: str
    value: Decimal
    currency: str
    status: str
    created_at: float
    refunds: list[BraintreeRefund] = field(default_factory=list["BraintreeRefund"])

    @property
    def id(self) -> str:
        """GraphQL's own id."""
        return _global("transaction", self.legacy_id)

    @property
    def refunded(self) -> Decimal:
        """What its refunds have moved, or will."""
        return sum((it.value for it in self.refunds if it.status not in _GONE), Decimal(0))


@dataclass(slots=True)
class BraintreeRefund:
    """A refund of a sale."""

    legacy_id: str
    value: Decimal
    order_id: str | None
    created_at: float
    status: str = "SUBMITTED_FOR_SETTLEMENT"

    @property
    def id(self) -> str:
        """GraphQL's own id."""
        return _global("refund", self.legacy_id)


class BraintreeStandIn(StandIn):
    """One merchant at Braintree. Only the keys above are let in."""

    name = "braintree"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self.transactions: dict[str, BraintreeTransaction] = {}
        """By the id that people see."""

    def pay(self, value: str, currency: str = "USD", *, status: str = "SETTLED") -> str:
        """Have a customer pay `value` major units; return the id that people see."""
        made = BraintreeTransaction(new_id(8).lower(), Decimal(value), currency, status, self.now())
        with self.lock:
            self.transactions[made.legacy_id] = made
        return made.legacy_id

    def refunded(self, payment: str) -> int:
        """Return the minor units that the refunds of a transaction have moved, or will."""
        found = self._named(payment)
        assert found is not None
        return int(found.refunded.scaleb(0 if found.currency in _NO_DECIMALS else 2))

    def refund_externally(self, payment: str, value: str) -> str:
        """Refund in the Control Panel."""
        found = self._named(payment)
        assert found is not None
        with self.lock:
            return self._make(found, Decimal(value), None).legacy_id

    def answer(self, request: ProcessorRequest) -> ProcessorReply:
        """Answer one request, in GraphQL's shape."""
        given = request.headers.get("authorization", "")
        wanted = base64.b64encode(f"{PUBLIC_KEY}:{PRIVATE_KEY}".encode()).decode()
        if not secrets.compare_digest(given, f"Basic {wanted}"):
            return _error("AUTHENTICATION", "Authentication credentials are invalid")
        try:
            asked = request.json()
            query, variables = str(asked["query"]), dict(asked["variables"])
        except (ValueError, KeyError, TypeError):
            return ProcessorReply(400)
        if request.path != "/graphql":
            return ProcessorReply(404)
        given_input: Any = variables.get("input")
        if "refundTransaction(" in query:
            return self._write("refundTransaction", given_input, self._refund)
        if "reverseTransaction(" in query:
            return self._write("reverseTransaction", given_input, self._reverse)
        return self._read(query, variables)

    def _read(self, query: str, variables: Mapping[str, Any]) -> ProcessorReply:
        if "idFromLegacyId" in query:
            return _data(idFromLegacyId=_global("transaction", str(variables.get("id"))))
        if "node(" in query:
            found = self._named(str(variables.get("id")))
            return _data(node=found and self._shown(found))
        if "refunds(" in query:
            return _data(search={"refunds": self._page(variables.get("input") or {})})
        return _data(ping="pong")

    def _write(
        self,
        name: str,
        given: Mapping[str, Any],
        carry_out: Callable[[BraintreeTransaction, Mapping[str, Any]], Any],
    ) -> ProcessorReply:
        found = self._named(str(given.get("transactionId")))
        if found is None:
            return _error("NOT_FOUND", "An object with this ID was not found.")
        payment = found.legacy_id
        if self.take(payment, "rate_limit"):
            return _error("RESOURCE_LIMIT", "Too many requests.")
        if fault := self.take(payment, "refused"):
            return _error("VALIDATION", "Refused.", code=fault.code or "91505")
        lost = self.take(payment, "lost_response")
        broken = None if lost else self.take(payment, "server_error")
        if broken is not None and not broken.acted:
            return _error("INTERNAL", "An internal error occurred.")
        made = carry_out(found, given)
        if broken is not None:
            return _error("INTERNAL", "An internal error occurred.")
        if lost is not None:
            return ProcessorReply(0, lost=True)
        return made if isinstance(made, ProcessorReply) else _data(**{name: made})

    def _refund(self, found: BraintreeTransaction, given: Mapping[str, Any]) -> Any:
        asked: Any = given.get("refund") or {}
        value = Decimal(str(asked.get("amount", found.value - found.refunded)))
        left = found.value - found.refunded
        code = None
        if found.status in _UNSETTLED:
            code = "91506"
        elif left == 0:
            code = "91512"
        elif value > left:
            code = "91521"
        if code is not None:
            return _error("VALIDATION", _SAID[code], code=code)
        return {"refund": self._shown_refund(self._make(found, value, asked.get("orderId")), found)}

    def _reverse(self, found: BraintreeTransaction, _: Mapping[str, Any]) -> Any:
        if found.status in _UNSETTLED:
            found.status = "VOIDED"
            return {"reversal": {"__typename": "Transaction", **self._shown(found)}}
        made = self._make(found, found.value - found.refunded, None)
        return {"reversal": {"__typename": "Refund", **self._shown_refund(made, found)}}

    def _make(
        self, found: BraintreeTransaction, value: Decimal, order_id: str | None
    ) -> BraintreeRefund:
        made = BraintreeRefund(new_id(8).lower(), value, order_id, float(int(self.now())))
        found.refunds.append(made)
        fault = self.take(found.legacy_id, "fail_later")
        if fault is not None:
            self.later(fault.seconds, lambda: self._end(found, made, "FAILED", "refund_failed"))
        else:
            settled = ("SETTLED", "transaction_settled")
            self.later(_SETTLES_AFTER, lambda: self._end(found, made, *settled))
        return made

    def _end(
        self, found: BraintreeTransaction, made: BraintreeRefund, status: str, kind: str
    ) -> None:
        made.status = status
        event = {"kind": kind, "id": made.legacy_id, "refunded": found.legacy_id}
        self.tell(found.legacy_id, event)

    def signed(self, url: str, event: Mapping[str, Any]) -> OutgoingEvent:
        """Return an event as Braintree posts it: a form with XML in it."""
        at = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        xml = (
            f'<notification><timestamp type="datetime">{at}</timestamp><kind>{event["kind"]}</kind>'
            f"<subject><transaction><id>{event['id']}</id><type>credit</type>"
            f"<refunded-transaction-id>{event['refunded']}</refunded-transaction-id>"
            "</transaction></subject></notification>"
        )
        payload = base64.encodebytes(xml.encode()).decode()
        key = hashlib.sha1(PRIVATE_KEY.encode(), usedforsecurity=False).digest()
        made = hmac.new(key, payload.encode(), hashlib.sha1).hexdigest()
        form = {"bt_signature": f"{PUBLIC_KEY}|{made}", "bt_payload": payload}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return OutgoingEvent(url, headers, urlencode(form).encode())

    def _named(self, payment: str) -> BraintreeTransaction | None:
        found = (it for it in self.transactions.values() if payment in {it.id, it.legacy_id})
        return next(found, None)

    def _page(self, given: Mapping[str, Any]) -> dict[str, Any]:
        created: Any = given.get("createdAt") or {}
        since, until = (_at(created.get(f"{it}ThanOrEqualTo")) for it in ("greater", "less"))
        nodes = [
            {"node": self._shown_refund(made, found)}
            for found in self.transactions.values()
            for made in found.refunds
            if (since or 0) <= made.created_at <= (until or made.created_at)
        ]
        return {"pageInfo": {"hasNextPage": False, "endCursor": None}, "edges": nodes}

    def _shown(self, found: BraintreeTransaction) -> dict[str, Any]:
        return {
            "id": found.id,
            "legacyId": found.legacy_id,
            "createdAt": _time(found.created_at),
            "status": found.status,
            "orderId": None,
            "amount": _money(found.value, found.currency),
            "refunds": [self._shown_refund(it, found) for it in found.refunds],
        }

    def _shown_refund(self, made: BraintreeRefund, found: BraintreeTransaction) -> dict[str, Any]:
        return {
            "id": made.id,
            "legacyId": made.legacy_id,
            "createdAt": _time(made.created_at),
            "status": made.status,
            "orderId": made.order_id,
            "amount": _money(made.value, found.currency),
            "refundedTransaction": {"id": found.id, "legacyId": found.legacy_id},
        }


def _global(kind: str, legacy_id: str) -> str:
    return base64.b64encode(f"{kind}_{legacy_id}".encode()).decode().rstrip("=")


def _money(value: Decimal, currency: str) -> dict[str, str]:
    digits = 0 if currency in _NO_DECIMALS else 2
    return {"value": f"{value:.{digits}f}", "currencyCode": currency}


def _time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


def _at(value: str | None) -> float | None:
    return None if value is None else datetime.fromisoformat(value).timestamp()


def _data(**data: Any) -> ProcessorReply:
    return ProcessorReply(200, {"data": data, "extensions": {"requestId": new_id(20)}})


def _error(kind: str, message: str, *, code: str | None = None) -> ProcessorReply:
    extensions = {"errorType": "user_error", "errorClass": kind}
    if code is not None:
        extensions["legacyCode"] = code
    error = {"message": message, "extensions": extensions}
    content = {"errors": [error], "data": None, "extensions": {"requestId": new_id(20)}}
    return ProcessorReply(200, json.loads(json.dumps(content)))
