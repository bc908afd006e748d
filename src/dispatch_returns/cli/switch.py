"""``switch`` stops money while the service runs; ``acts`` says who did what. Database only."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dispatch_returns.cli import people
from dispatch_returns.cli.opening import open_store
from dispatch_returns.cli.output import Json, Table, show

if TYPE_CHECKING:
    from sqlalchemy import Connection

Name = Literal["kill", "dry-run"]
"""`store.switches.Switch`, spelled out: importing the store would make ``--help`` slow."""

_SAID = {
    ("kill", True): (
        "The kill switch is on. No worker begins another payment; a call that is under way at"
        " this moment is not stopped. Look-ups go on."
    ),
    ("kill", False): "The kill switch is off. What waited for it is paid within a minute.",
    ("dry-run", True): "Dry run is on. What would be paid is held instead.",
    ("dry-run", False): (
        "Dry run is off. What it held stays held: look with dispatch-returns refunds list"
        " --state held, and pay with dispatch-returns refunds retry."
    ),
}


def switch(
    name: Annotated[
        Name | None, typer.Argument(metavar="kill|dry-run", help="Which. Default: show both.")
    ] = None,
    position: Annotated[
        Literal["on", "off"] | None, typer.Argument(metavar="on|off", help="Where to put it.")
    ] = None,
    *,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Stop payments, or let them go on, while it runs.

    Holds for every process on this database, from its next payment on; off needs --why. A
    service whose own setting is on does not pay, whatever the switch says.
    """
    if (name is None) is not (position is None):
        raise typer.BadParameter("write for example: dispatch-returns switch kill on")
    if name is not None:
        _throw(name, is_on=position == "on", who=people.name(who), why=why)
    with open_store() as store, store.read() as conn:
        documents = [_document(conn, each) for each in ("kill", "dry-run")]
    document = {each["switch"]: each for each in documents}
    said = [_SAID[name, position == "on"], ""] if name is not None else []
    show({"switches": document}, *said, _table(documents), as_json=json)


def acts(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List what people did by hand, newest first.

    To refunds, labels, switches and events; by whom, and why.
    """
    from dispatch_returns.store import audit_log

    with open_store() as store, store.read() as conn:
        found = audit_log.newest(conn, limit=limit)
    table = Table(
        ("at", "who", "act", "on", "why"),
        [(act.at, act.who, act.act, act.subject or act.refund_id, act.why) for act in found],
        empty="Nobody has done anything by hand.",
        whole={"at"},
    )
    show({"acts": [asdict(act) for act in found]}, table, as_json=json)


def _throw(name: Name, *, is_on: bool, who: str, why: str | None) -> None:
    from dispatch_returns.store import switches

    if not is_on and not (why or "").strip():
        raise typer.BadParameter("--why is missing: letting money move again needs a reason")
    now = datetime.now(UTC)
    with open_store() as store:
        store.write(
            "switch.throw",
            lambda conn: switches.throw(
                conn, switches.Switch(name), now, is_on=is_on, who=who, why=why
            ),
        )


def _document(conn: Connection, name: Name) -> dict[str, Any]:
    from dispatch_returns.store import switches

    act = switches.last_thrown(conn, switches.Switch(name))
    return {
        "switch": name,
        "on": name in switches.on(conn),
        "since": act and act.at,
        "who": act and act.who,
        "why": act and act.why,
    }


def _table(documents: list[dict[str, Any]]) -> Table:
    rows = [
        (it["switch"], "on" if it["on"] else "off", it["since"], it["who"], it["why"])
        for it in documents
    ]
    return Table(("switch", "is", "since", "who", "why"), rows, whole={"switch", "since"})
