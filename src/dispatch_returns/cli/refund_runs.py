"""``refunds pay`` and ``refunds export``: one or many tickets, and the ledger for bookkeeping."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_connector, open_store
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Table, show, spreadsheet_cell, working
from dispatch_returns.cli.refunds import report
from dispatch_returns.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    DispatchReturnsError,
    PermissionDeniedError,
)

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.money import Money
    from dispatch_returns.refunds.ledger import Refund

_FOR_ALL = (ConfigurationError, AuthenticationError, PermissionDeniedError)
"""Errors that the next ticket would meet too."""


def pay(
    tickets: Annotated[
        list[str] | None, typer.Argument(metavar="[TICKET]...", help="The tickets' ids.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="More ids: one on each line, or the first column of a CSV; - is stdin.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be paid.")
    ] = False,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Pay back tickets that are refunded, without an event.

    Also those that were refunded before this installation went live. What was already paid is not
    paid again, so a run that was interrupted is simply started again. With several tickets, one
    that fails stops no other. Exits with 1 if not all of them are paid, or on their way.
    """
    ids = list(dict.fromkeys([*(tickets or ()), *(_ids_in(file) if file else ())]))
    if not ids:
        raise typer.BadParameter("give a ticket's id, or --file")
    who = common.person(who)
    with open_connector() as connector:
        if len(ids) == 1 and file is None and not dry_run:
            with working(f"Paying back {ids[0]}"):
                refund = connector.refund(ids[0], who=who, why=why)
            report(refund, as_json=json)
            return
        results: list[PaidTicket] = []
        for number, ticket in enumerate(ids, start=1):
            with working(f"{number} of {len(ids)}: {ticket}"), _or_refused(ticket, results):
                if dry_run:
                    results.append(_would_pay(connector, ticket))
                else:
                    results.append(_paid(connector, ticket, who, why))
    totals = _totals(results)
    document = {
        "dry_run": dry_run,
        "tickets": [asdict(it) | {"amount": it.amount} for it in results],
        "totals": totals,
    }
    table = Table(
        ("ticket", "amount", "result", "why"),
        [(it.ticket, it.amount, it.result, it.why) for it in results],
        whole={"ticket", "amount"},
    )
    counts = Counter(it.result for it in results)
    lines = [", ".join(f"{number} {result}" for result, number in counts.items()) + "."]
    lines += [f"{it['result']}: {it['amount']} {it['currency']}" for it in totals]
    show(document, table, "", *lines, as_json=json)
    if not all(it.fine for it in results):
        raise typer.Exit(REFUSED)


@dataclass(frozen=True, slots=True)
class PaidTicket:
    """What came of one ticket: `result` is the refund's state, or ``refused``."""

    ticket: str
    result: str
    amount: Money | None = None
    why: str | None = None
    refund: str | None = None

    @property
    def fine(self) -> bool:
        """Whether a person need not look."""
        return self.result in {
            "succeeded", "paid before", "requested", "sending", "pending", "would be paid",
        }  # fmt: skip


@contextlib.contextmanager
def _or_refused(ticket: str, results: list[PaidTicket]) -> Generator[None]:
    """Note an error that concerns this ticket alone; others end the run."""
    try:
        yield
    except _FOR_ALL:
        raise
    except DispatchReturnsError as error:
        why = error.message if isinstance(error, APIError) else str(error)
        results.append(PaidTicket(ticket, "refused", why=why))


def _paid(connector: Connector, ticket: str, who: str, why: str | None) -> PaidTicket:
    before = {it.id for it in connector.refunds_of(ticket) if it.state == "succeeded"}
    refund = connector.refund(ticket, who=who, why=why)
    result = "paid before" if refund.id in before else str(refund.state)
    return PaidTicket(ticket, result, refund.amount, refund.detail, refund.id)


def _would_pay(connector: Connector, ticket_id: str) -> PaidTicket:
    """Judge a ticket as a payment would, and write nothing."""
    ticket = connector.client.tickets.get(ticket_id)
    wanted = connector.settings.refunded_status
    if ticket.status != wanted:
        return PaidTicket(ticket_id, "refused", why=f"it is {ticket.status}, not {wanted}")
    decision = connector.refunds.intake.evaluate(connector.facts(ticket))
    known = [it for it in connector.refunds_of(ticket_id) if it.id == decision.row_id]
    if known and known[0].state not in {"held", "requested"}:
        refund = known[0]
        result = "paid before" if refund.state == "succeeded" else str(refund.state)
        return PaidTicket(ticket_id, result, refund.amount, refund.detail, refund.id)
    hold = decision.hold or next(iter(decision.doubts), None)
    if hold is not None:
        return PaidTicket(ticket_id, "would be held", decision.amount, hold.detail)
    return PaidTicket(ticket_id, "would be paid", decision.amount)


def _ids_in(name: str) -> Iterator[str]:
    """Return the first column of a file, without a heading that is no ticket's id."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"--file: {name} cannot be read: {why}") from None
    rows = [row[0].strip() for row in csv.reader(io.StringIO(text)) if row and row[0].strip()]
    for number, cell in enumerate(rows):
        if number == 0 and cell.lower() in {"ticket", "ticket_id", "id"}:
            continue
        if not cell.startswith("#"):
            yield cell


def _totals(results: Iterable[PaidTicket]) -> list[dict[str, str]]:
    """Return the sum of each result, by currency."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for it in results:
        if it.amount is not None:
            sums[it.result, it.amount.currency] += it.amount.major
    return [
        {"result": result, "currency": currency, "amount": str(amount)}
        for (result, currency), amount in sorted(sums.items())
    ]


_DAY = "%Y-%m-%d"


def export(
    *,
    file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Where to. Default: stdout.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=[_DAY], help="Only refunds made on this day (UTC) or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=[_DAY], help="Only refunds made before this day (UTC)."),
    ] = None,
    every_state: Annotated[
        bool, typer.Option("--every-state", help="Also those that are not succeeded.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the refunds for bookkeeping, oldest first, as CSV.

    Amounts are in major units. A text that a spreadsheet would take for a formula has an
    apostrophe before it.
    """
    with open_store() as store, store.read() as conn:
        found = [
            refund
            for refund in _every(conn, _start(since), _start(until))
            if every_state or refund.state == "succeeded"
        ]
    rows = [dict(zip(_COLUMNS, _cells(refund), strict=True)) for refund in found]
    if json:
        show({"refunds": rows}, as_json=True)
        return
    written = io.StringIO()
    table = csv.DictWriter(written, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in rows)
    if file is None:
        sys.stdout.write(written.getvalue())
    else:
        common.write(file, written.getvalue())
        show({}, f"{len(rows)} refunds are in {file}.", as_json=False)


_COLUMNS = (
    "refund", "ticket", "order", "state", "amount", "currency", "processor", "processor_id",
    "payment", "tracing_number", "made_elsewhere", "created_at", "sent_at", "updated_at",
)  # fmt: skip


def _cells(refund: Refund) -> Sequence[str | None]:
    return (
        refund.id,
        refund.ticket_id,
        refund.order_id,
        str(refund.state),
        str(refund.amount.major) if refund.amount else None,
        refund.amount.currency if refund.amount else None,
        refund.adapter,
        refund.processor_id,
        refund.payment["id"] if refund.payment else None,
        refund.arn,
        "yes" if refund.adopted else "no",
        _iso(refund.created_at),
        _iso(refund.first_sent_at),
        _iso(refund.updated_at),
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _every(conn: Any, since: datetime | None, until: datetime | None) -> Iterator[Refund]:
    from dispatch_returns.refunds import ledger

    last: Refund | None = None
    while page := ledger.page(conn, last, since=since, until=until):
        yield from page
        last = page[-1]


def _start(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
