"""How the demo looks: progress while it plays, then the tickets and the three books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dispatch_returns.cli import Part, Table, Verbatim
from dispatch_sandbox.demo.books import Books, Line
from dispatch_sandbox.demo.play import ENDS, Tell
from dispatch_sandbox.demo.stage import STEPS


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


def parts(books: Books, seconds: float, deliveries: dict[str, int], pages: Path) -> list[Part]:
    """Return the result for people."""
    look = f"The story of each return, and one of the labels, to look at: {pages}"
    said = _said(books, seconds, deliveries)
    return [_tickets(books), _legend(), _balance(books), *said, Verbatim([look])]


def _said(books: Books, seconds: float, deliveries: dict[str, int]) -> list[str]:
    verdict = "agree" if books.agree else "DIFFER"
    faults = ", ".join(f"{count} {what}" for what, count in deliveries.items())
    result = (
        f"{len(books.lines)} returns in {seconds:.1f} s: {books.count(ENDS['refunded'])} paid"
        f" back, {books.count(ENDS['held'])} held for a person, {books.count(ENDS['failed'])}"
        f" failed later, {books.ended('rejected')} rejected, {books.ended('expired')} expired."
        f" Double: {books.duplicates}. Lost: {books.lost}. The three books"
        f" {verdict}."
    )
    honest = (
        "Dispatch and Stripe were stand-ins on this machine, and the customers, the agent and the"
        " warehouse were the demo; the rest was the real thing."
    )
    return [result, f"Faults in the deliveries: {faults}. In the payments: as above.", honest]


def _tickets(books: Books) -> Table:
    rows = [
        (
            f"#{line.one.order_id}",
            _path(line.path),
            line.row.state if line.row else "none",
            f"{line.one.asked} {line.one.paid.currency}",
            _story(line),
        )
        for line in books.lines
    ]
    columns = ("order", "path", "refund", "asked", "what happened")
    return Table(columns, rows, title=f"{len(rows)} returns")


def _path(statuses: list[str]) -> str:
    """Return a step as its number, and whatever is beside the steps as its name."""
    numbers = {step: str(number) for number, step in enumerate(STEPS, start=1)}
    return " ".join(numbers.get(status, status) for status in statuses)


def _legend() -> str:
    return "  ".join(f"{number} {step}" for number, step in enumerate(STEPS, start=1)) + "\n"


def _story(line: Line) -> str:
    detail = line.row.detail if line.row and line.row.detail else ""
    told = ": ".join(filter(None, (line.one.trouble, detail)))
    return "; ".join([told, *line.problems]) if line.problems else told


def _balance(books: Books) -> Table:
    currencies = sorted({code for totals in books.totals.values() for code in totals})
    names = {"tickets": "the tickets", "ledger": "the ledger", "stripe": "Stripe's own list"}
    rows = [
        (
            names[book],
            *(f"{totals[code].major:f}" if code in totals else "-" for code in currencies),
        )
        for book, totals in books.totals.items()
    ]
    return Table(("paid back, says", *currencies), rows, title="Three books")


def document(books: Books, seconds: float, faults: dict[str, int], pages: Path) -> dict[str, Any]:
    """Return the result for machines. Amounts are strings in major units."""
    return {
        "returns": len(books.lines),
        "refunded": books.count(ENDS["refunded"]),
        "held": books.count(ENDS["held"]),
        "failed": books.count(ENDS["failed"]),
        "rejected": books.ended("rejected"),
        "expired": books.ended("expired"),
        "duplicates": books.duplicates,
        "lost": books.lost,
        "books_agree": books.agree,
        "seconds": round(seconds, 1),
        "faults": faults,
        "pages": str(pages),
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
        "path": line.path,
        "refund": row.processor_id if row else None,
        "refund_status": str(row.state) if row else None,
        "amount": str(row.amount) if row and row.amount else None,
        "trouble": line.one.trouble or None,
        "why": row.detail if row else None,
        "problems": line.problems,
    }
