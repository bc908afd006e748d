"""``doctor``: looks at everything that must be right, and says what to do where it is not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer

from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Part, Table, plain, show, working

if TYPE_CHECKING:
    from dispatch_returns.cli.check import Check


def doctor(*, json: Json = False) -> None:
    """Check that everything is right; say what to do.

    Looks at settings, key, workspace, clock, statuses, webhook, database and payments; with a
    policy also at the policy, orders, labels and notices. Changes nothing, sends no mail, shows no
    secret. Exits with 1 if a check failed; a warning is no failure.
    """
    from dispatch_returns.cli import checks

    with working("Looking at everything"):
        found = checks.run()
    document = {
        "ok": not any(check.status == "failed" for check in found),
        "checks": [plain(check) for check in found],
    }
    show(document, *_said(found), as_json=json)
    if not document["ok"]:
        raise typer.Exit(REFUSED)


def _said(found: list[Check]) -> list[Part]:
    rows = [(check.status, check.name, check.detail) for check in found]
    remedies = [(check.name, check.remedy) for check in found if check.remedy]
    counts = Counter(check.status for check in found)
    parts: list[Part] = [Table(("", "check", "found"), rows)]
    if remedies:
        parts += ["", Table(("check", "what to do"), remedies)]
    return [*parts, "", ", ".join(f"{number} {status}" for status, number in counts.items())]
