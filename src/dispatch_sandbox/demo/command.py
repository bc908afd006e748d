"""The command `dispatch-returns demo`."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dispatch_returns.cli import REFUSED, Json, Verbatim, show, stop_signals
from dispatch_returns.errors import MissingExtraError

_PATIENCE = 25.0
_NEEDED = ("jinja2", "reportlab", "starlette", "stripe", "uvicorn")


def demo(
    *,
    pages: Annotated[
        Path | None,
        typer.Option(
            "--pages",
            metavar="FOLDER",
            help="The folder for the timelines of the returns and one label. Default: a new"
            " folder for temporary files.",
        ),
    ] = None,
    portal: Annotated[
        bool,
        typer.Option(
            "--portal",
            help="Open the portal of a demo shop instead, to return something yourself, until"
            " Ctrl-C.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Take 25 returns from the request to the refund.

    Needs no key and no configuration: the Dispatch API and Stripe are local test doubles, and all
    calls between them are real HTTP on this machine. The exit code is 0 only if every refund that
    is due was paid, none was paid twice, and tickets, ledger and Stripe's list agree.
    """
    if any(find_spec(needed) is None for needed in _NEEDED):
        raise MissingExtraError("demo", "dispatch-returns demo")
    if portal:
        _open_portal(as_json=json)
    from rich.console import Console

    from dispatch_sandbox.demo import comparison, environment, report, scenarios, steps
    from dispatch_sandbox.demo import pages as timelines

    # The demo causes the errors that would be logged, and reports them itself.
    logging.getLogger("dispatch_returns").setLevel(logging.CRITICAL)
    pages = pages or Path(tempfile.mkdtemp(prefix="dispatch-returns-pages-"))
    started = time.monotonic()
    returns = scenarios.scenarios()
    bars = report.progress(Console(stderr=True))
    with (
        tempfile.TemporaryDirectory(prefix="dispatch-returns-demo-") as folder,
        bars,
        environment.running_environment(Path(folder), returns) as running,
    ):
        on_progress = report.on_progress(bars, len(returns))
        tickets = steps.walk(running, returns, on_progress)
        steps.wait(running, tickets, _PATIENCE, on_progress)
        steps.pass_time(running, tickets, on_progress)
        steps.wait(running, tickets, _PATIENCE, on_progress)
        timelines.write(running, tickets, pages)
        result = comparison.compare(running, tickets)
    seconds = time.monotonic() - started
    deliveries = {rule.action: rule.times or 0 for rule in environment.DELIVERY_FAULTS}
    payments = Counter(str(it.fault["kind"]) for it in returns if it.fault)
    document = report.document(result, seconds, deliveries | payments, pages)
    show(document, *report.parts(result, seconds, deliveries, pages), as_json=json)
    good = result.agree and not result.duplicates and not result.lost
    raise typer.Exit(0 if good else REFUSED)


def _open_portal(*, as_json: bool) -> NoReturn:
    """Run a shop with a portal until it is told to stop."""
    from dispatch_sandbox.demo.portal import EMAIL, ORDER, TRANSIT, open_portal

    def print_mail(subject: str, text: str) -> None:
        show(
            {"subject": subject, "text": text}, "", f"E-mail: {subject}", "", text, as_json=as_json
        )

    with (
        stop_signals() as stop,
        tempfile.TemporaryDirectory(prefix="dispatch-returns-demo-") as folder,
        open_portal(Path(folder), print_mail) as opened,
    ):
        document = {"portal": opened.url, "link": opened.link, "sandbox": opened.tickets}
        show(
            document,
            "The portal of a demo shop is open. Return something:",
            Verbatim([opened.url]),
            f"Order {ORDER}, e-mail address {EMAIL}: the code is printed here. Or with a signed"
            " link, as in an order confirmation:",
            Verbatim([opened.link]),
            "What becomes of it in Dispatch, a test double on this machine:",
            Verbatim([opened.tickets]),
            f"Your parcel arrives {TRANSIT.seconds} seconds after its label was made. Ctrl-C stops"
            " it.",
            as_json=as_json,
        )
        stop.wait()
    raise typer.Exit(stop.code)
