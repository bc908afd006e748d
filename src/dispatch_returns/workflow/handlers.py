"""The merchant's own functions, run beside ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dispatch_returns.errors import InvalidArgumentError

if TYPE_CHECKING:
    from dispatch_returns.api import DispatchClient, Ticket

Handler = Callable[[Any, "Context"], None]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler has at hand besides the event."""

    client: DispatchClient
    ticket_id: str | None

    def ticket(self) -> Ticket:
        """Read the event's ticket through the API, as it is now. Raises `APIError`."""
        if self.ticket_id is None:
            raise InvalidArgumentError("event", "this event is not about a ticket")
        return self.client.tickets.get(self.ticket_id)


class Handlers:
    """The handlers by the event type they are for, each under a name that lasts.

    The name is kept with the event, so that after a restart the same function is called.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, dict[str, Handler]] = {}

    def add(self, event_type: str, handler: Handler) -> None:
        """Call `handler` for every event of `event_type`, at least once."""
        name = f"{handler.__module__}.{handler.__qualname__}"
        known = self._by_type.setdefault(event_type, {})
        if name in known:
            raise InvalidArgumentError(
                "handler", f"{name} handles {event_type} already: give it another name"
            )
        known[name] = handler

    def names(self, event_type: str) -> list[str]:
        """Return the names of the handlers for `event_type`."""
        return list(self._by_type.get(event_type, ()))

    def get(self, event_type: str, name: str) -> Handler | None:
        """Return a handler by its name, or None if the program has no such one any more."""
        return self._by_type.get(event_type, {}).get(name)
