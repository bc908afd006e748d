"""``returns list|show``, ``receive`` and ``timeline``: returns, receipts and their timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.output import Json, Listing, Part, Table, Toned, plain, show, span
from dispatch_returns.returns.steps.statuses import StatusNames, Step

if TYPE_CHECKING:
    from dispatch_returns.refunds.ledger import Refund
    from dispatch_returns.returns.records import Return
    from dispatch_returns.returns.timeline.story import Moment

app = typer.Typer(help="List and show returns. Needs only the database.", no_args_is_help=True)

_Which = Annotated[
    str, typer.Argument(metavar="TICKET", help="The ticket's id, or the number on the label.")
]
_NOT_SHOWN = frozenset({"claims", "customer", "working", "woken", "planned"})


@app.command("list")
def list_returns(
    *,
    step: Annotated[
        Step | None,
        typer.Option(metavar="STEP", help=f"Only those at {', '.join(Step)}."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List the returns, newest first."""
    from dispatch_returns.returns import records

    with open_store() as store, store.read() as conn:
        found = records.newest(conn, limit=limit, step=step)
    now = datetime.now(UTC)
    table = Table(
        ("return", "ticket", "order", "step", "since", "put off"),
        [
            (it.number, it.ticket_id, it.order_id, it.step, span(now - it.entered_at), it.error)
            for it in found
        ],
        empty="There are no such returns.",
        whole={"return", "ticket"},
    )
    show({"returns": [_document(it) for it in found]}, table, as_json=json)


@app.command("show")
def show_return(ticket: _Which, *, json: Json = False) -> None:
    """Show a return: its step, its labels, and what arrived."""
    from dispatch_returns.returns import label_records, receipts
    from dispatch_returns.returns.service import found
    from dispatch_returns.returns.steps.eligibility import item_lines

    with open_store() as store, store.read() as conn:
        row = found(conn, ticket)
        sent = label_records.of_return(conn, row.id)
        arrived = receipts.of_return(conn, row.id)
    document = {
        "return": _document(row),
        "labels": [plain(it, without={"pdf"}) for it in sent],
        "receipts": [plain(it) for it in arrived],
    }
    values = {**_document(row), "items": item_lines(row.items), "terms": None}
    parts: list[Part] = [Listing(values)]
    parts += _table("labels", _LABELS, sent)
    parts += _table("receipts", _RECEIPTS, arrived)
    show(document, *parts, as_json=json)


def receive(
    ticket: _Which,
    *,
    condition: Annotated[
        str, typer.Option(help="Its condition: one that your policy names, such as good.")
    ],
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SKU=QTY",
            help="What arrived; may be given several times. Default: everything that is expected"
            " and has not arrived yet.",
        ),
    ] = None,
    received_on: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="When it arrived. Default: today (UTC)."),
    ] = None,
    who: common.Who = None,
    json: Json = False,
) -> None:
    """Record what arrived at the warehouse.

    A running worker then calculates the refund amount and updates the ticket.
    """
    from dispatch_returns.clock import utc_now
    from dispatch_returns.returns import service

    name = common.person(who)
    lines: list[dict[str, Any]] = []
    for text in line or ():
        sku, equals, quantity = text.rpartition("=")
        if not equals or not sku.strip() or not quantity.isdecimal() or not int(quantity):
            raise typer.BadParameter(f"--line {text}: write SKU=QTY, such as SKU-001=2")
        lines.append({"sku": sku, "quantity": int(quantity)})
    with open_store() as store:
        receipt = service.receive(
            store,
            utc_now,
            ticket,
            lines=lines or None,
            condition=condition,
            received_date=received_on and received_on.date(),
            who=name,
        )
        row = service.read(store, ticket)
    items = ", ".join(f"{it['quantity']} x {it['sku']}" for it in receipt.lines)
    text = (
        f"Parcel {receipt.ordinal} of {row.ticket_id} ({row.number}) is recorded: {items},"
        f" {condition}. A running worker will process it."
    )
    show({"return": _document(row), "receipt": plain(receipt)}, text, as_json=json)


def timeline(
    ticket: _Which,
    *,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a single self-contained HTML page."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the timeline of a return.

    Steps, decisions, parcels, money and messages: who did what, when, and why. Where there is no
    policy, of the ticket's refunds.
    """
    from dispatch_returns.connector.settings import status_names
    from dispatch_returns.returns import records
    from dispatch_returns.returns.service import found
    from dispatch_returns.returns.timeline import page
    from dispatch_returns.returns.timeline.story import refund_moments, refunds_of, story_of

    with open_store() as store, store.read() as conn:
        refunds = refunds_of(conn, ticket)
        if refunds and not records.matching(conn, ticket, limit=1):
            moments = refund_moments(conn, ticket, refunds)
            _show_refunds(ticket, refunds, moments, html, as_json=json)
            return
        story = story_of(conn, found(conn, ticket))
    parts = _timeline_parts(story.facts, story.moments)
    if html is not None:
        statuses = StatusNames(status_names())
        common.write(html, page.render(story, statuses, datetime.now(UTC)))
        parts = [f"The timeline of {story.row.ticket_id} is in {html}."]
    document = {
        "return": _document(story.row),
        "facts": story.facts,
        "moments": [plain(moment) for moment in story.moments],
    }
    show(document, *parts, as_json=json)


_LABELS = ("parcel", "state", "provider", "provider_id", "tracking_number", "cost", "error")
_RECEIPTS = ("ordinal", "state", "received_date", "amount", "who", "detail")


def _table(title: str, columns: tuple[str, ...], records: Sequence[object]) -> list[Part]:
    rows = [[getattr(record, name) for name in columns] for record in records]
    headings = [name.replace("_", " ") for name in columns]
    return ["", Table(headings, rows, title=title)] if rows else []


def _document(row: Return) -> dict[str, Any]:
    return plain(row, without=_NOT_SHOWN)


def _show_refunds(
    ticket: str,
    refunds: Sequence[Refund],
    moments: Sequence[Moment],
    html: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show the timeline of a ticket that is no return of a policy."""
    if html is not None:
        raise typer.BadParameter("--html: there is a page only for returns with a policy")
    facts = {
        "ticket": ticket,
        "order": next((it.order_id for it in refunds if it.order_id), None),
        "refund": ", ".join(f"{it.amount or 'no amount'} ({it.state})" for it in refunds),
    }
    document = {"return": None, "facts": facts, "moments": [plain(it) for it in moments]}
    show(document, *_timeline_parts(facts, moments), as_json=as_json)


def _timeline_parts(facts: Mapping[str, object], moments: Sequence[Moment]) -> list[Part]:
    parts: list[Part] = [Listing(facts)]
    day = None
    for moment in moments:
        if moment.day != day:
            day = moment.day
            parts += ["", Toned(day, "bold")]
        style = {"good": "green", "look": "yellow", "bad": "red"}.get(moment.tone, "")
        title = moment.title.replace("_", " ")
        weight = "bold " if moment.kind == "step" else ""
        parts.append(
            Toned(
                f"{moment.at:%H:%M:%S}  {moment.kind:<9} {title}  ({moment.who})",
                f"{weight}{style}".strip(),
            )
        )
        parts += [Toned(f"{'':22}{line}", "dim") for line in moment.lines]
    return parts
