"""``customers export|erase``: what is stored about one customer."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.output import Json, Listing, show

app = typer.Typer(help="Show or erase what is stored about one customer.", no_args_is_help=True)

Address = Annotated[str, typer.Argument(help="The customer's e-mail address.")]


@app.command()
def export(
    address: Address,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write it to this file, which only you may read.")
    ] = None,
    json: Json = False,
) -> None:
    """Show everything that is stored about a customer.

    Events, returns, labels, refunds and messages.
    """
    from dispatch_returns.connector import customers

    with open_store() as store:
        found = customers.export(store, _checked(address))
    counts = {name: len(rows) for name, rows in found.items() if name != "address"}
    if out is not None:
        common.write(out, jsonlib.dumps(found, indent=2, default=str).encode())
        document = {"file": str(out), **counts}
        show(document, Listing(document), as_json=json)
        return
    show(found, Listing(counts), "--out FILE or --json shows everything.", as_json=json)


@app.command()
def erase(
    address: Address,
    *,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Erase what identifies a customer.

    Amounts, ids and times are kept for accounting. Returns and refunds in progress stay until they
    are finished: run this again then. The audit log records that it was done, without the address.
    """
    from dispatch_returns.connector import customers

    name = common.person(who)
    with open_store() as store:
        done = customers.erase(store, _checked(address), datetime.now(UTC), who=name, why=why)
    document = {"removed": done.removed, "kept": list(done.kept)}
    left = [f"Still in progress, run this again later: {', '.join(done.kept)}."]
    show(document, Listing(done.removed), *(left if done.kept else []), as_json=json)


def _checked(address: str) -> str:
    if "@" not in address.strip().strip("@"):
        raise typer.BadParameter("ADDRESS is not an e-mail address")
    return address.strip()
