"""``reconcile``: the three books compared."""

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
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli import people
from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.opening import acting
from dispatch_returns.cli.output import Json, Part, Table, printable, show

if TYPE_CHECKING:
    from rich.progress import TaskID

    from dispatch_returns.connector.reconcile.compare import Report
    from dispatch_returns.connector.reconcile.differences import Difference
    from dispatch_returns.store import Store

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
            help="Put right what needs no guess: enter a ticket whose event never arrived, adopt"
            " a refund, write down what the processor says. It pays nothing itself.",
        ),
    ] = False,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print lines of CSV.")] = False,
) -> None:
    """Compare the tickets, the ledger and the processor's refunds.

    Reports each difference with its cause and what to do. Exits with 1 if any is left.
    """
    if json and csv:
        raise typer.BadParameter("--json and --csv: choose one")
    name = people.name(who) if fix else ""
    now = datetime.now(UTC)
    begin, end = _moment("--since", since, now), _moment("--until", until, now)
    with _spool() as (keep, kept):
        with acting() as connector, _progress() as tell:
            if fix:
                _record(connector.store, since or "the beginning", name, why, now)
            report = connector.reconciler.run(keep, since=begin, until=end, fix=fix, tell=tell)
        if csv:
            _print_csv(kept())
        elif json:
            _print_json(report, kept())
        else:
            show({}, *_parts(report, kept()), as_json=False)
    if report.differences > report.settled:
        raise typer.Exit(REFUSED)


def _record(store: Store, since: str, who: str, why: str | None, now: datetime) -> None:
    """Record that a person lets differences be fixed, before the first one is."""
    from dispatch_returns.store import audit_log

    subject = f"reconcile since {since}"
    store.write(
        "act.reconcile",
        lambda conn: audit_log.record(conn, "fix", now, who=who, why=why, subject=subject),
    )


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """Read ``7d``, ``12h`` or an ISO date or time; UTC where no zone is given."""
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
def _spool() -> Generator[tuple[Callable[[Difference], None], Callable[[], Iterator[Any]]]]:
    """Keep differences in a file until all are known: there may be as many as tickets."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:

        def keep(difference: Difference) -> None:
            file.write(jsonlib.dumps(difference.as_record()) + "\n")

        yield keep, lambda: _lines(file)


def _lines(file: IO[str]) -> Iterator[Any]:
    file.seek(0)
    return map(jsonlib.loads, file)


@contextlib.contextmanager
def _progress() -> Generator[Callable[[str, int], None]]:
    """Show on a terminal how far each book is read. How long a book is, nobody knows before."""
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

        def tell(book: str, count: int) -> None:
            if book not in tasks:
                for known in tasks.values():
                    bars.update(known, total=bars.tasks[known].completed)
                tasks[book] = bars.add_task(book, total=None)
            bars.update(tasks[book], completed=count)

        yield tell


def _print_csv(differences: Iterator[Any]) -> None:
    writer = csvlib.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for it in differences:
        writer.writerow([_cell(it[name]) for name in _COLUMNS])


def _cell(value: object) -> str:
    """A text that a spreadsheet would take for a formula is shown as text."""
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _print_json(report: Report, differences: Iterator[Any]) -> None:
    """Write one document, a difference at a time."""
    head = {
        "lines": report.lines,
        "count": report.differences,
        "left": report.differences - report.settled,
    }
    sys.stdout.write(jsonlib.dumps(head)[:-1] + ', "differences": [')
    for number, it in enumerate(differences):
        sys.stdout.write((",\n" if number else "\n") + jsonlib.dumps(it))
    sys.stdout.write("\n]}\n")
    sys.stdout.flush()


def _parts(report: Report, differences: Iterator[Any]) -> list[Part]:
    shown = list(islice(differences, _SHOWN))
    rows = [
        (it["cause"].replace("_", " "), it["ticket"], it["processor_id"], it["detail"], _done(it))
        for it in shown
    ]
    parts: list[Part] = [
        Table(
            ("cause", "ticket", "processor's id", "detail", "done"),
            rows,
            empty="The books agree.",
            whole={"ticket"},
        )
    ]
    if (more := report.differences - len(shown)) > 0:
        parts.append(f"... and {more} more: --csv shows all.")
    for cause, it in {it["cause"]: it for it in shown if not it["fixed"]}.items():
        parts += ["", f"{cause.replace('_', ' ')}: {it['why']} {it['remedy']}"]
    read = ", ".join(f"{count} {book}" for book, count in report.lines.items())
    left = report.differences - report.settled
    counted = f" Differences: {report.differences}, left: {left}." if report.differences else ""
    return [*parts, "", f"Compared: {read}.{counted}"]


def _done(difference: Any) -> str | None:
    if difference["fixed"] is None:
        return None
    return "fixed" if difference["fixed"] else "left to you"
