"""A ticket's timeline: changes, comments, notes and deliveries, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

Kind = Literal["created", "change", "comment", "customer", "note", "delivery"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry; ``record`` is the comment or the delivery, None for the creation."""

    at: str
    kind: Kind
    record: Record | None = None


def moments(workspace: Workspace, ticket: Record, deliveries: Iterable[Record]) -> list[Moment]:
    """Return the entries of a ticket, the oldest first."""
    found = [Moment(ticket["createdAt"], "created")]
    found += [
        Moment(comment["createdAt"], _kind(comment), comment)
        for comment in workspace.comments[ticket["id"]].values()
    ]
    found += [
        Moment(delivery["createdAt"], "delivery", delivery)
        for delivery in deliveries
        if about(delivery) == ticket["id"]
    ]
    return sorted(found, key=lambda moment: moment.at)


def about(delivery: Record) -> str | None:
    """Return the id of the ticket that a delivery is about, or None."""
    data = delivery["payload"]["data"]
    if "ticketId" in data:
        return str(data["ticketId"])
    return str(data["id"]) if delivery["event"].startswith("ticket.") else None


def _kind(comment: Record) -> Kind:
    if comment["metadata"].get("isInternal") is True:
        return "note"
    if comment["authorType"] == "SYSTEM":
        return "change"
    return "customer" if comment["authorType"] == "CUSTOMER" else "comment"
