"""Verified deliveries: signature, events, receiver; a mount for each framework.

`verify`, `sign`, `parse` and the events need the standard library alone. The receiver brings
the store and a mount brings its framework, so those are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.webhooks.events import (
    Comment,
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
    from dispatch_returns.webhooks.http import Answer
    from dispatch_returns.webhooks.receiver import HasReceivers, ProcessorReceiver, Receiver

_MOUNTS = frozenset({"asgi", "django", "fastapi", "flask", "wsgi"})
_RECEIVER = frozenset({"Answer", "HasReceivers", "ProcessorReceiver", "Receiver"})

__all__ = [
    "Answer",
    "Comment",
    "CommentCreated",
    "Event",
    "HasReceivers",
    "ProcessorReceiver",
    "Receiver",
    "TicketCreated",
    "TicketEvent",
    "TicketUpdated",
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
    if name in _RECEIVER:
        return getattr(import_module(f"{__name__}.receiver"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
