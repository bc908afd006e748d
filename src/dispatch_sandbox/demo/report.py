"""What the demo prints: its progress, then the returns and the totals of the three records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dispatch_returns.cli import Part, Table, Verbatim
from dispatch_sandbox.demo.comparison import Comparison
from dispatch_sandbox.demo.environment import STEPS
from dispatch_sandbox.demo.steps import ENDS, OnProgress


def progress(console: Console) -> Progress:
    """Return the progress display, which shows nothing if `console` is not a terminal."""
    return Progress(
        TextColumn("{task.description:<26}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def on_progress(bars: Progress, total: int) -> OnProgress:
    """Return a function that keeps one bar for each step."""
    tasks: dict[str, Any] = {}

    def update(what: str, done: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    return update


def parts(
    result: Comparison, seconds: float, deliveries: dict[str, int], pages: Path
) -> list[Part]:
    """Return the result for people."""
    faults = ", ".join(f"{count} {what}" for what, count in deliveries.items())
    verdict = (
        f"{len(result.lines)} returns in {seconds:.1f} s: {result.count(ENDS['refunded'])}"
        f" refunded, {result.count(ENDS['held'])} held for a person,"
        f" {result.count(ENDS['failed'])} failed later, {result.ended('rejected')} rejected,"
        f" {result.ended('expired')} expired. Duplicates: {result.duplicates}. Lost:"
        f" {result.lost}. The three records {'agree' if result.agree else 'DIFFER'}."
    )
    note = (
        "Dispatch and Stripe were test doubles on this machine, and the demo acted as the"
        " customers, the agents and the warehouse. Everything else was real."
    )
    return [
        _returns(result),
        "  ".join(f"{number} {step}" for number, step in enumerate(STEPS, start=1)) + "\n",
        _totals(result),
        verdict,
        f"Faults in the deliveries: {faults}. In the payments: as above.",
        note,
        Verbatim([f"The timeline of each return, and one of the labels: {pages}"]),
        "To return something yourself, in a shop's portal: dispatch-returns demo --portal",
    ]


def _returns(result: Comparison) -> Table:
    numbers = {step: str(number) for number, step in enumerate(STEPS, start=1)}
    rows: list[tuple[object, ...]] = []
    for line in result.lines:
        detail = line.row.detail if line.row and line.row.detail else ""
        happened = ": ".join(filter(None, (line.scenario.trouble, detail)))
        rows.append(
            (
                f"#{line.scenario.order_id}",
                " ".join(numbers.get(status, status) for status in line.path),
                line.row.state if line.row else "none",
                f"{line.scenario.due} {line.scenario.paid.currency}",
                "; ".join([happened, *line.problems]),
            )
        )
    columns = ("order", "path", "refund", "due", "what happened")
    return Table(columns, rows, title=f"{len(rows)} returns")


def _totals(result: Comparison) -> Table:
    currencies = sorted({code for totals in result.totals.values() for code in totals})
    names = {"tickets": "the tickets", "ledger": "the ledger", "stripe": "Stripe's own list"}
    rows = [
        (
            names[record],
            *(f"{totals[code].major:f}" if code in totals else "-" for code in currencies),
        )
        for record, totals in result.totals.items()
    ]
    return Table(("refunded, by", *currencies), rows, title="Three records")


def document(
    result: Comparison, seconds: float, faults: dict[str, int], pages: Path
) -> dict[str, Any]:
    """Return the result for programs. Amounts are strings in major units."""
    return {
        "returns": len(result.lines),
        "refunded": result.count(ENDS["refunded"]),
        "held": result.count(ENDS["held"]),
        "failed": result.count(ENDS["failed"]),
        "rejected": result.ended("rejected"),
        "expired": result.ended("expired"),
        "duplicates": result.duplicates,
        "lost": result.lost,
        "records_agree": result.agree,
        "seconds": round(seconds, 1),
        "faults": faults,
        "pages": str(pages),
        "totals": {
            record: {code: f"{total.major:f}" for code, total in totals.items()}
            for record, totals in result.totals.items()
        },
        "tickets": [
            {
                "order": line.scenario.order_id,
                "ticket": line.ticket.id,
                "path": line.path,
                "refund": line.row.processor_id if line.row else None,
                "refund_status": str(line.row.state) if line.row else None,
                "amount": str(line.row.amount) if line.row and line.row.amount else None,
                "trouble": line.scenario.trouble or None,
                "why": line.row.detail if line.row else None,
                "problems": line.problems,
            }
            for line in result.lines
        ],
    }
