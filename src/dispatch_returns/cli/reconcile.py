"""``reconcile``: compares the tickets, the ledger and the processor's refunds."""

from __future__ import annotations

import contextlib
import csv as csvlib
import json as jsonlib
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import open_connector
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Part, Table, show, spreadsheet_cell

if TYPE_CHECKING:
    from rich.progress import TaskID

    from dispatch_returns.connector.reconcile.compare import ReconcileReport
    from dispatch_returns.connector.reconcile.discrepancies import Discrepancy

_SHOWN = 100
_COLUMNS = ("cause", "ticket", "refund", "processor_id", "detail", "why", "remedy", "fixed")
_SPAN = re.compile(r"([0-9]{1,5})([hd])")


def reconcile(
    *,
    since: Annotated[
        str | None,
        typer.Option(help="Only what happened since: 7d, 12h, or 2026-01-31 (UTC). Default: all."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what happened before it.")] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Fix what can be fixed without a guess: enter a ticket whose event never arrived,"
            " adopt a refund, record the processor's answer. It pays nothing itself.",
        ),
    ] = False,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print lines of CSV.")] = False,
) -> None:
    """Compare tickets, ledger and the processor's refunds.

    Reports each discrepancy with its cause and what to do. Exits with 1 if any is open.
    """
    from dispatch_returns.store import audit_log

    if json and csv:
        raise typer.BadParameter("--json and --csv: choose one")
    name = common.person(who) if fix else ""
    now = datetime.now(UTC)
    start, end = _moment("--since", since, now), _moment("--until", until, now)
    # In a file until all are known: there may be as many as tickets.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:

        def keep(found: Discrepancy) -> None:
            file.write(jsonlib.dumps(found.as_record()) + "\n")

        with open_connector() as connector, _progress() as progress:
            if fix:  # recorded before the first one is fixed
                subject = f"reconcile since {since or 'the beginning'}"
                connector.store.write(
                    "act.reconcile",
                    lambda conn: audit_log.record(
                        conn, "fix", now, who=name, why=why, subject=subject
                    ),
                )
            report = connector.reconciler.run(
                keep, since=start, until=end, fix=fix, progress=progress
            )
        file.seek(0)
        found = map(jsonlib.loads, file)
        if csv:
            writer = csvlib.writer(sys.stdout, lineterminator="\n")
            writer.writerow(_COLUMNS)
            for it in found:
                writer.writerow([spreadsheet_cell(it[name]) for name in _COLUMNS])
        elif json:
            head: dict[str, object] = {
                "lines": report.lines,
                "count": report.discrepancies,
                "open": report.open,
                "not_compared": {name: it.message for name, it in report.silent.items()},
            }
            sys.stdout.write(jsonlib.dumps(head)[:-1] + ', "discrepancies": [')
            for number, it in enumerate(found):
                sys.stdout.write((",\n" if number else "\n") + jsonlib.dumps(it))
            sys.stdout.write("\n]}\n")
            sys.stdout.flush()
        else:
            show({}, *_parts(report, found), as_json=False)
    for error in report.silent.values():
        raise error
    if report.open:
        raise typer.Exit(REFUSED)


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """Read ``7d``, ``12h`` or an ISO date or time; UTC if it has no time zone."""
    if text is None:
        return None
    if found := _SPAN.fullmatch(text):
        unit = {"d": timedelta(days=1), "h": timedelta(hours=1)}[found[2]]
        return now - int(found[1]) * unit
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: write 7d, 12h or 2026-01-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str, int], None]]:
    """Show on a terminal how much of each list is read; its length is not known in advance."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show_count(name: str, count: int) -> None:
            if name not in tasks:
                for known in tasks.values():
                    bars.update(known, total=bars.tasks[known].completed)
                tasks[name] = bars.add_task(name, total=None)
            bars.update(tasks[name], completed=count)

        yield show_count


def _parts(report: ReconcileReport, found: Iterator[Any]) -> list[Part]:
    shown = list(islice(found, _SHOWN))
    fixed = {None: None, True: "fixed", False: "open"}
    rows = [
        (
            it["cause"].replace("_", " "),
            it["ticket"],
            it["processor_id"],
            it["detail"],
            fixed[it["fixed"]],
        )
        for it in shown
    ]
    columns = ("cause", "ticket", "processor's id", "detail", "result")
    parts: list[Part] = [Table(columns, rows, empty="No discrepancies.", whole={"ticket"})]
    if (more := report.discrepancies - len(shown)) > 0:
        parts.append(f"... and {more} more: --csv shows all.")
    for cause, it in {it["cause"]: it for it in shown if not it["fixed"]}.items():
        parts += ["", f"{cause.replace('_', ' ')}: {it['why']} {it['remedy']}"]
    text = f"Compared: {', '.join(f'{count} {name}' for name, count in report.lines.items())}."
    if report.discrepancies:
        text += f" Discrepancies: {report.discrepancies}, open: {report.open}."
    parts += ["", text]
    for name, error in report.silent.items():
        parts.append(f"Not compared: the refunds of {name}, which does not answer: {error.message}")
    return parts
