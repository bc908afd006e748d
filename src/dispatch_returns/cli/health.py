"""``health``: the connector's probes, for a process without HTTP, such as a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dispatch_returns.cli.common import database_url, open_store
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Listing, show

if TYPE_CHECKING:
    from dispatch_returns.connector.health import ProbeReport


def health(
    *,
    max_lag: Annotated[
        float, typer.Option(min=0, help="Seconds that the oldest event may wait.")
    ] = 300.0,
    json: Json = False,
) -> None:
    """Check that the store commits and the workers keep up.

    Needs only the database; upgrades nothing. Exits with 1 if the store is not ready or the
    oldest event has waited too long, and with 4 if the database cannot be reached.
    """
    from dispatch_returns.clock import utc_now
    from dispatch_returns.connector.health import Health, ProbeReport
    from dispatch_returns.store import switches
    from dispatch_returns.store.database import mismatch

    problem = mismatch(database_url())
    if problem is not None:
        _report(ProbeReport(False, {"status": "not ready", "problem": problem}), as_json=json)
    with open_store() as store:

        def stopped_by() -> frozenset[str]:
            with store.read() as conn:
                return switches.on(conn)

        probes = Health(store, stopped_by, utc_now)
        ready = probes.ready()
        _report(probes.lag(max_lag) if ready.ok else ready, as_json=json)


def _report(report: ProbeReport, *, as_json: bool) -> NoReturn:
    shown = dict(report.document)
    if "refunds" in shown:
        refunds: dict[str, int] = shown["refunds"]
        counts = [f"{number} {state}" for state, number in sorted(refunds.items())]
        shown["refunds"] = ", ".join(counts) or "none"
    show(report.document, Listing(shown), as_json=as_json)
    raise typer.Exit(0 if report.ok else REFUSED)
