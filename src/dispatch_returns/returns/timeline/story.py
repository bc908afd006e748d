"""Reads everything the store has of one return, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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
    """Something that happened: `title` in a few words, `lines` are what explains it."""

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
        """Return what stands above the story."""
        paid = [f"{r.amount} ({r.state})" for r in self.refunds if r.amount is not None]
        sent = [_named(it) for it in self.labels]
        return {
            "ticket": self.row.ticket_id,
            "return number": self.row.number,
            "order": self.row.order_id,
            "items": item_lines(self.row.items) or None,
            "reason": self.row.reason,
            "status": self.row.status,
            "policy": self.row.policy,
            "label": ", ".join(filter(None, sent)) or None,
            "refund": ", ".join(paid) or None,
            "put off": self.row.error,
            "events received": str(self.events),
        }


def story_of(conn: Connection, row: Return) -> Story:
    """Return the whole story of a return."""
    refunds = sorted(
        ledger.newest(conn, limit=100, ticket_id=row.ticket_id), key=lambda it: it.ordinal
    )
    arrived = receipts.of_return(conn, row.id)
    moments = [
        *(_arrived(it) for it in arrived if not it.returnless),
        *(_decided(it) for it in records.decisions_of(conn, row.id)),
        *(moment for refund in refunds for moment in _paid(conn, refund)),
        *_told(outbox.of_ticket(conn, row.ticket_id)),
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


def _named(label: LabelRow) -> str | None:
    name = label.tracking_number or label.provider_id
    over = f" ({str(label.state).replace('_', ' ')})" if label.state in labels.OVER else ""
    return name and f"{name}{over}"


def _decided(it: Decision) -> Moment:
    tone = _TONES.get(it.outcome, "")
    if it.kind in {"status", "unexpected status"}:
        lines = (it.why,) if it.why else ()
        tone = "look" if it.kind != "status" else tone
        return Moment(it.at, "step", it.outcome, it.who, tone, lines)
    if it.kind == "eligibility":
        said = tuple(f"{s['rule']}: {s['outcome']}. {s['why']}" for s in it.data["spoken"])
        expected = it.data.get("expected")
        more = (f"If all arrives: {money_of(expected['total'])}",) if expected else ()
        return Moment(it.at, "decision", f"policy: {it.outcome}", it.who, tone, (*said, *more))
    if it.kind == "receipt":
        number = f"parcel {it.data['ordinal']}: " if "ordinal" in it.data else ""
        why = (it.why,) if it.why else ()
        return Moment(
            it.at, "parcel", f"{number}{it.outcome}", it.who, tone, (*why, *_worth(it.data))
        )
    lines = (it.why,) if it.why else ()
    tone = "look" if it.kind == "parked" else tone
    return Moment(it.at, "decision", f"{it.kind}: {it.outcome}", it.who, tone, lines)


def _worth(data: Mapping[str, Any]) -> Iterator[str]:
    breakdown = data.get("breakdown")
    if not breakdown:
        return
    yield from (f"{name}: {money_of(amount)}" for name, amount in breakdown["parts"])
    yield from (f"{name}: -{money_of(amount)}" for name, amount in breakdown["fees"])
    if data.get("amount"):
        yield f"to be paid back: {money_of(data['amount'])}"


def _arrived(it: Receipt) -> Moment:
    found = [
        f"{line['quantity']} x {line['sku']}, {line.get('condition') or 'no condition named'}"
        for line in it.lines
    ]
    title = f"parcel {it.ordinal} arrived on {it.received_date}"
    return Moment(it.created_at, "parcel", title, it.who, "", tuple(found))


def _paid(conn: Connection, refund: Refund) -> Iterator[Moment]:
    what = f"refund of {refund.amount}" if refund.amount is not None else "refund"
    tone = _TONES.get(refund.state, "")
    why = (refund.detail,) if refund.detail else ()
    yield Moment(refund.created_at, "money", f"{what} entered", US, "", (f"refund {refund.id}",))
    for attempt in attempts.of_refund(conn, refund.id):
        if attempt.outcome == "sent":
            continue
        told = (attempt.processor_id, attempt.code, attempt.message)
        yield Moment(
            attempt.at,
            "money",
            f"{attempt.call}: {attempt.outcome.replace('_', ' ')}",
            refund.adapter,
            _TONES.get(attempt.outcome, ""),
            tuple(filter(None, told)),
        )
    for act in audit_log.of_refund(conn, refund.id):
        yield Moment(
            act.at, "money", f"refund: {act.act}", act.who, "", tuple(filter(None, (act.why,)))
        )
    yield Moment(refund.updated_at, "money", f"{what}: {refund.state}", US, tone, why)


def _told(messages: Iterable[Message]) -> Iterator[Moment]:
    titles = {"note": "note for agents", "comment": "comment for the customer"}
    for it in messages:
        if it.kind not in {"note", "comment", "notice"}:
            continue
        title = titles.get(it.kind) or f"customer told: {it.payload['notice'].replace('_', ' ')}"
        waits = it.state is MessageState.WAITING
        tone: Tone = "look" if waits else _TONES.get(it.state, "")
        lines = [*str(it.payload.get("body", "")).splitlines()]
        if it.error:
            lines.append(it.error)
        if waits:
            title += " (waits)"
        yield Moment(it.finished_at or it.created_at, "message", title, US, tone, tuple(lines))
