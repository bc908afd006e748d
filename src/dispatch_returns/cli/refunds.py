"""``refunds list|show|pay|retry|approve|cancel|confirm``: the ledger, and what people do to it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from dispatch_returns.cli import people
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.opening import acting, open_store
from dispatch_returns.cli.output import Json, Listing, Part, Table, plain, show, span, working
from dispatch_returns.errors import RefundStateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.refunds.ledger import Refund
    from dispatch_returns.refunds.ticket_facts import Facts
    from dispatch_returns.store import Store

app = typer.Typer(
    help="List, show, pay, retry, approve, cancel, confirm refunds.\n\n"
    "Looking needs the database alone; acting needs the service's settings.",
    no_args_is_help=True,
)

State = Literal[
    "requested", "sending", "pending", "requires_action", "succeeded",
    "failed", "canceled", "unknown", "held",
]  # fmt: skip
"""`refunds.transitions.State`, spelled out: importing the store would make ``--help`` slow."""

_SHOWN_OF_ID = 12
_NOT_SHOWN = frozenset(
    {"claims", "instructions_email", "approved_minor", "approved_detail", "counted"}
)

_Id = Annotated[
    str,
    typer.Argument(metavar="ID", help="The refund's id, its beginning, or the ticket's id."),
]


@app.command("list")
def list_refunds(
    *,
    state: Annotated[
        State | None,
        typer.Option(metavar="STATE", help=f"Only those that are {', '.join(get_args(State))}."),
    ] = None,
    ticket: Annotated[str | None, typer.Option(help="Only those of this ticket.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List the refunds, newest first."""
    from dispatch_returns.refunds import ledger
    from dispatch_returns.refunds.transitions import State as Standing

    wanted = Standing(state) if state else None
    with open_store() as store, store.read() as conn:
        refunds = ledger.newest(conn, limit=limit, state=wanted, ticket_id=ticket)
    table = Table(
        ("refund", "ticket", "amount", "state", "reason", "age"),
        [_row(refund) for refund in refunds],
        empty="There are no such refunds.",
        whole={"refund", "ticket", "amount"},
    )
    show({"refunds": [_document(refund) for refund in refunds]}, table, as_json=json)


@app.command("show")
def show_refund(refund_id: _Id, *, json: Json = False) -> None:
    """Show a refund and its history.

    The row, every call to the processor, what people did, and what the ticket was told.
    """
    with open_store() as store, store.read() as conn:
        refund = _find(conn, refund_id)
        history = _history(conn, refund)
    tables = [_table(title, rows) for title, rows in history.items() if rows]
    document = {"refund": _document(refund), **history}
    show(document, _listing(refund), *_spaced(tables), as_json=json)


@app.command()
def pay(
    ticket_id: Annotated[str, typer.Argument(metavar="TICKET", help="The ticket's id.")],
    *,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Pay back a ticket that is refunded, without an event.

    Also one that was refunded before this installation went live. What was paid back already is
    not paid again.
    """
    who = people.name(who)
    with acting() as connector, working(f"Paying back {ticket_id}"):
        refund = connector.refund(ticket_id, who=who, why=why)
    _report(refund, as_json=json)


@app.command()
def approve(
    refund_id: _Id,
    *,
    who: Annotated[str, typer.Option("--who", "--by", help="Your name: it is recorded.")],
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Agree to a refund as the second person.

    The approval is for this amount: another amount needs another one.
    """
    from dispatch_returns.refunds import actions

    who = people.name(who)
    with acting() as connector:
        found = _found(connector.store, refund_id)
        ticket = _facts(connector, found)
        refund = actions.approve(connector.refunds, found.id, who=who, facts=ticket, why=why)
    _report(refund, as_json=json)


@app.command()
def cancel(
    refund_id: _Id, *, who: people.Who = None, why: people.Why = None, json: Json = False
) -> None:
    """Give up a refund of which nothing was sent."""
    from dispatch_returns.refunds import actions

    who = people.name(who)
    with acting() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.cancel(connector.refunds, found.id, who=who, why=why)
    _report(refund, as_json=json)


@app.command()
def confirm(
    refund_id: _Id,
    *,
    reference: Annotated[
        str | None, typer.Option(help="The transfer's own number, where it has one.")
    ] = None,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Say that you have paid a refund of the manual adapter."""
    from dispatch_returns.refunds import actions

    who = people.name(who)
    with acting() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.confirm(connector.refunds, found.id, who=who, why=why, reference=reference)
    _report(refund, as_json=json)


@app.command()
def retry(
    refund_id: _Id,
    *,
    nothing_was_paid: Annotated[
        bool,
        typer.Option(
            "--nothing-was-paid",
            help="For an unknown outcome: you have looked at the processor, and it is certainly"
            " not there. Needs --why.",
        ),
    ] = False,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Try a refund again that is held, failed, canceled or unknown.

    An unknown one is looked up at the processor, any other judged anew from its ticket as it is
    now. Exits with 1 if it is held.
    """
    from dispatch_returns.refunds import actions

    who = people.name(who)
    if nothing_was_paid and not (why or "").strip():
        raise typer.BadParameter("--nothing-was-paid needs --why: how do you know?")
    with acting() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.retry(
            connector.refunds,
            found.id,
            who=who,
            why=why,
            facts=_facts(connector, found) if found.state in actions.JUDGED_ANEW else None,
            nothing_was_paid=nothing_was_paid,
        )
    _report(refund, as_json=json)


def _facts(connector: Connector, refund: Refund) -> Facts:
    """Return what the refund's ticket says now."""
    workspace = connector.installation.workspace()
    if refund.workspace_id != workspace:
        raise RefundStateError(
            f"{refund.id} belongs to the workspace {refund.workspace_id}, and DISPATCH_WORKSPACE"
            f" is {workspace}: set it to the refund's"
        )
    with working(f"Reading the ticket {refund.ticket_id}"):
        return connector.facts(connector.client.tickets.get(refund.ticket_id), refund)


def _found(store: Store, text: str) -> Refund:
    with store.read() as conn:
        return _find(conn, text)


def _find(conn: Connection, text: str) -> Refund:
    """Return the one refund that `text` means. Raises `RefundStateError`."""
    from dispatch_returns.refunds import ledger

    found = ledger.matching(conn, text, limit=6) if text else []
    exact = [refund for refund in found if refund.id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise RefundStateError(f"there is no refund {text}: dispatch-returns refunds list")
    some = ", ".join(refund.id for refund in found[:5]) + (" ..." if len(found) > 5 else "")
    raise RefundStateError(f"{text} may mean several refunds: {some}")


def _report(refund: Refund, *, as_json: bool) -> None:
    """Say how the refund stands after an act; one that is held is no success."""
    from dispatch_returns.refunds.transitions import State as Standing

    said: list[Part] = [f"Refund {refund.id} is {refund.state}."]
    if refund.due_at is not None:
        said.append("A running worker takes it up.")
    if refund.state is Standing.HELD:
        said = [f"Refund {refund.id} is held. {refund.detail} {_remedy(refund)}"]
    show({"refund": _document(refund)}, *said, as_json=as_json)
    if refund.state is Standing.HELD:
        raise typer.Exit(REFUSED)


def _row(refund: Refund) -> tuple[object, ...]:
    age = span(datetime.now(UTC) - refund.created_at)
    short = refund.id[:_SHOWN_OF_ID]
    reason = refund.reason and refund.reason.replace("_", " ")
    return short, refund.ticket_id, refund.amount, refund.state, reason, age


def _document(refund: Refund) -> dict[str, Any]:
    shown = plain(refund, without=_NOT_SHOWN)
    return shown | {"idempotency_key": refund.idempotency_key, "remedy": _remedy(refund)}


def _remedy(refund: Refund) -> str | None:
    from dispatch_returns.refunds.guard import REMEDIES, Reason

    return REMEDIES[Reason(refund.reason)] if refund.reason else None


def _listing(refund: Refund) -> Listing:
    document = _document(refund)
    payment = document.pop("payment")
    document["payment"] = payment and f"{payment['kind']} {payment['id']}"
    first = ("id", "state", "reason", "detail", "remedy", "amount", "payment", "ticket_id")
    ordered = [*first, *(name for name in document if name not in first)]
    return Listing({name: document[name] for name in ordered})


def _history(conn: Connection, refund: Refund) -> dict[str, list[dict[str, Any]]]:
    from dispatch_returns.refunds import attempts
    from dispatch_returns.store import audit_log, outbox

    messages = outbox.of_refund(conn, refund.id)
    shown = ("id", "kind", "state", "error", "tries", "created_at", "finished_at")
    return {
        "attempts": [asdict(attempt) for attempt in attempts.of_refund(conn, refund.id)],
        "acts": [asdict(act) for act in audit_log.of_refund(conn, refund.id)],
        "messages": [{name: getattr(message, name) for name in shown} for message in messages],
    }


_COLUMNS = {
    "attempts": ("at", "call", "outcome", "code", "request_id", "message"),
    "acts": ("at", "act", "who", "why"),
    "messages": ("created_at", "kind", "state", "finished_at", "error"),
}


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = _COLUMNS[title]
    headings = [name.replace("_", " ") for name in columns]
    return Table(headings, [[row[name] for name in columns] for row in rows], title=title)


def _spaced(tables: list[Table]) -> list[Part]:
    return [part for table in tables for part in ("", table)]
