"""What a verified body says: the envelope, read at once, and its data, read on demand.

The receiver needs the envelope alone: which event, of what type, when, of which workspace, about
which ticket. Unknown fields and event types are accepted and kept in ``raw``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self

from dispatch_returns.errors import EventError
from dispatch_returns.webhooks.fields import identifier, moment, optional_identifier

if TYPE_CHECKING:
    from dispatch_returns.webhooks.event_data import (
        CommentCreatedData,
        TicketCreatedData,
        TicketData,
        TicketUpdatedData,
    )

OtherEventName = Literal[
    "ticket.deleted",
    "ticket.closed",
    "ticket.reopened",
    "comment.updated",
    "comment.deleted",
    "attachment.created",
    "attachment.deleted",
    "customer.created",
]
"""Dispatch's events that we have no class for: they arrive as `UnknownEvent`."""


@dataclass(frozen=True)
class Event:
    """One event of Dispatch; `parse` makes it. Its ``repr`` shows ids and nothing about a customer.

    ``id`` is the same for each delivery. ``type`` is what happened, such as ``ticket.updated``.
    ``workspace_id`` is the workspace (the API's brand), where the sender named it; ``ticket_id`` is
    the ticket it is about, if any. ``timestamp`` is when it happened, in UTC, as the sender signed
    it. ``raw`` is the whole decoded body; its numbers with a decimal point are `Decimal`.
    """

    id: str
    type: str
    workspace_id: str | None
    ticket_id: str | None
    timestamp: datetime = field(repr=False)
    raw: dict[str, Any] = field(repr=False, hash=False)

    @cached_property
    def data(self) -> object:
        """What the event is about. Raises `EventError` where it is invalid."""
        return self.raw["data"]

    def read(self) -> Self:
        """Return the event after reading its data. Raises `EventError` as `data` does."""
        _ = self.data  # kept from here on
        return self


@dataclass(frozen=True)
class UnknownEvent(Event):
    """An event of a type that we have no class for: everything in it is in ``data``."""

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the event is about, as it was sent."""
        data: dict[str, Any] = self.raw["data"]
        return data


@dataclass(frozen=True)
class TicketEvent(Event):
    """What the events about a ticket itself have in common."""

    TICKET: ClassVar = ("id", "id")

    ticket_id: str

    @cached_property
    def data(self) -> TicketData:
        """The ticket at that time. Raises `EventError` for a field of another type."""
        from dispatch_returns.webhooks.event_data import TicketData

        return TicketData.read(self.raw["data"])


@dataclass(frozen=True)
class TicketCreated(TicketEvent):
    """``ticket.created``"""

    @cached_property
    def data(self) -> TicketCreatedData:
        """The ticket at that time. Raises `EventError` for a field of another type."""
        from dispatch_returns.webhooks.event_data import TicketCreatedData

        return TicketCreatedData.read(self.raw["data"])


@dataclass(frozen=True)
class TicketUpdated(TicketEvent):
    """``ticket.updated``"""

    @cached_property
    def data(self) -> TicketUpdatedData:
        """The ticket at that time, and what changed.

        Raises `EventError` for a field of another type.
        """
        from dispatch_returns.webhooks.event_data import TicketUpdatedData

        return TicketUpdatedData.read(self.raw["data"])


@dataclass(frozen=True)
class CommentCreated(Event):
    """``ticket.comment.created``, which is also sent as ``comment.created``."""

    TICKET: ClassVar = ("ticketId", "ticket_id")

    ticket_id: str

    @cached_property
    def data(self) -> CommentCreatedData:
        """The comment, and who wrote it. Raises `EventError` for a field of another type."""
        from dispatch_returns.webhooks.event_data import CommentCreatedData

        return CommentCreatedData.read(self.raw["data"])


_KINDS: dict[str, type[TicketEvent | CommentCreated]] = {
    "ticket.created": TicketCreated,
    "ticket.updated": TicketUpdated,
    "ticket.comment.created": CommentCreated,
    "comment.created": CommentCreated,
}


def parse(body: bytes) -> Event:
    """Return the event in a `body` that `verify` has accepted.

    Raises `EventError` unless the body is a JSON object with an id, a type, a timestamp with its
    zone, an object of data and, where we know the type, the id of its ticket. The message names the
    field and never quotes it. `Event.data` reads the rest of the data on demand.

    Where a key occurs twice, the last one counts, as in ``JSON.parse``. Refusing it would cost a
    fifth of the time of every delivery, and the code that writes these bodies (``JSON.stringify``)
    cannot repeat a key.
    """
    raw = _decoded(body)
    get = raw.get
    name = "id"
    try:
        event_id = identifier(get("id"))
        name = "event"
        value = get("event")
        event_type = identifier(get("type") if value is None else value)
        name = "brand_id"
        workspace_id = optional_identifier(get("brand_id") or _workspace_in(raw))
        name = "timestamp"
        timestamp = moment(get("timestamp"))
        name = "data"
        data = _mapping(get("data"))
        kind = _KINDS.get(event_type)
        if kind is None:
            about = _ticket_in(event_type, data)
            return UnknownEvent(event_id, event_type, workspace_id, about, timestamp, raw)
        camel, snake = kind.TICKET
        name = f"data.{camel}"
        value = data.get(camel)
        ticket_id = identifier(data.get(snake) if value is None else value)
    except ValueError:
        raise EventError(f"{name} is missing, or not what it must be") from None
    return kind(event_id, event_type, workspace_id, ticket_id, timestamp, raw)


def _mapping(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = value
    if type(value) is not dict:
        raise ValueError("not an object")
    return found


def _workspace_in(raw: dict[str, Any]) -> Any:
    for key in ("brand_id", "brandId", "workspace_id", "workspaceId"):
        value = raw.get(key)
        if value is not None:
            return value
    return None


def _ticket_in(event_type: str, data: dict[str, Any]) -> str | None:
    """Return the ticket of an event, as far as that is clear without knowing its type."""
    value = data.get("ticketId", data.get("ticket_id"))
    if value is None and event_type.startswith("ticket."):
        value = data.get("id")
    try:
        return optional_identifier(value)
    except ValueError:
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Not json.loads, which also accepts NaN and encodings other than UTF-8.
_read_json = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant).raw_decode


def _decoded(body: object) -> dict[str, Any]:
    found: Any = None
    if isinstance(body, bytes):
        # Its errors would quote the body, so they stop here and are not even a context.
        try:
            whole = body.decode().strip(" \t\r\n")
            value, end = _read_json(whole)
            found = value if end == len(whole) else None
        except (ValueError, ArithmeticError, RecursionError):
            found = None
    raw: dict[str, Any] = found
    if type(found) is not dict:
        raise EventError("the body is not a JSON object")
    return raw
