"""``labels show|void|sample``: the labels of returns, and a sample."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Part, Table, plain, show, working

app = typer.Typer(help="Show and void the labels of returns; write a sample.", no_args_is_help=True)

_Which = Annotated[
    str, typer.Argument(metavar="TICKET", help="The ticket's id, or the number on the label.")
]
_COLUMNS = (
    "parcel", "state", "provider", "provider_id", "tracking_number", "cost", "expires_at", "error",
)  # fmt: skip


@app.command("show")
def show_labels(
    ticket: _Which,
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the PDF of the label that the customer can use."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the labels of a return, or write the one in use to a file.

    The file is the document that the customer got. Needs only the database.
    """
    from dispatch_returns.returns import label_records
    from dispatch_returns.returns.service import found
    from dispatch_returns.returns.void_label import usable

    with open_store() as store, store.read() as conn:
        row = found(conn, ticket)
        known = label_records.of_return(conn, row.id)
    document = {
        "ticket": row.ticket_id,
        "return": row.number,
        "labels": [plain(it, without={"pdf"}) for it in known],
        "file": None if out is None else str(out),
    }
    rows = [[getattr(it, name) for name in _COLUMNS] for it in known]
    headings = [name.replace("_", " ") for name in _COLUMNS]
    part: Part = Table(headings, rows, empty="It has no label yet.", whole={"provider id"})
    if out is not None:
        pdf = usable(row, known).pdf
        assert pdf is not None  # a label that was bought has its document
        common.write(out, pdf)
        part = f"Wrote the label of {row.ticket_id} ({row.number}) to {out}"
    show(document, part, as_json=json)


@app.command()
def void(
    ticket: _Which,
    *,
    why: Annotated[str, typer.Option(help="Why; it is recorded.")],
    who: common.Who = None,
    json: Json = False,
) -> None:
    """Void the label of a return at the provider that sold it.

    For a label that will not be used, such as one with a wrong address. It is voided once, however
    often this is run; a note on the ticket says who did it, and why. Exits with 1 if the cost is
    not refunded, or nothing was done.
    """
    from dispatch_returns.clock import utc_now
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.returns import void_label
    from dispatch_returns.returns.label_records import LabelState
    from dispatch_returns.returns.labels import registry

    name = common.person(who)
    if not why.strip():
        raise typer.BadParameter("--why is empty: voiding a label needs a reason")
    settings = Settings.from_env()
    provider = registry.load(settings.labels, settings.label_options)
    with contextlib.closing(provider), open_store() as store, working("Voiding the label"):
        done = void_label.void(store, provider, utc_now, ticket, who=name, why=why.strip())
    document = {
        "ticket": done.row.ticket_id,
        "return": done.row.number,
        "label": plain(done.label, without={"pdf"}),
    }
    show(document, done.said, as_json=json)
    if done.label.state is not LabelState.VOIDED:
        raise typer.Exit(REFUSED)


@app.command()
def sample(
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The PDF to write.")],
    language: Annotated[str, typer.Option(help="en or de.")] = "en",
    paper: Annotated[str, typer.Option(help="A4 or Letter.")] = "A4",
    font: Annotated[
        Path | None, typer.Option(help="A TrueType file, for scripts that ours lacks.")
    ] = None,
    _sample: Annotated[
        bool, typer.Option("--sample", hidden=True, help="The old command `label` had this option.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the label of a made-up return.

    To look at, and to try a scanner with.
    """
    from dispatch_returns.returns.labels import registry
    from dispatch_returns.returns.labels.provider import Address, LabelRequest, PackingLine

    request = LabelRequest(
        key="sample",
        ticket_id="tkt_sample",
        return_number="RET-2026-001234",
        recipient=Address("Acme Returns", "Dock Street 4", "Berlin", "10115", "DE"),
        sender=Address("Jane Doe", "Elm Street 12", "Hamburg", "20095", "DE"),
        lines=(
            PackingLine("SKU-001", 2, "Wool jumper, navy"),
            PackingLine("SKU-002", 1, "Leather belt"),
        ),
        created_at=datetime(2026, 1, 15, 9, 0, tzinfo=UTC),
        order_id="1234",
        reason="wrong_size",
        send_by=date(2026, 2, 14),
        language=language,
    )
    options = {"paper": paper, **({"font": str(font)} if font else {})}
    made = registry.load("printable", options).buy(request)
    common.write(out, made.pdf)
    show({"file": str(out), "bytes": len(made.pdf)}, f"Wrote {out}", as_json=json)
