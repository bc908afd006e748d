"""One row for each parcel's label, written before the purchase, so that none is bought twice."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from dispatch_returns.errors import LeaseLostError
from dispatch_returns.money import Money
from dispatch_returns.refunds.amounts import gather, spread
from dispatch_returns.returns.records import OVER as RETURN_OVER
from dispatch_returns.store import queue
from dispatch_returns.store.schema import labels, returns
from dispatch_returns.store.transitions import NEW, Transition, Transitions


class LabelState(enum.StrEnum):
    """Where a label stands. ``buying`` and ``unknown``: it may have been bought."""

    WANTED = "wanted"
    """It will be bought, and certainly has not been yet."""
    BUYING = "buying"
    UNKNOWN = "unknown"
    BOUGHT = "bought"
    VOIDED = "voided"
    NOT_VOIDED = "not_voided"
    """It is no longer needed, and could not be voided: a person must look."""
    EXPIRED = "expired"


OVER = frozenset({LabelState.VOIDED, LabelState.NOT_VOIDED, LabelState.EXPIRED})
"""The states of a label that can no longer be used."""
MAY_BE_BOUGHT: Final = frozenset({LabelState.BUYING, LabelState.UNKNOWN})


class LabelAction(enum.StrEnum):
    """What moves a label."""

    WANT = "wanted"
    """The return is approved, and has no usable label."""
    BUY = "buying"
    """The store records that the provider is asked now."""
    BUY_LATER = "not bought"
    """It was certainly not bought: ask again later, with what counts then."""
    LOSE_TRACK = "not answered"
    """It may have been bought, and the provider does not say."""
    BOUGHT = "bought"
    """The provider has sold it, now or before."""
    VOID = "not needed"
    """Its return is over, or a person voids it."""
    EXPIRE = "expired"
    """The provider no longer accepts it, and another one is wanted."""


def _of(*states: LabelState | None) -> frozenset[LabelState | None]:
    return frozenset(states)


TRANSITIONS: Final = Transitions[LabelState, LabelAction](
    "label",
    Transition(LabelAction.WANT, _of(NEW), frozenset({LabelState.WANTED})),
    # From the states where it may have been bought: the provider looked for it, and has none.
    Transition(
        LabelAction.BUY, MAY_BE_BOUGHT | {LabelState.WANTED}, frozenset({LabelState.BUYING})
    ),
    Transition(LabelAction.BUY_LATER, _of(LabelState.BUYING), frozenset({LabelState.WANTED})),
    Transition(LabelAction.LOSE_TRACK, _of(LabelState.BUYING), frozenset({LabelState.UNKNOWN})),
    Transition(LabelAction.BOUGHT, MAY_BE_BOUGHT, frozenset({LabelState.BOUGHT})),
    Transition(LabelAction.VOID, frozenset(LabelState) - OVER, frozenset({LabelState.VOIDED})),
    Transition(
        LabelAction.VOID,
        MAY_BE_BOUGHT | {LabelState.BOUGHT},
        frozenset({LabelState.NOT_VOIDED}),
    ),
    Transition(LabelAction.VOID, _of(LabelState.BOUGHT), frozenset({LabelState.EXPIRED})),
    Transition(LabelAction.EXPIRE, _of(LabelState.BOUGHT), frozenset({LabelState.EXPIRED})),
)
"""Every move that a label may make; the diagram in ``docs/labels.md`` is made from it."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of `labels`. ``id`` is the key that the provider receives; ``parcel`` counts from 1.

    ``document`` is what the label is made from, kept from when it may have been bought: a repeated
    request gives the same label, whatever the policy, the ticket and the order say by then.
    ``upload_id`` is an attachment that was started, and perhaps not confirmed.
    """

    id: str
    return_id: str
    parcel: int
    provider: str
    state: LabelState
    provider_id: str | None
    tracking_number: str | None
    tracking_url: str | None
    carrier: str | None
    cost: Money | None
    document: Mapping[str, Any] | None = field(repr=False)
    pdf: bytes | None = field(repr=False)
    upload_id: str | None
    attachment_id: str | None
    error: str | None
    send_by: datetime | None
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


def label_id(return_id: str, parcel: int) -> str:
    """Return the key of a parcel's label, derived from the return and the parcel."""
    return f"lbl_{return_id.removeprefix('ret_')}_{parcel}"


def _label(row: RowMapping) -> LabelRow:
    values = gather({str(column): value for column, value in row.items()}, "cost")
    values["state"] = LabelState(values["state"])
    return LabelRow(**values)


def want(
    conn: Connection, return_id: str, parcel: int, now: datetime, *, provider: str
) -> LabelRow:
    """Record that a parcel's label is wanted; return its row, which may exist already."""
    key = label_id(return_id, parcel)
    TRANSITIONS.check(key, None, LabelState.WANTED, LabelAction.WANT)
    values = {
        "id": key,
        "return_id": return_id,
        "parcel": parcel,
        "provider": provider,
        "state": LabelState.WANTED,
        "created_at": now,
        "updated_at": now,
    }
    queue.insert_new(conn, labels, values)
    found = get(conn, key)
    assert found is not None
    return found


class LabelChanges(TypedDict, total=False):
    """The columns of a row that may change by themselves. Only `move` changes the state."""

    provider: str
    provider_id: str | None
    tracking_number: str | None
    tracking_url: str | None
    carrier: str | None
    cost: Money | None
    document: Mapping[str, Any] | None
    pdf: bytes | None
    upload_id: str | None
    attachment_id: str | None
    error: str | None
    send_by: datetime | None
    expires_at: datetime | None


def change(
    conn: Connection, row: LabelRow, now: datetime, **values: Unpack[LabelChanges]
) -> LabelRow:
    """Change a label, which the worker that holds its return may do; return it afterwards.

    Raises `LeaseLostError` where it is in another state by now.
    """
    return _write(conn, row, now, {**values})


def move(
    conn: Connection,
    row: LabelRow,
    now: datetime,
    state: LabelState,
    *,
    by: LabelAction,
    **values: Unpack[LabelChanges],
) -> LabelRow:
    """Like `change`, and move the label to `state`. Raises `TransitionError` too."""
    TRANSITIONS.check(row.id, row.state, state, by)
    return _write(conn, row, now, {**values, "state": state})


def _write(conn: Connection, row: LabelRow, now: datetime, values: dict[str, Any]) -> LabelRow:
    as_read = (labels.c.id == row.id, labels.c.state == row.state)
    changed = spread(values, "cost") | {"updated_at": now}
    statement = update(labels).where(*as_read).values(changed).returning(*labels.c)
    found = conn.execute(statement).mappings().one_or_none()
    if found is None:
        raise LeaseLostError(f"label {row.id} was changed by another worker, or has moved")
    return _label(found)


def get(conn: Connection, row_id: str) -> LabelRow | None:
    """Return the label with this key."""
    row = conn.execute(_BY_ID, {"row": row_id}).mappings().one_or_none()
    return _label(row) if row else None


_BY_ID = select(labels).where(labels.c.id == bindparam("row"))


def of_return(conn: Connection, return_id: str) -> list[LabelRow]:
    """Return the labels of a return, oldest first."""
    query = select(labels).where(labels.c.return_id == return_id).order_by(labels.c.parcel)
    return [_label(row) for row in conn.execute(query).mappings()]


def thinnable(conn: Connection, before: datetime, limit: int) -> list[str]:
    """Return up to `limit` labels whose document has not been needed since `before`.

    Either the return is over, or the label itself is.
    """
    over = labels.c.state.in_(sorted(OVER)) | returns.c.step.in_(sorted(RETURN_OVER))
    query = (
        select(labels.c.id)
        .join(returns, returns.c.id == labels.c.return_id)
        .where(labels.c.updated_at < before, labels.c.pdf.is_not(None), over)
        .limit(limit)
    )
    return list(conn.scalars(query))


def thin(conn: Connection, ids: Sequence[str]) -> None:
    """Drop these labels' documents, which show the customer's name and street."""
    conn.execute(update(labels).where(labels.c.id.in_(ids)).values(pdf=None, document=None))
