"""``label``: print a sample of the label that needs no account."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli.output import Json, show

if TYPE_CHECKING:
    from dispatch_returns.workflow.labels.provider import LabelRequest


def label(
    *,
    out: Annotated[Path, typer.Option(help="The PDF to write.")],
    language: Annotated[str, typer.Option(help="en or de.")] = "en",
    paper: Annotated[str, typer.Option(help="A4 or Letter.")] = "A4",
    font: Annotated[
        Path | None, typer.Option(help="A TrueType file, for scripts that ours lacks.")
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Of a made-up return. There is no other yet.")
    ],
    json: Json = False,
) -> None:
    """Print the return label of a made-up return, to look at and to try a scanner with."""
    from dispatch_returns.workflow.labels import registry

    if not sample:
        raise typer.BadParameter("say --sample: labels of returns are made by the workflow")
    options = {"paper": paper, **({"font": str(font)} if font else {})}
    made = registry.load("printable", options).buy(_request(language))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(made.pdf)
    show({"file": str(out), "bytes": len(made.pdf)}, f"Wrote {out}", as_json=json)


def _request(language: str) -> LabelRequest:
    from dispatch_returns.workflow.labels.provider import Address, LabelRequest, PackingLine

    return LabelRequest(
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
