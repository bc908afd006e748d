"""One row for each return: its step, and when a worker looks at it again.

The returns are a queue, so that one worker at a time deals with a return. If something wakes a
return while a worker holds it, the row remembers that, and is due again when the worker is done.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, Update, and_, bindparam, case, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from dispatch_returns.errors import LeaseLostError
from dispatch_returns.returns.transitions import TRANSITIONS, ReturnAction, Step
from dispatch_returns.store import queue
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import decisions, returns

OVER = frozenset(
    {Step.REFUNDED, Step.REJECTED, Step.EXPIRED, Step.CANCELLED, Step.ELSEWHERE, Step.GONE}
)
"""In these steps the customer has nothing left to do, unless a person sets the return back."""


@dataclass(frozen=True, slots=True)
class Return:
    """A row of `returns`.

    ``status`` is the ticket's, as last seen or written; ``planned`` is what is about to be written
    to the ticket. ``order_id`` is what the ticket calls its order, and ``order_key`` is equal for
    all returns of one order, whatever they call it. ``customer`` is a digest of the address: it
    recognises the same customer, and reveals no address. ``terms`` are what the policy grants this
    return: times, and whether the customer must send anything. ``claims`` is the fencing token.
    ``claimed`` are digests of the fields on the ticket when its request was recorded: a customer
    may have written them.
    """

    id: str
    workspace_id: str
    ticket_id: str
    number: str
    step: Step
    status: str
    order_id: str | None
    order_key: str | None
    reason: str | None
    items: Sequence[Mapping[str, Any]]
    customer: str | None = field(repr=False)
    claimed: Mapping[str, str] | None
    policy: str | None
    terms: Mapping[str, Any] | None
    planned: Mapping[str, Any] | None
    error: str | None
    requested_at: datetime
    entered_at: datetime
    reminded_at: datetime | None
    created_at: datetime
    updated_at: datetime
    working: bool
    woken: bool
    tries: int
    claims: int
    due_at: datetime | None
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewDecision:
    """A decision, or something that a person or a program did: ``data`` explains it."""

    kind: str
    outcome: str
    who: str
    why: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of `decisions`, which never changes."""

    id: int
    return_id: str
    kind: str
    outcome: str
    who: str
    why: str | None
    data: Mapping[str, Any]
    at: datetime


def return_id(workspace_id: str, ticket_id: str) -> str:
    """Return the id of a ticket's return, derived from the ticket."""
    return f"ret_{_digest(workspace_id, ticket_id)[:32]}"


def return_number(workspace_id: str, ticket_id: str) -> str:
    """Return the number that the label shows and that people type in: ``R-7K3Q-X2M9-PD``."""
    left, letters = int(_digest("number", workspace_id, ticket_id)[:16], 16), ""
    for _ in range(10):
        left, digit = divmod(left, 32)
        letters += "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[digit]  # Crockford's: no I, L, O, U
    return f"R-{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def customer_digest(email: str | None) -> str | None:
    """Return the digest that stands for a customer in the store."""
    address = (email or "").strip().casefold()
    return _digest("customer", address)[:32] if address else None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _return(row: RowMapping) -> Return:
    values: dict[str, Any] = {str(column): value for column, value in row.items()}
    values["step"] = Step(values["step"])
    return Return(**values)


class ReturnChanges(TypedDict, total=False):
    """The columns of a row that may change by themselves. Only a move changes the step."""

    status: str
    order_id: str | None
    order_key: str | None
    reason: str | None
    items: Sequence[Mapping[str, Any]]
    customer: str | None
    claimed: Mapping[str, str] | None
    policy: str | None
    terms: Mapping[str, Any] | None
    planned: Mapping[str, Any] | None
    error: str | None
    requested_at: datetime
    entered_at: datetime
    reminded_at: datetime | None
    tries: int
    failing_since: datetime | None


def enter(
    conn: Connection,
    workspace_id: str,
    ticket_id: str,
    now: datetime,
    *,
    step: Step,
    **values: Unpack[ReturnChanges],
) -> bool:
    """Write the row of a ticket's return, due now; return False if it has one already.

    Raises `TransitionError` for a step in which no return begins.
    """
    row_id = return_id(workspace_id, ticket_id)
    TRANSITIONS.check(row_id, None, step, ReturnAction.ENTER)
    fresh = {
        "id": row_id,
        "workspace_id": workspace_id,
        "ticket_id": ticket_id,
        "number": return_number(workspace_id, ticket_id),
        "step": step,
        "entered_at": now,
        "created_at": now,
        "updated_at": now,
        "working": False,
        "woken": False,
        "due_at": now,
    }
    return queue.insert_new(conn, returns, fresh | values)


def unwritten(workspace_id: str, ticket_id: str, now: datetime, requested_at: datetime) -> Return:
    """Return the row that a ticket's return would have, to preview what would come of it."""
    nothing = dict.fromkeys(field.name for field in fields(Return))
    fresh = {
        "id": return_id(workspace_id, ticket_id),
        "workspace_id": workspace_id,
        "ticket_id": ticket_id,
        "number": return_number(workspace_id, ticket_id),
        "step": Step.ELSEWHERE,
        "created_at": now,
        "requested_at": requested_at,
    }
    return Return(**(nothing | fresh))  # type: ignore[arg-type]


def wake(conn: Connection, row_id: str, now: datetime) -> None:
    """Make a return due now, or as soon as the worker that holds it is done."""
    conn.execute(_WAKE, {"row": row_id, "now": now})


_WAKE: Update = (
    update(returns)
    .where(returns.c.id == bindparam("row"))
    .values(
        woken=True,
        due_at=case(
            (returns.c.working, returns.c.due_at),
            else_=bindparam("now", type_=returns.c.due_at.type),
        ),
    )
)


def claim(
    conn: Connection, now: datetime, lease: timedelta, limit: int, workspace: str | None = None
) -> list[Return]:
    """Claim up to `limit` returns that wait for their next step; see `queue.claim`."""
    found = queue.claim(conn, returns, now=now, lease=lease, limit=limit, workspace=workspace)
    # A second write, behind the fence, because the claim itself is the same for all queues.
    return [
        _return(
            queue.change_and_get(conn, returns, r["id"], r["claims"], working=True, woken=False)
        )
        for r in found
    ]


def take(conn: Connection, row: Return, now: datetime, lease: timedelta) -> Return | None:
    """Claim this one return, due or not; None while a worker holds it. It stays woken if it was."""
    free = returns.c.working.is_(False) | (returns.c.due_at <= now)
    statement = (
        update(returns)
        .where(returns.c.id == row.id, free)
        .values(claims=returns.c.claims + 1, working=True, due_at=now + lease)
        .returning(*returns.c)
    )
    found = conn.execute(statement).mappings().one_or_none()
    return _return(found) if found else None


StepMove = tuple[Step, ReturnAction]
"""A step to go to, and the action that brings the return there."""


def change(
    conn: Connection,
    row: Return,
    now: datetime,
    due_at: datetime,
    *,
    to: StepMove | None = None,
    **values: Unpack[ReturnChanges],
) -> Return:
    """Change a claimed return, keep it until `due_at`, and return it as it is afterwards.

    Raises `LeaseLostError` where another worker has claimed or moved it, and `TransitionError` for
    a move that is not in the table. Nothing is written in either case.
    """
    return _write(conn, row, now, {**values, "due_at": due_at}, to, lets_go=False)


def release(
    conn: Connection,
    row: Return,
    now: datetime,
    due_at: datetime | None,
    *,
    to: StepMove | None = None,
    **values: Unpack[ReturnChanges],
) -> Return:
    """Like `change`, and release the return until `due_at`, or until something wakes it.

    If something woke it meanwhile, it is due at once.
    """
    return _write(conn, row, now, {**values, "due_at": due_at}, to, lets_go=True)


def _write(
    conn: Connection,
    row: Return,
    now: datetime,
    values: dict[str, Any],
    to: StepMove | None,
    *,
    lets_go: bool,
) -> Return:
    if to is not None:
        step, by = to
        TRANSITIONS.check(row.id, row.step, step, by)
        values["step"] = step
    given = {f"new_{name}": value for name, value in values.items()}
    given |= {"row": row.id, "fence": row.claims, "source": row.step, "now": now}
    statement = _update(tuple(values), moves=to is not None, lets_go=lets_go)
    found = conn.execute(statement, given).mappings().one_or_none()
    if found is None:
        raise LeaseLostError(f"return {row.id} was claimed by another worker, or has moved")
    return _return(found)


@functools.cache
def _update(names: tuple[str, ...], *, moves: bool, lets_go: bool) -> ReturningUpdate[Any]:
    """Return the statement that changes a row as it was read.

    A move names the step too: when a person has just moved a return in Dispatch, it is at its new
    step in memory, and not in the store until that is written.
    """
    moment = returns.c.due_at.type
    changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    changed["updated_at"] = bindparam("now", type_=moment)
    if lets_go:
        changed["working"] = False
        changed["due_at"] = case(
            (returns.c.woken, bindparam("now", type_=moment)),
            else_=bindparam("new_due_at", type_=moment),
        )
    as_read = [returns.c.id == bindparam("row"), returns.c.claims == bindparam("fence")]
    if moves:
        as_read.append(returns.c.step == bindparam("source"))
    return update(returns).where(*as_read).values(changed).returning(*returns.c)


def get(conn: Connection, row_id: str) -> Return | None:
    """Return the return with our id."""
    row = conn.execute(_BY_ID, {"row": row_id}).mappings().one_or_none()
    return _return(row) if row else None


_BY_ID = select(returns).where(returns.c.id == bindparam("row"))


def matching(conn: Connection, text: str, *, limit: int) -> list[Return]:
    """Return the returns that `text` matches: a ticket's id, a return number, or our id."""
    meant = (
        returns.c.ticket_id == text,
        returns.c.number == text.upper(),
        queue.id_begins(returns, text),
    )
    return [_return(row) for row in queue.matching(conn, returns, meant, limit)]


def newest(conn: Connection, *, limit: int, step: Step | None = None) -> list[Return]:
    """Return up to `limit` returns, newest first."""
    newest_first = (returns.c.created_at.desc(), returns.c.id.desc())
    query = select(returns).order_by(*newest_first).limit(limit)
    if step is not None:
        query = query.where(returns.c.step == step)
    return [_return(row) for row in conn.execute(query).mappings()]


CLOSED = (Step.REJECTED, Step.EXPIRED, Step.CANCELLED, Step.GONE)
"""In these steps a return ends without a refund, unless one of its parcels was refunded before."""


def look_alone(conn: Connection, row: Return) -> None:
    """Lock this order's returns against other transactions until this one ends.

    Otherwise two decisions made at once would not see each other. SQLite has one writer.
    """
    backend(conn).lock_until_the_end(conn, f"order {row.workspace_id} {row.order_key}")


def of_order(conn: Connection, row: Return) -> list[Return]:
    """Return the other returns of the same order that were not refused, oldest first."""
    if row.order_key is None:
        return []
    return _others(conn, row, returns.c.order_key == row.order_key)


def all_of_order(conn: Connection, workspace_id: str, order_key: str) -> list[Return]:
    """Return every return of an order, newest first."""
    query = (
        select(returns)
        .where(returns.c.workspace_id == workspace_id, returns.c.order_key == order_key)
        .order_by(returns.c.created_at.desc(), returns.c.id)
    )
    return [_return(row) for row in conn.execute(query).mappings()]


def of_customer(conn: Connection, row: Return) -> list[Return]:
    """Return the other returns of the same customer that were not refused, oldest first."""
    if row.customer is None:
        return []
    return _others(conn, row, returns.c.customer == row.customer)


def _others(conn: Connection, row: Return, same: Any) -> list[Return]:
    query = (
        select(returns)
        .where(
            and_(
                returns.c.workspace_id == row.workspace_id,
                same,
                returns.c.id != row.id,
                returns.c.step.not_in(CLOSED),
            )
        )
        .order_by(returns.c.created_at, returns.c.id)
    )
    return [_return(found) for found in conn.execute(query).mappings()]


def count_open_by_step(conn: Connection) -> dict[str, int]:
    """Return how many returns are at each step in which they are not over."""
    under_way = returns.c.step.in_(sorted(frozenset(Step) - OVER))
    query = select(returns.c.step, func.count()).where(under_way).group_by(returns.c.step)
    return {row[0]: int(row[1]) for row in conn.execute(query)}


def record(conn: Connection, row: Return, decision: NewDecision, now: datetime) -> None:
    """Append a decision about a return."""
    queue.append(
        conn,
        decisions,
        {
            "return_id": row.id,
            "kind": decision.kind,
            "outcome": decision.outcome,
            "who": decision.who,
            "why": decision.why,
            "data": dict(decision.data),
            "at": now,
        },
    )


def decisions_of(conn: Connection, row_id: str) -> list[Decision]:
    """Return everything that was decided about a return, oldest first."""
    query = select(decisions).where(decisions.c.return_id == row_id).order_by(decisions.c.id)
    return [Decision(*row) for row in conn.execute(query)]
