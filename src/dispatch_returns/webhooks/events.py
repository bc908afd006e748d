"""What a verified body says: the envelope, and a class of event for each type we know.

An event is a view of its decoded body. Fields and types of events unknown to us are accepted
and kept in ``raw``.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NoReturn

from dispatch_returns.errors import EventError
from dispatch_returns.webhooks.fields import (
    MISFITS,
    Field,
    Record,
    check,
    identifier,
    mapping,
    moment,
    names,
    number,
    optional_identifier,
    optional_moment,
    text,
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
"""The events of Dispatch that we have no class for: they come as `UnknownEvent`."""


def parse(body: bytes) -> Event:
    """Return the event in a `body` that `verify` has let through.

    Raises `EventError` unless the body is a JSON object with an id, a type, a point in time
    with its zone and an object of data, and, where the type is one we know, its fields are of
    their types. The message names the field and never quotes it.

    Of a key that occurs twice the last one counts, as in ``JSON.parse``. To refuse it would
    cost a fifth of the time of every delivery, and what writes these bodies
    (``JSON.stringify``) cannot repeat a key.
    """
    raw = _decoded(body)
    name = "id"
    try:
        identifier(raw.get("id"))
        name = "event"
        kind = _KINDS.get(raw.get("event", "")) or _kind_of(raw)
        name = "brand_id"
        optional_identifier(raw.get("brand_id") or _workspace_of(raw))
        name = "timestamp"
        moment(raw.get("timestamp"))
        name = "data"
        data = mapping(raw.get("data"))
    except MISFITS:
        raise EventError(f"{name} is missing, or not what it must be") from None
    check(kind, data)
    return kind(raw)


class Event(Record):
    """One event of Dispatch; `parse` makes it. Its ``repr`` shows ids and nothing of a customer.

    ``raw`` is the whole decoded body and ``data`` the part about the ticket.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """The event's id; a repeated delivery has the same."""
        return identifier(self._raw["id"])

    @property
    def type(self) -> str:
        """What happened, such as ``ticket.updated``."""
        return identifier(_type_of(self._raw))

    @property
    def workspace_id(self) -> str | None:
        """The workspace (the API's brand), where the sender named it."""
        return optional_identifier(_workspace_of(self._raw))

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC, as the sender signed it."""
        return moment(self._raw["timestamp"])

    @property
    def data(self) -> dict[str, Any]:
        """What the event is about, as it was sent."""
        return mapping(self._raw["data"])

    @property
    def ticket_id(self) -> str | None:
        """The ticket it is about, so far as one can tell without knowing the type."""
        value = self.data.get("ticketId", self.data.get("ticket_id"))
        if value is None and self.type.startswith("ticket."):
            value = self.data.get("id")
        try:
            return optional_identifier(value)
        except MISFITS:
            return None

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(id={self.id!r}, type={self.type!r},"
            f" workspace_id={self.workspace_id!r}, ticket_id={self.ticket_id!r})"
        )


class UnknownEvent(Event):
    """An event of a type we have no class for: all there is to it is in ``data``."""

    __slots__ = ()


class _CustomerEvent(Event):
    __slots__ = ()

    customer_id = Field(optional_identifier)
    customer_email = Field(text)
    customer_name = Field(text)


class TicketEvent(_CustomerEvent):
    """What the events about a ticket itself have in common. All but its id may be None."""

    __slots__ = ()

    _ticket = Field(identifier, "id", "id")
    ticket_number = Field(number)
    subject = Field(text, "title")
    status = Field(text)
    priority = Field(text)

    @property
    def ticket_id(self) -> str:
        """The ticket's id."""
        return self._ticket


class TicketCreated(TicketEvent):
    """``ticket.created``"""

    __slots__ = ()

    source = Field(text)
    created_at = Field(optional_moment)


class TicketUpdated(TicketEvent):
    """``ticket.updated``. ``changes`` names what changed; empty: the sender did not say."""

    __slots__ = ()

    assignee_id = Field(optional_identifier)
    updated_at = Field(optional_moment)
    changes = Field(names)


class Comment(Record):
    """A comment as its event shows it."""

    __slots__ = ()

    id = Field(identifier)
    body = Field(text)
    author_id = Field(optional_identifier)
    author_type = Field(text)
    created_at = Field(optional_moment)

    def __repr__(self) -> str:
        return f"Comment(id={self.id!r})"


def _comment(value: Any) -> Comment:
    data = mapping(value)
    check(Comment, data)
    return Comment(data)


class CommentCreated(_CustomerEvent):
    """``ticket.comment.created``, which is also sent as ``comment.created``."""

    __slots__ = ()

    _ticket = Field(identifier, "ticketId", "ticket_id")
    ticket_number = Field(text)
    comment = Field(_comment)

    @property
    def ticket_id(self) -> str:
        """The id of the ticket that was commented on."""
        return self._ticket


_KINDS: dict[str, type[Event]] = {
    "ticket.created": TicketCreated,
    "ticket.updated": TicketUpdated,
    "ticket.comment.created": CommentCreated,
    "comment.created": CommentCreated,
}


def _kind_of(raw: dict[str, Any]) -> type[Event]:
    return _KINDS.get(identifier(_type_of(raw)), UnknownEvent)


def _type_of(raw: dict[str, Any]) -> Any:
    name = raw.get("event")
    return raw.get("type") if name is None else name


def _workspace_of(raw: dict[str, Any]) -> Any:
    for key in ("brand_id", "brandId", "workspace_id", "workspaceId"):
        value = raw.get(key)
        if value is not None:
            return value
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Not json.loads, which also takes NaN and other encodings than UTF-8.
_read_json = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant).raw_decode


def _decoded(body: object) -> dict[str, Any]:
    found: Any = None
    if isinstance(body, bytes):
        # Its errors would quote the body, so they end here and are not even a context.
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
