"""One row for each parcel's label: written before it is bought, so that none is bought twice."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from dispatch_returns.money import Money
from dispatch_returns.refunds.amounts import gather, spread
from dispatch_returns.returns.records import OVER as RETURN_OVER
from dispatch_returns.store import queue
from dispatch_returns.store.schema import labels, returns


class LabelState(enum.StrEnum):
    """Where a label stands. ``buying`` and ``unknown``: it may have been bought."""

    WANTED = "wanted"
    """It is going to be bought, and certainly was not yet."""
    BUYING = "buying"
    UNKNOWN = "unknown"
    BOUGHT = "bought"
    VOIDED = "voided"
    NOT_VOIDED = "not_voided"
    """It is not needed any more, and could not be given back: a person must look."""
    EXPIRED = "expired"


OVER = frozenset({LabelState.VOIDED, LabelState.NOT_VOIDED, LabelState.EXPIRED})
"""The states of a label that nobody can use any more."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of `labels`. ``id`` is the key that the provider is given; ``parcel`` counts from 1.

    ``document`` is what the label is made of, from when it may have been bought: asked for again,
    it is the same label, whatever the policy, the ticket and the order say by then. ``upload_id``
    is an attachment that was begun, and perhaps not confirmed.
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
    """Return the key of a parcel's label, which follows from the return and the parcel."""
    return f"lbl_{return_id.removeprefix('ret_')}_{parcel}"


def _label(row: RowMapping) -> LabelRow:
    values = gather({str(column): value for column, value in row.items()}, "cost")
    values["state"] = LabelState(values["state"])
    return LabelRow(**values)


def want(
    conn: Connection, return_id: str, parcel: int, now: datetime, *, provider: str
) -> LabelRow:
    """Write down that a parcel's label is wanted; return its row, which may be there already."""
    key = label_id(return_id, parcel)
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


def change(conn: Connection, row: LabelRow, now: datetime, **values: Any) -> LabelRow:
    """Change a label, which the worker that holds its return may do; return it as it is then."""
    changed = spread(values, "cost") | {"updated_at": now}
    statement = update(labels).where(labels.c.id == row.id).values(changed).returning(*labels.c)
    return _label(conn.execute(statement).mappings().one())


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
    """Return up to `limit` labels whose document nobody needs since `before`.

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
