"""``switch`` stops payments while the service runs; ``audit-log`` lists what people did.

Both need only the database.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_store
from dispatch_returns.cli.output import Json, Table, show

Name = Literal["kill", "dry-run"]
"""`store.switches.Switch`, written out: importing the store would make ``--help`` slow."""

_OF_ADAPTER = {
    True: (
        "The kill switch of {} is on. No worker starts another payment through it; a call that is"
        " already running is not stopped. Look-ups continue, and so do the other adapters."
    ),
    False: "The kill switch of {} is off. Refunds that waited for it are paid within a minute.",
}
_EFFECTS = {
    ("kill", True): (
        "The kill switch is on. No worker starts another payment; a call that is already running"
        " is not stopped. Look-ups continue."
    ),
    ("kill", False): "The kill switch is off. Refunds that waited for it are paid within a minute.",
    ("dry-run", True): "Dry run is on. Refunds are held instead of paid.",
    ("dry-run", False): (
        "Dry run is off. The refunds that it held stay held: list them with dispatch-returns"
        " refunds list --state held, and pay each with dispatch-returns refunds retry."
    ),
}


def switch(
    name: Annotated[
        Name | None, typer.Argument(metavar="kill|dry-run", help="Which. Default: show both.")
    ] = None,
    position: Annotated[
        Literal["on", "off"] | None, typer.Argument(metavar="on|off", help="Its new position.")
    ] = None,
    *,
    adapter: Annotated[
        str | None,
        typer.Option(help="Only this adapter, by its name in DISPATCH_RETURNS_ADAPTERS."),
    ] = None,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Stop or resume payments while the service runs.

    Applies to every process on this database, from its next payment on; off needs --why. A
    service whose own setting is on does not pay, whatever the switch says.
    """
    from dispatch_returns.store import switches

    if (name is None) is not (position is None):
        raise typer.BadParameter("write for example: dispatch-returns switch kill on")
    if adapter is not None:
        if name != "kill":
            raise typer.BadParameter("only the kill switch has --adapter: switch kill on --adapter")
        from dispatch_returns.connector.settings import adapter_names

        known = adapter_names()
        if position == "on" and adapter not in known:
            problem = f"there is no such adapter, only {', '.join(known)}"
            raise typer.BadParameter(f"--adapter {adapter}: {problem}")
    thrown = name if adapter is None else switches.kill_of(adapter)
    if thrown is not None:
        is_on, thrower = position == "on", common.person(who)
        if not is_on and not (why or "").strip():
            raise typer.BadParameter("--why is missing: resuming payments needs a reason")
        now = datetime.now(UTC)
        with open_store() as store:
            store.write(
                "switch.throw",
                lambda conn: switches.throw(conn, thrown, now, is_on=is_on, who=thrower, why=why),
            )
    documents: dict[str, dict[str, Any]] = {}
    with open_store() as store, store.read() as conn:
        of_adapters = map(switches.kill_of, switches.killed(switches.on(conn)))
        for each in dict.fromkeys(("kill", "dry-run", *of_adapters, *filter(None, [thrown]))):
            action = switches.last_thrown(conn, each)
            documents[each] = {
                "switch": each,
                "on": each in switches.on(conn),
                "since": action and action.at,
                "who": action and action.who,
                "why": action and action.why,
            }
    rows = [
        (it["switch"], "on" if it["on"] else "off", it["since"], it["who"], it["why"])
        for it in documents.values()
    ]
    table = Table(("switch", "is", "since", "who", "why"), rows, whole={"switch", "since"})
    effect: list[str] = []
    if adapter is not None:
        effect = [_OF_ADAPTER[position == "on"].format(adapter), ""]
    elif name is not None:
        effect = [_EFFECTS[name, position == "on"], ""]
    show({"switches": documents}, *effect, table, as_json=json)


def audit_log(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """List what people did by hand, newest first.

    To refunds, labels, switches and events; who did it, and why.
    """
    from dispatch_returns.store import audit_log as log

    with open_store() as store, store.read() as conn:
        found = log.newest(conn, limit=limit)
    table = Table(
        ("at", "who", "action", "on", "why"),
        [(it.at, it.who, it.action, it.subject or it.refund_id, it.why) for it in found],
        empty="Nothing has been done by hand.",
        whole={"at"},
    )
    show({"actions": [asdict(it) for it in found]}, table, as_json=json)
