"""``doctor``: checks everything that must be right, and says what to do if it is not."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from dispatch_returns.cli.errors import REFUSED
from dispatch_returns.cli.output import Json, Part, Table, plain, show, working


def doctor(
    *,
    deliver: Annotated[
        bool,
        typer.Option("--deliver", help="Also send a signed test event to the webhook's URL."),
    ] = False,
    json: Json = False,
) -> None:
    """Check that everything is right; say what to do.

    Checks settings, key, workspace, clock, statuses, webhook, database and payments; with a policy
    also the policy, orders, labels and notifications. Changes nothing, sends no mail, shows no
    secret. Nothing follows from the event of --deliver. Exits with 1 if a check failed; a warning
    is not a failure.
    """
    from dispatch_returns.cli import checks

    with working("Checking everything"):
        found = checks.run(deliver=deliver)
    ok = not any(check.status == "failed" for check in found)
    rows = [(check.status, check.name, check.detail) for check in found]
    remedies = [(check.name, check.remedy) for check in found if check.remedy]
    counts = Counter(check.status for check in found)
    parts: list[Part] = [Table(("", "check", "found"), rows)]
    if remedies:
        parts += ["", Table(("check", "what to do"), remedies)]
    parts += ["", ", ".join(f"{number} {status}" for status, number in counts.items())]
    show({"ok": ok, "checks": [plain(check) for check in found]}, *parts, as_json=json)
    if not ok:
        raise typer.Exit(REFUSED)
