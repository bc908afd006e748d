"""``refunds list|show|retry|approve|cancel|confirm``: the ledger, and people's actions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_connector, open_store
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Listing, Part, Table, plain, show, span, working
from dispatch_returns.errors import RefundStateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.refunds.ledger import Refund
    from dispatch_returns.refunds.ticket_facts import TicketFacts
    from dispatch_returns.store import Store

app = typer.Typer(
    help="List, show, pay, retry, approve, cancel, export refunds.\n\n"
    "list, show and export need only the database; the others need the service's settings.",
    no_args_is_help=True,
)

State = Literal[
    "requested", "sending", "pending", "requires_action", "succeeded", "voided",
    "failed", "canceled", "unknown", "held",
]  # fmt: skip
"""`refunds.transitions.State`, written out: its import would make ``--help`` slow."""

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
    order: Annotated[str | None, typer.Option(help="Only those of this order.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only those held for this reason, such as no_payment.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List the refunds, newest first."""
    from dispatch_returns.refunds import ledger
    from dispatch_returns.refunds.transitions import State as RefundState

    wanted = RefundState(state) if state else None
    with open_store() as store, store.read() as conn:
        refunds = ledger.newest(
            conn, limit=limit, state=wanted, ticket_id=ticket, order_id=order, reason=reason
        )
    now = datetime.now(UTC)
    table = Table(
        ("refund", "ticket", "order", "amount", "state", "age"),
        [
            (
                it.id[:_SHOWN_OF_ID],
                it.ticket_id,
                it.order_id,
                it.amount,
                f"{it.state}: {it.reason.replace('_', ' ')}" if it.reason else it.state,
                span(now - it.created_at),
            )
            for it in refunds
        ],
        empty="There are no such refunds.",
        whole={"refund", "ticket", "amount"},
    )
    show({"refunds": [_document(refund) for refund in refunds]}, table, as_json=json)


@app.command("show")
def show_refund(refund_id: _Id, *, json: Json = False) -> None:
    """Show a refund and its history.

    The row, every call to the processor, what people did, and the messages about it.
    """
    from dispatch_returns.refunds import attempts
    from dispatch_returns.store import audit_log, outbox

    with open_store() as store, store.read() as conn:
        refund = _find(conn, refund_id)
        history = {
            "attempts": [asdict(it) for it in attempts.of_refund(conn, refund.id)],
            "actions": [asdict(it) for it in audit_log.of_refund(conn, refund.id)],
            "messages": [
                {name: getattr(message, name) for name in _SHOWN_OF_MESSAGE}
                for message in outbox.of_refund(conn, refund.id)
            ],
        }
    document = _document(refund)
    payment = document["payment"]
    values = document | {"payment": payment and f"{payment['kind']} {payment['id']}"}
    first = ("id", "state", "reason", "detail", "remedy", "amount", "payment", "ticket_id")
    values = {name: values[name] for name in (*first, *values)}
    parts: list[Part] = [Listing(values)]
    for title, rows in history.items():
        if rows:
            columns = _COLUMNS[title]
            headings = [name.replace("_", " ") for name in columns]
            cells = [[row[name] for name in columns] for row in rows]
            parts += ["", Table(headings, cells, title=title)]
    show({"refund": document, **history}, *parts, as_json=json)


@app.command()
def approve(
    refund_id: _Id,
    *,
    who: Annotated[str, typer.Option("--who", "--by", help="Your name; it is recorded.")],
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Approve a refund as the second person.

    The approval is for this amount: a different amount needs another approval.
    """
    from dispatch_returns.refunds import actions

    who = common.person(who)
    with open_connector() as connector:
        found = _found(connector.store, refund_id)
        ticket = _facts(connector, found)
        refund = actions.approve(connector.refunds, found.id, who=who, facts=ticket, why=why)
    report(refund, as_json=json)


@app.command()
def cancel(
    refund_id: _Id, *, who: common.Who = None, why: common.Why = None, json: Json = False
) -> None:
    """Cancel a refund that was not sent to the processor."""
    from dispatch_returns.refunds import actions

    who = common.person(who)
    with open_connector() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.cancel(connector.refunds, found.id, who=who, why=why)
    report(refund, as_json=json)


@app.command()
def confirm(
    refund_id: _Id,
    *,
    reference: Annotated[
        str | None, typer.Option(help="The transfer's own number, where it has one.")
    ] = None,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Confirm that you have paid a refund of the manual adapter."""
    from dispatch_returns.refunds import actions

    who = common.person(who)
    with open_connector() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.confirm(connector.refunds, found.id, who=who, why=why, reference=reference)
    report(refund, as_json=json)


@app.command()
def retry(
    refund_id: _Id,
    *,
    nothing_was_paid: Annotated[
        bool,
        typer.Option(
            "--nothing-was-paid",
            help="For an unknown outcome: you have checked at the processor that the refund does"
            " not exist. Needs --why.",
        ),
    ] = False,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Try a refund again that is held, failed, canceled or unknown.

    An unknown one is looked up at the processor; any other is decided again from its ticket as it
    is now. Exits with 1 if it is held.
    """
    from dispatch_returns.refunds import actions

    who = common.person(who)
    if nothing_was_paid and not (why or "").strip():
        raise typer.BadParameter("--nothing-was-paid needs --why: say how you know it")
    with open_connector() as connector:
        found = _found(connector.store, refund_id)
        refund = actions.retry(
            connector.refunds,
            found.id,
            who=who,
            why=why,
            facts=_facts(connector, found) if found.state in actions.EVALUATED_AGAIN else None,
            nothing_was_paid=nothing_was_paid,
        )
    report(refund, as_json=json)


def _facts(connector: Connector, refund: Refund) -> TicketFacts:
    """Return the facts of the refund's ticket as it is now."""
    workspace = connector.installation.workspace()
    if refund.workspace_id != workspace:
        raise RefundStateError(
            f"{refund.id} belongs to the workspace {refund.workspace_id}, but DISPATCH_WORKSPACE"
            f" is {workspace}: set it to the refund's workspace"
        )
    with working(f"Reading the ticket {refund.ticket_id}"):
        return connector.facts(connector.client.tickets.get(refund.ticket_id), refund)


def _found(store: Store, text: str) -> Refund:
    with store.read() as conn:
        return _find(conn, text)


def _find(conn: Connection, text: str) -> Refund:
    """Return the one refund that `text` matches. Raises `RefundStateError`."""
    from dispatch_returns.refunds import ledger

    found = ledger.matching(conn, text, limit=6) if text else []
    exact = [refund for refund in found if refund.id == text]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise RefundStateError(f"there is no refund {text}: see dispatch-returns refunds list")
    some = ", ".join(refund.id for refund in found[:5]) + (" ..." if len(found) > 5 else "")
    raise RefundStateError(f"{text} matches several refunds: {some}")


def report(refund: Refund, *, as_json: bool) -> None:
    """Print the state of a refund after an action; one that is held is not a success."""
    from dispatch_returns.refunds.transitions import State as RefundState

    parts: list[Part] = [f"Refund {refund.id} is {refund.state}."]
    if refund.due_at is not None:
        parts.append("A running worker will process it.")
    if refund.state is RefundState.HELD:
        parts = [f"Refund {refund.id} is held. {refund.detail} {_remedy(refund)}"]
    show({"refund": _document(refund)}, *parts, as_json=as_json)
    if refund.state is RefundState.HELD:
        raise typer.Exit(REFUSED)


def _document(refund: Refund) -> dict[str, Any]:
    shown = plain(refund, without=_NOT_SHOWN)
    return shown | {"idempotency_key": refund.idempotency_key, "remedy": _remedy(refund)}


def _remedy(refund: Refund) -> str | None:
    from dispatch_returns.refunds.guard import REMEDIES, Reason

    return REMEDIES[Reason(refund.reason)] if refund.reason else None


_COLUMNS = {
    "attempts": ("at", "call", "outcome", "code", "request_id", "message"),
    "actions": ("at", "action", "who", "why"),
    "messages": ("created_at", "kind", "state", "finished_at", "error"),
}
_SHOWN_OF_MESSAGE = ("id", "kind", "state", "error", "tries", "created_at", "finished_at")
