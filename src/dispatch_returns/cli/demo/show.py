"""How the demo looks: progress while it plays, then the tickets and the three books."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dispatch_returns.cli.demo.books import Books, Line
from dispatch_returns.cli.demo.play import ENDS, Tell

_STYLES = {"succeeded": "green", "held": "yellow", "failed": "red"}


def progress(console: Console) -> Progress:
    """Return the progress display; it shows nothing where nobody watches."""
    return Progress(
        TextColumn("{task.description:<26}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def teller(bars: Progress, total: int) -> Tell:
    """Return a function that keeps one bar for each step."""
    tasks: dict[str, Any] = {}

    def tell(what: str, done: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    return tell


def tables(books: Books) -> list[Table]:
    """Return the table of tickets and the balance of the three books."""
    return [_tickets(books), _balance(books)]


def _tickets(books: Books) -> Table:
    table = Table(title="25 returns", title_justify="left", expand=True)
    for name, options in (
        ("order", {"no_wrap": True}),
        ("ticket is", {"no_wrap": True}),
        ("refund", {"no_wrap": True}),
        ("amount", {"justify": "right", "no_wrap": True}),
        ("what happened", {"ratio": 1}),
    ):
        table.add_column(name, **options)
    for line in books.lines:
        state = str(line.row.state) if line.row else "missing"
        table.add_row(
            f"#{line.one.order_id}",
            line.ticket.status,
            f"[{_STYLES.get(state, 'red')}]{state}[/]",
            f"{line.one.asked} {line.one.paid.currency}",
            _story(line),
        )
    return table


def _story(line: Line) -> str:
    detail = line.row.detail if line.row and line.row.detail else ""
    told = ": ".join(filter(None, (line.one.trouble, detail)))
    return "; ".join([told, *line.problems]) if line.problems else told


def _balance(books: Books) -> Table:
    table = Table(title="Three books", title_justify="left")
    table.add_column("paid back, says")
    currencies = sorted({code for totals in books.totals.values() for code in totals})
    for code in currencies:
        table.add_column(code, justify="right")
    names = {"tickets": "the tickets", "ledger": "the ledger", "stripe": "Stripe's own list"}
    for book, totals in books.totals.items():
        amounts = (f"{totals[code].major:f}" if code in totals else "-" for code in currencies)
        table.add_row(names[book], *amounts)
    return table


def as_json(books: Books, seconds: float, faults: dict[str, int]) -> dict[str, Any]:
    """Return the result for machines. Amounts are strings in major units."""
    return {
        "returns": len(books.lines),
        "refunded": books.count(ENDS["refunded"]),
        "held": books.count(ENDS["held"]),
        "failed": books.count(ENDS["failed"]),
        "duplicates": books.duplicates,
        "lost": books.lost,
        "books_agree": books.agree,
        "seconds": round(seconds, 1),
        "faults": faults,
        "totals": {
            book: {code: f"{total.major:f}" for code, total in totals.items()}
            for book, totals in books.totals.items()
        },
        "tickets": [_line_as_json(line) for line in books.lines],
    }


def _line_as_json(line: Line) -> dict[str, Any]:
    row = line.row
    return {
        "order": line.one.order_id,
        "ticket": line.ticket.id,
        "status": line.ticket.status,
        "refund": row.processor_id if row else None,
        "refund_status": str(row.state) if row else None,
        "amount": str(row.amount) if row and row.amount else None,
        "trouble": line.one.trouble or None,
        "why": row.detail if row else None,
        "problems": line.problems,
    }
