"""What is stored about one customer, and how it is erased.

Amounts, ids, states and times are kept for accounting; they identify nobody. What a refund or a
return in progress needs is kept until it is finished, and the result says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, func, select, update

from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.label_records import OVER as LABEL_OVER
from dispatch_returns.returns.records import OVER as RETURN_OVER
from dispatch_returns.returns.records import customer_digest
from dispatch_returns.store import Store, audit_log
from dispatch_returns.store.inbox import EventState
from dispatch_returns.store.schema import inbox, labels, ledger, online_requests, outbox, returns

_BATCH = 500
_IN_PROGRESS = frozenset({State.REQUESTED, State.SENDING, State.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows were erased, by table, and the ids of those kept, being in progress."""

    removed: dict[str, int]
    kept: tuple[str, ...]


def export(store: Store, address: str) -> dict[str, Any]:
    """Return everything that is stored about the customer with this e-mail address, as JSON."""
    with store.read() as conn:
        tickets, events = _found(conn, address)
        of = {"tickets": tickets}
        return {
            "address": address,
            "events": [
                {**_plain(it, but={"body"}), "body": it.body.decode("utf-8", "replace")}
                for it in events
            ],
            "returns": [_plain(it) for it in conn.execute(_OF_TICKETS["returns"], of)],
            "labels": [
                {**_plain(it, but={"pdf"}), "pdf_bytes": len(it.pdf or b"")}
                for it in conn.execute(_LABELS, of)
            ],
            "refunds": [_plain(it) for it in conn.execute(_OF_TICKETS["ledger"], of)],
            "messages": [_plain(it) for it in conn.execute(_OF_TICKETS["outbox"], of)],
            "online_requests": [
                _plain(it) for it in conn.execute(_OF_TICKETS["online_requests"], of)
            ],
        }


def erase(store: Store, address: str, now: datetime, *, who: str, why: str | None) -> Erased:
    """Erase what identifies the customer with this e-mail address, in one commit, and record it.

    It is idempotent: if it is repeated later, it erases what was in progress before.
    """
    # Every event is read before the write, so that no delivery waits for it.
    with store.read() as conn:
        tickets, events = _found(conn, address)

    def remove(conn: Connection) -> Erased:
        erasure = _Erasure(conn, address, tickets)
        erasure.events(events)
        erasure.returns()
        erasure.labels()
        erasure.refunds()
        erasure.messages()
        erasure.online_requests()
        subject = customer_digest(address)
        audit_log.record(conn, "erase customer", now, who=who, why=why, subject=subject)
        return Erased(erasure.removed, tuple(erasure.kept))

    return store.write("act.erase", remove)


class _Erasure:
    """One erasure, table by table, in the caller's transaction."""

    def __init__(self, conn: Connection, address: str, tickets: list[str]) -> None:
        self.conn = conn
        self.address = address
        self.of = {"tickets": tickets}
        what = ("events", "returns", "labels", "refunds", "messages", "online_requests")
        self.removed: dict[str, int] = dict.fromkeys(what, 0)
        self.kept: list[str] = []

    def events(self, events: list[Row[Any]]) -> None:
        for it in events:
            if it.state not in {EventState.DONE, EventState.UNREADABLE}:
                self.kept.append(it.event_id)
            elif it.body:
                self._blank("events", inbox, it, body=b"")

    def returns(self) -> None:
        for it in self.conn.execute(_OF_TICKETS["returns"], self.of).all():
            if it.step not in RETURN_OVER or it.working:
                self.kept.append(it.id)
            elif it.customer is not None or it.reason is not None:
                self._blank("returns", returns, it, customer=None, reason=None)

    def labels(self) -> None:
        for it in self.conn.execute(_LABELS, self.of).all():
            over = it.step in RETURN_OVER or it.state in LABEL_OVER
            if over and (it.pdf is not None or it.document is not None):
                self._blank("labels", labels, it, pdf=None, document=None)

    def refunds(self) -> None:
        for it in self.conn.execute(_OF_TICKETS["ledger"], self.of).all():
            if it.state in _IN_PROGRESS:
                self.kept.append(it.id)
            elif it.instructions_email is not None:
                self._blank("refunds", ledger, it, instructions_email=None)

    def messages(self) -> None:
        for it in self.conn.execute(_OF_TICKETS["outbox"], self.of).all():
            written = json.dumps(it.payload, ensure_ascii=False)
            if _names(written.encode(), self.address):
                without = re.sub(re.escape(self.address), "[erased]", written, flags=re.IGNORECASE)
                self._blank("messages", outbox, it, payload=json.loads(without))

    def online_requests(self) -> None:
        for it in self.conn.execute(_OF_TICKETS["online_requests"], self.of).all():
            if it.note is not None or it.email is not None:
                self._blank("online_requests", online_requests, it, note=None, email=None)

    def _blank(self, what: str, table: Table, row: Row[Any], **values: object) -> None:
        self.conn.execute(update(table).where(table.c.id == row.id).values(values))
        self.removed[what] += 1


_OF_TICKETS = {
    table.name: select(table).where(table.c.ticket_id.in_(bindparam("tickets", expanding=True)))
    for table in (inbox, returns, ledger, outbox, online_requests)
}
_OF_CUSTOMER = select(returns.c.ticket_id).where(returns.c.customer == bindparam("customer"))
_LABELS = (
    select(labels, returns.c.step)
    .join(returns, returns.c.id == labels.c.return_id)
    .where(returns.c.ticket_id.in_(bindparam("tickets", expanding=True)))
)


def _found(conn: Connection, address: str) -> tuple[list[str], list[Row[Any]]]:
    """Return a customer's tickets and their events.

    They are found by the stored address, by its digest, or by an event that contains it.
    """
    # A body can only be searched by reading it, so every event is read, in batches.
    named: dict[int, Row[Any]] = {}
    after = 0
    query = select(inbox).where(inbox.c.id > bindparam("after")).order_by(inbox.c.id).limit(_BATCH)
    while batch := conn.execute(query, {"after": after}).all():
        named |= {it.id: it for it in batch if _names(it.body, address)}
        after = batch[-1].id
    kept = func.lower(ledger.c.instructions_email) == address.lower()
    tickets = {it.ticket_id for it in named.values() if it.ticket_id is not None}
    tickets |= {*conn.scalars(_OF_CUSTOMER, {"customer": customer_digest(address)})}
    tickets |= {*conn.scalars(select(ledger.c.ticket_id).where(kept))}
    of_tickets = conn.execute(_OF_TICKETS["inbox"], {"tickets": sorted(tickets)})
    events = named | {it.id: it for it in of_tickets}
    return sorted(tickets), [events[number] for number in sorted(events)]


def _names(body: bytes, address: str) -> bool:
    """Return whether a body contains the address, in any case and with JSON's escapes."""
    lower = body.lower()
    plain, escaped = address.lower(), json.dumps(address.lower())[1:-1]
    return plain.encode() in lower or escaped.encode() in lower


def _plain(row: Row[Any], *, but: Collection[str] = ()) -> dict[str, Any]:
    values = row._mapping  # pyright: ignore[reportPrivateUsage] - SQLAlchemy's public name for it
    return {name: value for name, value in values.items() if name not in but}
