"""One row for each intent to refund: its states, its columns, and the queries over them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningUpdate

from dispatch_returns.errors import LeaseLostError
from dispatch_returns.money import Money
from dispatch_returns.refunds.amounts import gather, spread
from dispatch_returns.refunds.transitions import TRANSITIONS, UNPAID, RefundAction, State
from dispatch_returns.store import queue
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import ledger, storable


class TakenError(LeaseLostError):
    """Another row has the processor's refund by now: look at both again."""


@dataclass(frozen=True, slots=True)
class Refund:
    """A row of the ledger.

    ``adapter`` is the configured name of the adapter that pays; None where a hold leaves it open.
    Once a call was made, it stays.
    ``generation`` counts the idempotency keys used; ``uncertain``: a call with the current key may
    have been carried out; ``first_sent_at`` is when the first such call was made. ``adopted``: the
    refund was made elsewhere. ``requested_at`` is when the customer asked for it.
    ``approved_detail`` is what the person saw who approved ``approved_minor``. ``counted`` are the
    external refunds (their processor's ids) that the last check counted. ``claims`` is the fencing
    token. ``entered_at`` is when an event or a person last asked for the payment, and
    ``ticket_status`` is the ticket's status at that time, where it was read.
    """

    id: str
    workspace_id: str
    ticket_id: str
    ordinal: int
    adapter: str | None
    state: State
    reason: str | None
    detail: str | None
    generation: int
    amount: Money | None
    payment: Mapping[str, Any] | None
    order_id: str | None
    details: Mapping[str, Any] | None
    instructions_email: str | None = field(repr=False)
    ticket_status: str | None
    entered_at: datetime
    uncertain: bool
    first_sent_at: datetime | None
    sent_day: str | None
    approved_by: str | None
    approved_minor: int | None
    approved_detail: str | None
    counted: Sequence[str] | None
    processor_id: str | None
    adopted: bool
    arn: str | None
    failure_reason: str | None
    requested_at: datetime | None
    created_at: datetime
    updated_at: datetime
    tries: int
    claims: int
    due_at: datetime | None
    failing_since: datetime | None = None

    @property
    def idempotency_key(self) -> str:
        """The key of the current generation: the same row always gives the same key."""
        return f"{self.id}-g{self.generation}"

    @property
    def was_sent(self) -> bool:
        """Whether a call was made for it, with this key or an earlier one."""
        sent = self.first_sent_at is not None or self.processor_id is not None
        return sent or self.generation > 1

    @property
    def nothing_carried_out(self) -> bool:
        """Whether certainly nothing that was sent under the current key was carried out."""
        return not self.uncertain or self.first_sent_at is None


def refund_id(workspace_id: str, ticket_id: str, ordinal: int) -> str:
    """Return the id of this intent.

    The id is derived from the intent and not random: a store restored from an old backup asks the
    processor for the same refund again, and not for a second one.
    """
    intent = "\n".join((workspace_id, ticket_id, str(ordinal)))
    return "rfd_" + hashlib.sha256(intent.encode()).hexdigest()[:32]


def _refund(row: RowMapping | dict[str, Any]) -> Refund:
    values = gather({str(column): value for column, value in row.items()})
    values["state"] = State(values["state"])
    del values["payment_id"]  # the payment's own id again, for the database to search by
    return Refund(**values)


class RefundChanges(TypedDict, total=False):
    """The columns of a row that may change without a move.

    Only `move` changes the state and the generation, which determines the key.
    """

    adapter: str | None
    reason: str | None
    detail: str | None
    amount: Money | None
    payment: Mapping[str, Any] | None
    order_id: str | None
    details: Mapping[str, Any] | None
    instructions_email: str | None
    ticket_status: str | None
    entered_at: datetime
    uncertain: bool
    first_sent_at: datetime | None
    sent_day: str | None
    approved_by: str | None
    approved_minor: int | None
    approved_detail: str | None
    counted: Sequence[str] | None
    processor_id: str | None
    adopted: bool
    arn: str | None
    failure_reason: str | None
    requested_at: datetime | None
    tries: int
    due_at: datetime | None
    failing_since: datetime | None


def create(
    conn: Connection,
    workspace_id: str,
    ticket_id: str,
    ordinal: int,
    now: datetime,
    *,
    state: State,
    by: RefundAction = RefundAction.ENTER,
    **values: Unpack[RefundChanges],
) -> Refund | None:
    """Write the row of a new intent; return None if the intent has one already.

    Raises `TakenError` where another intent's row has the same refund of the processor, and
    `TransitionError` where `by` may not write a new row in `state`.
    """
    row_id = refund_id(workspace_id, ticket_id, ordinal)
    TRANSITIONS.check(row_id, None, state, by)
    row: dict[str, Any] = {
        **_BLANK,
        "id": row_id,
        "workspace_id": workspace_id,
        "ticket_id": ticket_id,
        "ordinal": ordinal,
        "state": state,
        "created_at": now,
        "updated_at": now,
        "entered_at": now,
        **_columns(values),
    }
    # Use the values as the database will hold them: a repeated request must equal the first.
    row = {name: storable(it) if isinstance(it, str) else it for name, it in row.items()}
    try:
        is_new = queue.insert_new(conn, ledger, row, key=("id",))
    except IntegrityError:
        raise _taken(row.get("processor_id")) from None
    return _refund(row) if is_new else None


_BLANK: Final[Mapping[str, Any]] = dict.fromkeys(ledger.c.keys()) | {
    "generation": 1,
    "uncertain": False,
    "adopted": False,
    "tries": 0,
    "claims": 0,
}
"""An empty row. A new row that is written in full need not be read back."""


def change(
    conn: Connection, refund: Refund, now: datetime, **values: Unpack[RefundChanges]
) -> Refund:
    """Change a row in its current state; return it as it is afterwards.

    Raises `LeaseLostError` when it was claimed or moved since `refund` was read, `TakenError` where
    another row has the processor's refund.
    """
    return _write(conn, refund, now, _columns(values))


def take_over(
    conn: Connection, refund: Refund, now: datetime, **values: Unpack[RefundChanges]
) -> Refund:
    """Like `change`, and fence off the worker that holds the row now."""
    return _write(conn, refund, now, _columns(values) | {"claims": refund.claims + 1})


def move(
    conn: Connection,
    refund: Refund,
    now: datetime,
    state: State,
    *,
    by: RefundAction,
    new_key: bool = False,
    **values: Unpack[RefundChanges],
) -> Refund:
    """Like `take_over`, and move the row to `state`, with or without a new idempotency key.

    Raises `TransitionError` for a move that is not in the table, and `LeaseLostError` when the row
    has left the state in which `refund` was read. Nothing is written in either case.
    """
    TRANSITIONS.check(refund.id, refund.state, state, by, new_key=new_key)
    row = _columns(values) | {"state": state, "claims": refund.claims + 1}
    if new_key:
        row |= {"generation": refund.generation + 1, "first_sent_at": None, "sent_day": None}
    return _write(conn, refund, now, row)


def _columns(values: RefundChanges) -> dict[str, Any]:
    """Return `values` with the amount and the payment split into their columns."""
    row: dict[str, Any] = {**values}
    if "payment" in values:
        payment = values["payment"]
        row["payment_id"] = payment and payment["id"]
    return spread(row)


def _write(conn: Connection, refund: Refund, now: datetime, row: dict[str, Any]) -> Refund:
    row = row | {"updated_at": now}
    given = {f"new_{name}": value for name, value in row.items()}
    given |= {"row": refund.id, "fence": refund.claims, "source": refund.state}
    try:
        found = conn.execute(_update(tuple(row)), given).mappings().one_or_none()
    except IntegrityError:
        raise _taken(row.get("processor_id")) from None
    if found is None:
        raise LeaseLostError(f"refund {refund.id} was claimed by another worker, or has moved")
    return _refund(found)


@functools.cache
def _update(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    """Return the one statement that changes a row, only if its state and claims are as read."""
    return (
        update(ledger)
        .where(
            ledger.c.id == bindparam("row"),
            ledger.c.claims == bindparam("fence"),
            ledger.c.state == bindparam("source"),
        )
        .values({name: bindparam(f"new_{name}") for name in names})
        .returning(*ledger.c)
    )


def _taken(processor_id: str | None) -> TakenError:
    return TakenError(f"the processor's refund {processor_id} belongs to another row of the ledger")


def claim(
    conn: Connection,
    now: datetime,
    lease: timedelta,
    limit: int,
    workspace: str | None = None,
    *,
    which: queue.Share | None = None,
) -> list[Refund]:
    """Claim up to `limit` refunds that wait for their next step; see `queue.claim`."""
    found = queue.claim(
        conn,
        ledger,
        now=now,
        lease=lease,
        limit=limit,
        workspace=workspace,
        only=None if which is None else _of_adapters(which),
    )
    return [_refund(r) for r in found]


@functools.cache
def _of_adapters(which: queue.Share) -> ColumnElement[bool]:
    return which.of(ledger.c.adapter)


def get(conn: Connection, row_id: str) -> Refund | None:
    """Return the refund with our id."""
    row = conn.execute(_BY_ID, {"row": row_id}).mappings().one_or_none()
    return _refund(row) if row else None


_BY_ID = select(ledger).where(ledger.c.id == bindparam("row"))


def lock(conn: Connection, row_id: str) -> Refund | None:
    """Like `get`, and lock the row for a decision that this transaction writes.

    SQLite has one writer and needs no lock.
    """
    row = conn.execute(_BY_ID_LOCKED, {"row": row_id}).mappings().one_or_none()
    return _refund(row) if row else None


_BY_ID_LOCKED = _BY_ID.with_for_update(key_share=True)


def of_processor(conn: Connection, adapter: str, processor_id: str) -> Refund | None:
    """Return the refund with this id at the processor."""
    which = (ledger.c.adapter == adapter, ledger.c.processor_id == processor_id)
    row = conn.execute(select(ledger).where(*which)).mappings().one_or_none()
    return _refund(row) if row else None


def of_payments(conn: Connection, adapter: str, payment_ids: Collection[str]) -> list[Refund]:
    """Return the refunds of a payment, by any of its ids, oldest first."""
    which = (ledger.c.adapter == adapter, ledger.c.payment_id.in_(payment_ids))
    query = select(ledger).where(*which).order_by(ledger.c.created_at, ledger.c.id)
    return [_refund(row) for row in conn.execute(query).mappings()]


def knows_payment(conn: Connection, adapter: str, payment_id: str) -> bool:
    """Whether a refund of this payment was asked for, so that its processor may report on it."""
    which = (ledger.c.adapter == adapter, ledger.c.payment_id == payment_id)
    return conn.execute(select(ledger.c.id).where(*which).limit(1)).first() is not None


def alike(
    conn: Connection, adapter: str, payment_ids: Collection[str], amount: Money, since: datetime
) -> list[Refund]:
    """Return the refunds of a payment, by any of its ids, with exactly this amount.

    Only those that move money, or did, and were entered or sent since `since`; oldest first.
    """
    query = (
        select(ledger)
        .where(
            ledger.c.adapter == adapter,
            ledger.c.payment_id.in_(payment_ids),
            ledger.c.amount_minor == amount.minor,
            ledger.c.currency == amount.currency,
            ledger.c.state.not_in(UNPAID),
            or_(ledger.c.created_at >= since, ledger.c.first_sent_at >= since),
        )
        .order_by(ledger.c.created_at, ledger.c.id)
    )
    return [_refund(row) for row in conn.execute(query).mappings()]


def matching(conn: Connection, text: str, *, limit: int) -> list[Refund]:
    """Return up to `limit` refunds whose id begins with `text`, or whose ticket is `text`."""
    meant = (queue.id_begins(ledger, text), ledger.c.ticket_id == text)
    return [_refund(row) for row in queue.matching(conn, ledger, meant, limit)]


def newest(
    conn: Connection,
    *,
    limit: int,
    state: State | None = None,
    ticket_id: str | None = None,
    order_id: str | None = None,
    reason: str | None = None,
) -> list[Refund]:
    """Return up to `limit` refunds, newest first."""
    query = select(ledger).order_by(ledger.c.created_at.desc(), ledger.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(ledger.c.state == state)
    if ticket_id is not None:
        query = query.where(ledger.c.ticket_id == ticket_id)
    if order_id is not None:
        query = query.where(ledger.c.order_id == order_id)
    if reason is not None:
        query = query.where(ledger.c.reason == reason)
    return [_refund(row) for row in conn.execute(query).mappings()]


def in_state(conn: Connection, state: State) -> list[Refund]:
    """Return all refunds in a state, oldest first."""
    query = select(ledger).where(ledger.c.state == state)
    query = query.order_by(ledger.c.created_at, ledger.c.id)
    return [_refund(row) for row in conn.execute(query).mappings()]


def page(
    conn: Connection,
    after: Refund | None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 500,
) -> list[Refund]:
    """Return up to `limit` refunds made from `since` until before `until`, oldest first.

    The next page begins after the last refund of this one; the first begins after None.
    """
    made = ledger.c.created_at
    query = select(ledger).order_by(made, ledger.c.id).limit(limit)
    if after is not None:
        last = tuple_(literal(after.created_at, made.type), literal(after.id))
        query = query.where(tuple_(made, ledger.c.id) > last)
    elif since is not None:
        query = query.where(made >= since)
    if until is not None:
        query = query.where(made < until)
    return [_refund(row) for row in conn.execute(query).mappings()]


def sent_on(
    conn: Connection, day: str, currency: str, *, but: str, adapter: str | None = None
) -> int:
    """Return the minor units sent to processors on `day` (UTC, ISO date) in `currency`.

    It leaves out the refund with the id `but`, and with `adapter` those of other adapters.
    """
    total = select(func.coalesce(func.sum(ledger.c.amount_minor), 0)).where(
        ledger.c.sent_day == day, ledger.c.currency == currency, ledger.c.id != but
    )
    if adapter is not None:
        total = total.where(ledger.c.adapter == adapter)
    return int(conn.execute(total).scalar_one())


def count_alone(conn: Connection, day: str, currency: str) -> None:
    """Lock the total of this day until the transaction ends; wait for any other holder.

    Otherwise two workers could each find room for the last refund under a cap.
    """
    backend(conn).lock_until_the_end(conn, f"{day} {currency}")


def count_open_by_state(conn: Connection) -> dict[str, int]:
    """Return how many refunds are in each state but `succeeded` and `canceled`.

    In those two a refund is over, and a count of them would take longer each day.
    """
    is_open = ledger.c.state.in_(sorted(frozenset(State) - {State.SUCCEEDED, State.CANCELED}))
    query = select(ledger.c.state, func.count()).where(is_open).group_by(ledger.c.state)
    return {row[0]: int(row[1]) for row in conn.execute(query)}


def count_of_other_adapters(conn: Connection, adapters: Collection[str]) -> int:
    """Return how many refunds wait for an adapter that is not one of `adapters`."""
    waits = (ledger.c.due_at.is_not(None), ledger.c.adapter.not_in(adapters))
    return conn.execute(select(func.count()).select_from(ledger).where(*waits)).scalar_one()


@dataclass(frozen=True, slots=True)
class Failing:
    """How many unfinished refunds fail: for want of their adapter, and by their adapter."""

    without_adapter: int
    by_adapter: Mapping[str, int]

    @property
    def described(self) -> str:
        """Those of each adapter, in words."""
        return ", ".join(f"{count} refunds of {it}" for it, count in self.by_adapter.items())


def failing(conn: Connection, before: datetime) -> Failing:
    """Return how many unfinished refunds have been failing since `before` or longer."""
    waits = ledger.c.detail.startswith(WAITS_FOR_ADAPTER)
    query = (
        select(ledger.c.adapter, func.count(), func.sum(case((waits, 1), else_=0)))
        .where(
            ledger.c.due_at.is_not(None),
            ledger.c.state.not_in(_ENDED),
            ledger.c.failing_since <= before,
            ledger.c.detail != NOT_SHOWN,  # nor NULL
        )
        .group_by(ledger.c.adapter)
        .order_by(ledger.c.adapter)
    )
    found = [(name, every, int(others)) for name, every, others in conn.execute(query)]
    return Failing(
        sum(others for _, _, others in found),
        {name: every - others for name, every, others in found if every > others},
    )


def unsent_since(conn: Connection) -> dict[str, tuple[int, datetime]]:
    """Return, by adapter, how many refunds the workers are still to send, and since when.

    Those that wait for a person, or that the processor has accepted, do not count.
    """
    query = (
        select(ledger.c.adapter, func.count(), func.min(ledger.c.entered_at))
        .where(ledger.c.due_at.is_not(None), ledger.c.state.in_(_UNSENT))
        .group_by(ledger.c.adapter)
        .order_by(ledger.c.adapter)
    )
    return {name: (count, since) for name, count, since in conn.execute(query)}


def unfinished(conn: Connection) -> dict[str, int]:
    """Return, by adapter, how many refunds are still to be sent, looked up or followed."""
    query = (
        select(ledger.c.adapter, func.count())
        .where(ledger.c.adapter.is_not(None), ledger.c.state.not_in(_ENDED))
        .group_by(ledger.c.adapter)
    )
    return {row[0]: int(row[1]) for row in conn.execute(query)}


_UNSENT = (State.REQUESTED, State.SENDING, State.UNKNOWN)
WAITS_FOR_ADAPTER = "waits for the adapter"
"""The start of a refund's detail where its adapter is not the one that is set."""
NOT_SHOWN = "The processor accepted this refund, and does not show it now."
"""The detail of a row that waits though its processor answers."""
_ENDED = (State.HELD, State.SUCCEEDED, State.VOIDED, State.FAILED, State.CANCELED)


def with_old_address(conn: Connection, before: datetime, limit: int) -> list[str]:
    """Return up to `limit` refunds that have been idle since `before` and still hold an address."""
    query = (
        select(ledger.c.id)
        .where(ledger.c.updated_at < before, ledger.c.instructions_email.is_not(None))
        .where(ledger.c.due_at.is_(None))
        .limit(limit)
    )
    return list(conn.scalars(query))


def forget_addresses(conn: Connection, ids: Sequence[str]) -> None:
    """Drop the customers' addresses of these refunds; keep amounts, ids and times for the books."""
    conn.execute(update(ledger).where(ledger.c.id.in_(ids)).values(instructions_email=None))
