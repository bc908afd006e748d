"""The ``data`` of the events that we know, declared: what each says about a ticket or a comment.

Only code that reads an event's data imports this; receiving an event needs its envelope alone.
Every field except the ids may be missing or null. Both the API's camelCase names and the guide's
names are read. A ``repr`` shows ids and nothing about a customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainValidator,
    StrictInt,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from dispatch_returns.errors import EventError
from dispatch_returns.webhooks.fields import identifier, moment

Identifier = Annotated[str, PlainValidator(identifier)]
Moment = Annotated[datetime, PlainValidator(moment)]
# Not StrictStr, which refuses a lone surrogate: a title that was cut in the middle of an emoji must
# not stop a refund.
Text = InstanceOf[str]
Number = Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]  # what a database's integer holds


class EventData(BaseModel):
    """What the data of all events have in common."""

    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(to_camel(name), name)
        ),
    )

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Return what `data` says.

        Raises `EventError`, which names the field that is invalid, and never its value.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            # The names on the path to it, without positions in a list.
            loc = error.errors(include_input=False, include_url=False)[0]["loc"]
            where = ".".join(part for part in loc if isinstance(part, str))
        raise EventError(f"data.{where} is missing, or not what it must be")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Return what the ``repr`` shows."""
        return [(name, value) for name in ("id", "ticket_id") if (value := getattr(self, name, 0))]


class CustomerData(EventData):
    """The customer, as far as an event names them."""

    customer_id: Identifier | None = None
    customer_email: Text | None = None
    customer_name: Text | None = None


class TicketData(CustomerData):
    """The ticket, as its events show it at their time."""

    id: Identifier
    ticket_number: Number | None = None
    subject: Annotated[Text | None, Field(validation_alias=AliasChoices("title", "subject"))] = None
    status: Text | None = None
    priority: Text | None = None


class TicketCreatedData(TicketData):
    """The data of ``ticket.created``."""

    source: Text | None = None
    created_at: Moment | None = None


class TicketUpdatedData(TicketData):
    """The data of ``ticket.updated``. ``changes`` names what changed; empty: it does not say."""

    assignee_id: Identifier | None = None
    updated_at: Moment | None = None
    changes: Annotated[
        tuple[Text, ...], BeforeValidator(lambda value: () if value is None else value)
    ] = ()


class CommentData(EventData):
    """A comment, as its event shows it."""

    id: Identifier
    body: Text | None = None
    author_id: Identifier | None = None
    author_type: Text | None = None
    created_at: Moment | None = None


class CommentCreatedData(CustomerData):
    """The data of ``ticket.comment.created`` and of ``comment.created``."""

    ticket_id: Identifier
    ticket_number: Text | None = None
    comment: CommentData
