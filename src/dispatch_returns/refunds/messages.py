"""What a ticket shows about its refund, as messages for the outbox.

Three kinds: ``ticket`` (bring the ticket's fields in line with the ledger, as it is when the
message is delivered), ``comment`` (the customer reads it), ``note`` (only agents read it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import outbox
from dispatch_returns.store.outbox import NewMessage

_FOR_CUSTOMER = {
    State.PENDING: "Your refund of {amount} is on its way to your original payment method.",
    State.SUCCEEDED: "Your refund of {amount} was sent to your original payment method.",
    State.VOIDED: (
        "Your payment of {amount} was canceled before it was taken from your original payment"
        " method."
    ),
    State.REQUIRES_ACTION: (
        "Your refund of {amount} needs a step from you: you have been sent an e-mail that says"
        " how to receive it."
    ),
}


_TRIED = frozenset({outbox.MessageState.DONE, outbox.MessageState.UNDELIVERED})


def update_ticket(conn: Connection, refund: Refund, now: datetime) -> None:
    """Bring the ticket in line with `refund`, which has just changed."""
    outbox.add(conn, _change(refund), now)


def report_outcome(conn: Connection, refund: Refund, now: datetime, *, again: bool) -> None:
    """Like `update_ticket`, and tell the customer where the money is: once for each such state.

    `again`: a store that was lost may have sent it already, so look for it first.
    """
    outbox.add_all(conn, (_change(refund), *_to_customer(refund, again=again)), now)


def hold_of(refund: Refund) -> Hold:
    """Return why a person must look at a refund, from its own row."""
    assert refund.reason is not None
    assert refund.detail is not None
    return Hold(Reason(refund.reason), refund.detail)


def report_hold(conn: Connection, refund: Refund, hold: Hold, now: datetime) -> None:
    """Take the ticket back from `refunded`, and say why and what to do.

    This happens once for each time that a person sets it to `refunded`: until the ticket is taken
    back, more events about it add nothing. A dry run writes to no ticket.
    """
    if hold.reason is Reason.DRY_RUN:
        return
    told = sum(m.kind == "ticket" and m.state in _TRIED for m in outbox.of_refund(conn, refund.id))
    what = f"{hold.reason}:{hold.detail}:{told}"
    note = _message(refund, "note", what, body=_note(refund, hold))
    outbox.add_all(conn, (_message(refund, "ticket", what, review="yes"), note), now)


def add_agent_note(conn: Connection, refund: Refund, hold: Hold, now: datetime) -> None:
    """Leave an internal note that says what was found and what to do."""
    what = f"{hold.reason}:{hold.detail}"
    outbox.add(conn, _message(refund, "note", what, body=_note(refund, hold)), now)


def report_adoption(conn: Connection, refund: Refund, now: datetime) -> None:
    """Say that the refund was made elsewhere, and that nothing more was paid."""
    body = (
        f"This payment had been refunded already, by {refund.processor_id}, which was not made"
        f" from this ticket. Nothing more was paid. (Refund {refund.id})"
    )
    outbox.add(conn, _message(refund, "note", "adopted", body=body), now)


def _note(refund: Refund, hold: Hold) -> str:
    return f"Refund {refund.state}: {hold.detail} {hold.remedy} (Refund {refund.id})"


def _change(refund: Refund) -> NewMessage:
    # Include the time: a refund may return to a state that the ticket has already shown.
    what = f"{refund.state}:{refund.reason}:{refund.arn}:{refund.updated_at.isoformat()}"
    return _message(refund, "ticket", what)


def _to_customer(refund: Refund, *, again: bool) -> Iterator[NewMessage]:
    text = _FOR_CUSTOMER.get(refund.state)
    if text is not None and not refund.adopted:
        # "Sent" after "on its way" would only be noise.
        told = "paid" if refund.state in {State.PENDING, State.SUCCEEDED} else str(refund.state)
        # Names a step of its own, for a notifier that reports steps.
        paid = {"told": told} if told == "paid" else {}
        if again:
            paid = paid | {"again": "yes"}
        yield _message(refund, "comment", told, body=text.format(amount=refund.amount), **paid)


def _message(refund: Refund, kind: str, what: str, **payload: str) -> NewMessage:
    # The text can be long, and the key also serves as the comment's idempotency key.
    digest = hashlib.sha256(what.encode()).hexdigest()[:16]
    return NewMessage(
        dedupe_key=f"{refund.id}-g{refund.generation}-{kind}-{digest}",
        kind=kind,
        workspace_id=refund.workspace_id,
        ticket_id=refund.ticket_id,
        refund_id=refund.id,
        payload=payload,
    )
