"""Verified deliveries: signature, events, receiver; a mount for each framework.

`verify`, `sign`, `parse` and the events need the standard library alone. An event's data brings
pydantic, the receiver brings the store and a mount brings its framework, so those are imported
when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

_MOUNTS = frozenset({"asgi", "django", "fastapi", "flask", "wsgi"})
_HOMES = {
    "Answer": "http",
    "CommentCreatedData": "event_data",
    "CommentData": "event_data",
    "HasReceivers": "receiver",
    "ProcessorReceiver": "receiver",
    "Receiver": "receiver",
    "TicketCreatedData": "event_data",
    "TicketData": "event_data",
    "TicketUpdatedData": "event_data",
}

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


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MOUNTS:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
