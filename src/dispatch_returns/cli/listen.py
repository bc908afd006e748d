"""``listen``: forwards what happens in a real workspace to a receiver on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli.common import stop_signals
from dispatch_returns.cli.errors import explain
from dispatch_returns.cli.output import Json, Listing, printable, show, warn
from dispatch_returns.cli.trigger import event_body, post, signing_secret
from dispatch_returns.errors import APIError, AuthenticationError, PermissionDeniedError

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient, Ticket


def listen(
    *,
    forward_to: Annotated[
        str,
        typer.Option(
            "--forward-to",
            metavar="URL",
            help="Your receiver, such as http://127.0.0.1:8000/webhooks/dispatch",
        ),
    ],
    every: Annotated[
        float, typer.Option(min=0.5, max=300, help="Seconds between two looks at the workspace.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """Forward a workspace's changes to your own machine.

    For development without a tunnel: it reads the tickets that have changed, signs an event for
    each with DISPATCH_WEBHOOK_SECRET (any text that your receiver has too), and sends it. It
    creates no webhook, so it leaves nothing behind; what changed before it started is not sent.
    """
    from dispatch_returns.cli.setup import client_for
    from dispatch_returns.connector.settings import Settings

    settings = Settings.from_env()
    secret = signing_secret(None)
    with stop_signals() as stop, client_for(settings, max_retries=0) as client:
        forwarder = Forwarder(client, settings.workspace, forward_to, secret)
        forwarder.begin()
        document = {"workspace": settings.workspace, "forward_to": forward_to, "every": every}
        show(document, Listing(document), "Ctrl-C stops it.", as_json=json)
        lines = sys.stderr if json else sys.stdout
        while not stop.wait(every):
            try:
                for line in forwarder.look():
                    print(printable(line), file=lines, flush=True)
            except (AuthenticationError, PermissionDeniedError):
                raise
            except APIError as error:
                warn(explain(error)[1])
    raise typer.Exit(stop.code)


@dataclass(frozen=True, slots=True)
class Change:
    """A ticket that is new or has changed; the same change always makes the same event."""

    ticket: Ticket
    event: str

    @property
    def event_id(self) -> str:
        """The event's id: a receiver that has it already answers "repeated"."""
        at = self.ticket.updated_at
        return f"evt_listen_{self.ticket.id}_{at.timestamp() if at else 0:.6f}"


class Forwarder:
    """Finds the tickets that have changed since it began, and sends an event for each.

    An event that is not received is sent again at the next look.
    """

    def __init__(self, client: DispatchClient, workspace: str, url: str, secret: str) -> None:
        self._client = client
        self._workspace = workspace
        self._url = url
        self._secret = secret
        self._known: dict[str, datetime | None] = {}
        self._since: datetime | None = None
        self._waiting: dict[str, Change] = {}

    def begin(self) -> None:
        """Look for the newest change, from which on changes are sent. Raises `APIError`."""
        newest = self._client.tickets.list_page(sort="updated_at", order="desc", limit=100)
        self._known = {ticket.id: ticket.updated_at for ticket in newest.data}
        self._since = max(filter(None, self._known.values()), default=None)

    def look(self) -> Iterator[str]:
        """Send an event for each change; yield a line about each. Raises `APIError`."""
        for change in self._changes():
            self._waiting[change.ticket.id] = change
        for change in list(self._waiting.values()):
            yield self._send(change)

    def _changes(self) -> list[Change]:
        """Return the changes since the last look, oldest first."""
        found: list[Change] = []
        for ticket in self._client.tickets.list(sort="updated_at", order="desc"):
            at = ticket.updated_at
            if at is not None and self._since is not None and at < self._since:
                break
            if ticket.id in self._known and self._known[ticket.id] == at:
                continue
            new = ticket.id not in self._known and at == ticket.created_at
            found.append(Change(ticket, "ticket.created" if new else "ticket.updated"))
        for change in found:
            self._known[change.ticket.id] = change.ticket.updated_at
        self._since = max(filter(None, self._known.values()), default=None)
        return found[::-1]

    def _send(self, change: Change) -> str:
        from dispatch_returns.webhooks.signature import HEADER, sign

        ticket = change.ticket
        body = event_body(
            change.event,
            ticket.id,
            ticket.status,
            self._workspace,
            event_id=change.event_id,
            at=ticket.updated_at or datetime.now(UTC),
        )
        headers = {HEADER: sign(body, self._secret), "Content-Type": "application/json"}
        answer = post(self._url, body, headers)
        if isinstance(answer, str):
            result = f"not received ({answer}); it is sent again"
        elif answer.status_code >= 500:
            result = f"{answer.status_code}; it is sent again"
        else:
            del self._waiting[ticket.id]
            result = str(answer.status_code)
            if answer.status_code == 401:
                result += " (the receiver has another DISPATCH_WEBHOOK_SECRET)"
        now = datetime.now(UTC)
        refund = ticket.custom_fields.get("refund_status")
        state = f"{ticket.status}, refund {refund}" if refund else ticket.status
        return f"{now:%H:%M:%S}  {change.event:<14}  {ticket.id}  {state}  ->  {result}"
