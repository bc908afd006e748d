"""Reads everything that the store has about one return, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from dispatch_returns.refunds import attempts, ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.returns import label_records as labels
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.label_records import LabelRow
from dispatch_returns.returns.receipts import Receipt
from dispatch_returns.returns.records import Decision, Return
from dispatch_returns.returns.steps.eligibility import item_lines
from dispatch_returns.returns.steps.plan import US, money_of
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import audit_log, inbox, outbox
from dispatch_returns.store.outbox import Message, MessageState

Kind = Literal["step", "decision", "parcel", "money", "message"]
Tone = Literal["", "good", "look", "bad"]

_TONES: Mapping[str, Tone] = {
    "approve": "good",
    "accepted": "good",
    "returnless": "good",
    "succeeded": "good",
    Step.REFUNDED: "good",
    Step.APPROVED: "good",
    "review": "look",
    Step.REVIEW: "look",
    "held": "look",
    "unknown": "look",
    "unknown_outcome": "look",
    "parked": "look",
    "reject": "bad",
    Step.REJECTED: "bad",
    Step.EXPIRED: "bad",
    "failed": "bad",
    "refused": "bad",
}
_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: `title` in a few words, `lines` explain it."""

    at: datetime
    kind: Kind
    title: str
    who: str
    tone: Tone = ""
    lines: tuple[str, ...] = ()

    @property
    def day(self) -> str:
        """The day in UTC, as an ISO date."""
        return self.at.date().isoformat()


@dataclass(frozen=True, slots=True)
class Story:
    """A return and its moments, oldest first."""

    row: Return
    refunds: tuple[Refund, ...]
    receipts: tuple[Receipt, ...]
    labels: tuple[LabelRow, ...]
    moments: tuple[Moment, ...]
    events: int
    """How many webhook events about its ticket were received."""

    @property
    def facts(self) -> dict[str, str | None]:
        """The summary above the moments: a name and its value, None if it has none."""
        paid = [f"{r.amount} ({r.state})" for r in self.refunds if r.amount is not None]
        sent = list[str]()
        for label in self.labels:
            over = f" ({str(label.state).replace('_', ' ')})" if label.state in labels.OVER else ""
            if name := label.tracking_number or label.provider_id:
                sent.append(f"{name}{over}")
        return {
            "ticket": self.row.ticket_id,
            "return number": self.row.number,
            "order": self.row.order_id,
            "items": item_lines(self.row.items) or None,
            "reason": self.row.reason,
            "status": self.row.status,
            "policy": self.row.policy,
            "label": ", ".join(sent) or None,
            "refund": ", ".join(paid) or None,
            "postponed": self.row.error,
            "events received": str(self.events),
        }


def story_of(conn: Connection, row: Return) -> Story:
    """Return everything that happened to a return."""
    refunds = refunds_of(conn, row.ticket_id)
    arrived = receipts.of_return(conn, row.id)
    moments = [
        *(_receipt(it) for it in arrived if not it.returnless),
        *(_decision(it) for it in records.decisions_of(conn, row.id)),
        *refund_moments(conn, row.ticket_id, refunds),
    ]
    events = inbox.newest(conn, limit=_EVENTS, ticket_id=row.ticket_id)
    return Story(
        row=row,
        refunds=tuple(refunds),
        receipts=tuple(arrived),
        labels=tuple(labels.of_return(conn, row.id)),
        moments=tuple(sorted(moments, key=lambda it: it.at)),  # stable: causes before effects
        events=len(events),
    )


def refunds_of(conn: Connection, ticket_id: str) -> list[Refund]:
    """Return the refunds of a ticket, in the order of its packages."""
    return sorted(ledger.newest(conn, limit=100, ticket_id=ticket_id), key=lambda it: it.ordinal)


def refund_moments(conn: Connection, ticket_id: str, refunds: Iterable[Refund]) -> list[Moment]:
    """Return what happened to a ticket's refunds, and what was written about them, by time.

    It is the whole story of a ticket without a policy.
    """
    moments = [moment for refund in refunds for moment in _refund(conn, refund)]
    moments += _messages(outbox.of_ticket(conn, ticket_id))
    return sorted(moments, key=lambda it: it.at)


def _decision(it: Decision) -> Moment:
    tone = _TONES.get(it.outcome, "")
    why = (it.why,) if it.why else ()
    if it.kind in {"status", "unexpected status"}:
        tone = "look" if it.kind != "status" else tone
        return Moment(it.at, "step", it.outcome, it.who, tone, why)
    if it.kind == "eligibility":
        lines = [f"{s['rule']}: {s['outcome']}. {s['why']}" for s in it.data["results"]]
        if expected := it.data.get("expected"):
            lines.append(f"If everything arrives: {money_of(expected['total'])}")
        return Moment(it.at, "decision", f"policy: {it.outcome}", it.who, tone, tuple(lines))
    if it.kind == "receipt":
        number = f"package {it.data['ordinal']}: " if "ordinal" in it.data else ""
        lines = [*why]
        if breakdown := it.data.get("breakdown"):
            lines += [f"{name}: {money_of(amount)}" for name, amount in breakdown["parts"]]
            lines += [f"{name}: -{money_of(amount)}" for name, amount in breakdown["fees"]]
            if it.data.get("amount"):
                lines.append(f"refund amount: {money_of(it.data['amount'])}")
        return Moment(it.at, "parcel", f"{number}{it.outcome}", it.who, tone, tuple(lines))
    tone = "look" if it.kind == "parked" else tone
    return Moment(it.at, "decision", f"{it.kind}: {it.outcome}", it.who, tone, why)


def _receipt(it: Receipt) -> Moment:
    found = [
        f"{line['quantity']} x {line['sku']}, {line.get('condition') or 'without a condition'}"
        for line in it.lines
    ]
    title = f"package {it.ordinal} arrived on {it.received_date}"
    return Moment(it.created_at, "parcel", title, it.who, "", tuple(found))


def _refund(conn: Connection, refund: Refund) -> Iterator[Moment]:
    what = f"refund of {refund.amount}" if refund.amount is not None else "refund"
    tone = _TONES.get(refund.state, "")
    why = (refund.detail,) if refund.detail else ()
    yield Moment(refund.created_at, "money", f"{what} entered", US, "", (f"refund {refund.id}",))
    for attempt in attempts.of_refund(conn, refund.id):
        if attempt.outcome == "sent":
            continue
        answer = (attempt.processor_id, attempt.code, attempt.message)
        yield Moment(
            attempt.at,
            "money",
            f"{attempt.call}: {attempt.outcome.replace('_', ' ')}",
            refund.adapter or "",
            _TONES.get(attempt.outcome, ""),
            tuple(filter(None, answer)),
        )
    for action in audit_log.of_refund(conn, refund.id):
        lines = (action.why,) if action.why else ()
        yield Moment(action.at, "money", f"refund: {action.action}", action.who, "", lines)
    yield Moment(refund.updated_at, "money", f"{what}: {refund.state}", US, tone, why)


def _messages(messages: Iterable[Message]) -> Iterator[Moment]:
    titles = {"note": "note for agents", "comment": "comment for the customer"}
    for it in messages:
        if it.kind not in {"note", "comment", "notification"}:
            continue
        title = (
            titles.get(it.kind)
            or f"notification sent: {it.payload['notification'].replace('_', ' ')}"
        )
        waits = it.state is MessageState.WAITING
        tone: Tone = "look" if waits else _TONES.get(it.state, "")
        lines = [*str(it.payload.get("body", "")).splitlines()]
        if it.error:
            lines.append(it.error)
        if waits:
            title += " (waits)"
        yield Moment(it.finished_at or it.created_at, "message", title, US, tone, tuple(lines))
