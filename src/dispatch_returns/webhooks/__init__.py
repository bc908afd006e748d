"""Verified deliveries: signature, events, receiver, and a mount for each framework.

`verify`, `sign`, `parse` and the events need only the standard library. An event's data needs
pydantic, the receiver needs the store and a mount needs its framework, so those are imported on
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy
from dispatch_returns.webhooks.events import (
    CommentCreated,
    Event,
    TicketCreated,
    TicketEvent,
    TicketUpdated,
    UnknownEvent,
    parse,
)
from dispatch_returns.webhooks.signature import sign, verify

if TYPE_CHECKING:
    from dispatch_returns.webhooks import asgi, django, fastapi, flask, wsgi
    from dispatch_returns.webhooks.event_data import (
        CommentCreatedData,
        CommentData,
        TicketCreatedData,
        TicketData,
        TicketUpdatedData,
    )
    from dispatch_returns.webhooks.http import Answer
    from dispatch_returns.webhooks.receiver import HasReceivers, ProcessorReceiver, Receiver

__all__ = [
    "Answer",
    "CommentCreated",
    "CommentCreatedData",
    "CommentData",
    "Event",
    "HasReceivers",
    "ProcessorReceiver",
    "Receiver",
    "TicketCreated",
    "TicketCreatedData",
    "TicketData",
    "TicketEvent",
    "TicketUpdated",
    "TicketUpdatedData",
    "UnknownEvent",
    "asgi",
    "django",
    "fastapi",
    "flask",
    "parse",
    "sign",
    "verify",
    "wsgi",
]


if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".receiver",
        {
            ".": ["asgi", "django", "fastapi", "flask", "wsgi"],
            ".event_data": [
                "CommentCreatedData",
                "CommentData",
                "TicketCreatedData",
                "TicketData",
                "TicketUpdatedData",
            ],
            ".http": ["Answer"],
        },
    )
