"""``customers export|erase``: what is stored of one person."""

from __future__ import annotations

import json as jsonlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dispatch_returns.cli import files, people
from dispatch_returns.cli.opening import open_store
from dispatch_returns.cli.output import Json, Listing, show

app = typer.Typer(help="What is stored of one customer.", no_args_is_help=True)

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
    """Show all that is stored of a customer.

    Events, returns, labels, refunds and messages.
    """
    from dispatch_returns.connector import customers

    with open_store() as store:
        found = customers.export(store, _checked(address))
    counts = {name: len(rows) for name, rows in found.items() if name != "address"}
    if out is not None:
        files.write(out, jsonlib.dumps(found, indent=2, default=str).encode())
        document = {"file": str(out), **counts}
        show(document, Listing(document), as_json=json)
        return
    show(found, Listing(counts), "--out FILE or --json shows the whole.", as_json=json)


@app.command()
def erase(
    address: Address,
    *,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Remove what names a customer, where the books need it no longer.

    Amounts, ids and times stay. What is under way stays until it is over: run it again then.
    That it was done is recorded, without the address.
    """
    from dispatch_returns.connector import customers

    name = people.name(who)
    with open_store() as store:
        done = customers.erase(store, _checked(address), datetime.now(UTC), who=name, why=why)
    left = f"Still under way, run it again later: {', '.join(done.kept)}." if done.kept else ""
    document = {"removed": done.removed, "kept": list(done.kept)}
    show(document, Listing(done.removed), *filter(None, [left]), as_json=json)


def _checked(address: str) -> str:
    if "@" not in address.strip().strip("@"):
        raise typer.BadParameter("ADDRESS is no e-mail address")
    return address.strip()
