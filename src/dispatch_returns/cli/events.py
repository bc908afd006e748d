"""``events list|show|replay|discard``: the inbox. Needs only the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.output import Json, Listing, Part, Table, Verbatim, plain, show, span
from dispatch_returns.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dispatch_returns.store.inbox import StoredEvent

app = typer.Typer(
    help="List, show, replay and discard accepted events.",
    no_args_is_help=True,
)

State = Literal["accepted", "done", "unreadable", "not_shown", "discarded"]
"""`EventState`, written out: importing the store would make ``--help`` slow."""
_Id = Annotated[
    str, typer.Argument(metavar="ID", help="The number in the list, or the event's id.")
]


@app.command("list")
def list_events(
    *,
    state: Annotated[
        State | None,
        typer.Option(metavar="STATE", help=f"Only those that are {', '.join(get_args(State))}."),
    ] = None,
    ticket: Annotated[str | None, typer.Option(help="Only those about this ticket.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List the events, newest first."""
    from dispatch_returns.store import inbox
    from dispatch_returns.store.inbox import EventState

    wanted = EventState(state) if state else None
    with open_store() as store, store.read() as conn:
        events = inbox.newest(conn, limit=limit, state=wanted, ticket_id=ticket)
    now = datetime.now(UTC)
    table = Table(
        ("#", "type", "ticket", "state", "age", "error"),
        [(e.id, e.type, e.ticket_id, e.state, span(now - e.received_at), e.error) for e in events],
        empty="There are no such events.",
        whole={"#", "ticket"},
    )
    show({"events": [_document(event) for event in events]}, table, as_json=json)


@app.command("show")
def show_event(
    event_id: _Id,
    *,
    body: Annotated[
        bool, typer.Option("--body", help="Print the body too; it may contain customers' data.")
    ] = False,
    json: Json = False,
) -> None:
    """Show one event."""
    with open_store() as store, store.read() as conn:
        event = _find(conn, event_id)
    document = _document(event)
    parts: list[Part] = [Listing(document)]
    if body:
        text = event.body.decode(errors="backslashreplace")
        document = document | {"body": text}
        parts += ["", Verbatim([text])]
    show({"event": document}, *parts, as_json=json)


@app.command()
def replay(
    event_id: _Id, *, who: common.Who = None, why: common.Why = None, json: Json = False
) -> None:
    """Process an event again.

    What follows is decided again, from its ticket as it is then. A refund that was already made
    is not made twice.
    """
    from dispatch_returns.store import audit_log, inbox

    who = common.person(who)

    def replay_it(conn: Connection) -> StoredEvent:
        now = datetime.now(UTC)
        event = _find(conn, event_id)
        inbox.replay(conn, event, now)
        audit_log.record(conn, "replay", now, who=who, why=why, subject=f"event {event.event_id}")
        return _find(conn, str(event.id))

    with open_store() as store:
        event = store.write("event.replay", replay_it)
    text = f"Event {event.id} ({event.event_id}) is due now: a running worker will process it."
    show({"event": _document(event)}, text, as_json=json)


@app.command()
def discard(
    event_id: _Id, *, who: common.Who = None, why: common.Why = None, json: Json = False
) -> None:
    """Discard an event, so that nothing follows from it.

    For an event that keeps failing, and so keeps the lag probe from being ok. It stays in the
    inbox, and can be replayed.
    """
    from dispatch_returns.store import audit_log, inbox

    who = common.person(who)
    if not (why or "").strip():
        raise typer.BadParameter("say why it is discarded: --why TEXT")

    def discard_it(conn: Connection) -> StoredEvent:
        now = datetime.now(UTC)
        event = _find(conn, event_id)
        inbox.discard(conn, event, now)
        audit_log.record(conn, "discard", now, who=who, why=why, subject=f"event {event.event_id}")
        return _find(conn, str(event.id))

    with open_store() as store:
        event = store.write("event.discard", discard_it)
    text = f"Event {event.id} ({event.event_id}) is discarded: nothing follows from it."
    show({"event": _document(event)}, text, as_json=json)


def _find(conn: Connection, text: str) -> StoredEvent:
    from dispatch_returns.store import inbox

    # SQLite's row numbers have 63 bits.
    if text.isdecimal() and len(text) < 19 and (event := inbox.get(conn, int(text))):
        return event
    found = inbox.with_event_id(conn, text)
    if not found:
        raise StoreError(f"there is no event {text}: see dispatch-returns events list")
    if len(found) > 1:
        numbers = ", ".join(f"{event.id} ({event.source})" for event in found)
        raise StoreError(f"several events have the id {text}: use the number of one: {numbers}")
    return found[0]


def _document(event: StoredEvent) -> dict[str, Any]:
    return plain(event, without={"body", "claims"})
