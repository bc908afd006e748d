"""`dispatch-returns demo` itself."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path

import typer
from rich.console import Console

from dispatch_returns.cli.demo import books, cast, play, show, stage

_PATIENCE = 50.0


def demo(
    as_json: bool = typer.Option(False, "--json", help="Print the result as one JSON document."),
) -> None:
    """Take 25 returns from the request to the money, with everything going wrong on the way.

    Needs no key and no configuration: the Dispatch API and Stripe are local stand-ins, and all
    calls between them are real HTTP on this machine. Exit status 0 only if every refund that
    is owed was paid, none was paid twice, and the three books agree.
    """
    # The troubles are the demo's own; its tables tell them better than log lines do.
    logging.getLogger("dispatch_returns").setLevel(logging.CRITICAL)
    started = time.monotonic()
    returns = cast.returns()
    with tempfile.TemporaryDirectory(prefix="dispatch-returns-demo-") as folder:
        result = _play(Path(folder), returns)
    seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps(show.as_json(result, seconds, _faults(returns)), indent=2))
    else:
        _print(result, seconds)
    raise typer.Exit(0 if _is_good(result) else 1)


def _play(folder: Path, returns: list[cast.Return]) -> books.Books:
    bars = show.progress(Console(stderr=True))
    with bars, stage.set_up(folder, returns) as set_up:
        tell = show.teller(bars, len(returns))
        tickets = play.walk(set_up, returns, tell)
        play.wait(set_up, tickets, _PATIENCE, tell)
        return books.close(set_up, tickets)


def _is_good(result: books.Books) -> bool:
    return result.agree and not result.duplicates and not result.lost


def _faults(returns: list[cast.Return]) -> dict[str, int]:
    """Count what was made to go wrong."""
    deliveries = {rule.action: rule.times or 0 for rule in stage.DELIVERY_FAULTS}
    return deliveries | Counter(str(one.fault["kind"]) for one in returns if one.fault)


def _print(result: books.Books, seconds: float) -> None:
    console = Console()
    for table in show.tables(result):
        console.print(table)
    verdict = "agree" if result.agree else "[red]differ[/]"
    console.print(
        f"{len(result.lines)} returns in {seconds:.1f} s: {result.count(play.ENDS['refunded'])}"
        f" paid back, {result.count(play.ENDS['held'])} held for a person,"
        f" {result.count(play.ENDS['failed'])} failed later. Double: {result.duplicates}."
        f" Lost: {result.lost}. The three books {verdict}."
    )
    deliveries = ", ".join(f"{rule.times} {rule.action}" for rule in stage.DELIVERY_FAULTS)
    console.print(f"Faults in the deliveries: {deliveries}. In the payments: see the table.")
    console.print(
        "[dim]Dispatch and Stripe were stand-ins on this machine, and so was everybody who"
        " set a status; the rest was the real thing.[/]"
    )
