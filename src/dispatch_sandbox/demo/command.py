"""`dispatch-returns demo` itself."""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli import REFUSED, Json, show
from dispatch_returns.errors import MissingExtraError

if TYPE_CHECKING:
    from dispatch_sandbox.demo.books import Books
    from dispatch_sandbox.demo.cast import Return

_PATIENCE = 25.0
_NEEDED = ("jinja2", "reportlab", "starlette", "stripe", "uvicorn")


def demo(
    *,
    pages: Annotated[
        Path | None,
        typer.Option(
            "--pages",
            metavar="FOLDER",
            help="Where the returns' stories and one label are written. Default: a new folder"
            " beside your temporary files.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Take 25 returns from the request to the money.

    With everything going wrong on the way. Needs no key and no configuration: the Dispatch API
    and Stripe are local stand-ins, and all calls between them are real HTTP on this machine. The
    exit code is 0 only if every refund that is owed was paid, none was paid twice, and the three
    books agree.
    """
    if any(find_spec(needed) is None for needed in _NEEDED):
        raise MissingExtraError("demo", "dispatch-returns demo")
    # The troubles are the demo's own; its tables tell them better than log lines do.
    logging.getLogger("dispatch_returns").setLevel(logging.CRITICAL)
    pages = pages or Path(tempfile.mkdtemp(prefix="dispatch-returns-pages-"))
    from dispatch_sandbox.demo import cast, stage
    from dispatch_sandbox.demo import show as shown

    started = time.monotonic()
    returns = cast.returns()
    with tempfile.TemporaryDirectory(prefix="dispatch-returns-demo-") as folder:
        result = _play(Path(folder), returns, pages)
    seconds = time.monotonic() - started
    deliveries = {rule.action: rule.times or 0 for rule in stage.DELIVERY_FAULTS}
    payments = Counter(str(one.fault["kind"]) for one in returns if one.fault)
    document = shown.document(result, seconds, deliveries | payments, pages)
    show(document, *shown.parts(result, seconds, deliveries, pages), as_json=json)
    good = result.agree and not result.duplicates and not result.lost
    raise typer.Exit(0 if good else REFUSED)


def _play(folder: Path, returns: list[Return], to: Path) -> Books:
    from rich.console import Console

    from dispatch_sandbox.demo import books, pages, play, stage
    from dispatch_sandbox.demo import show as shown

    bars = shown.progress(Console(stderr=True))
    with bars, stage.set_up(folder, returns) as set_up:
        tell = shown.teller(bars, len(returns))
        tickets = play.walk(set_up, returns, tell)
        play.wait(set_up, tickets, _PATIENCE, tell)
        play.pass_the_time(set_up, tickets, tell)
        play.wait(set_up, tickets, _PATIENCE, tell)
        pages.write(set_up, tickets, to)
        return books.close(set_up, tickets)
