"""``db upgrade|thin|adopt|restored``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from dispatch_returns.cli import people
from dispatch_returns.cli.opening import database_url, open_store
from dispatch_returns.cli.output import Json, show
from dispatch_returns.errors import ConfigurationError

app = typer.Typer(help="Make, upgrade and thin the database.", no_args_is_help=True)

_LEAST_DAYS = 8
"""`settings.MIN_KEEP_EVENTS`, written again: importing the settings would make ``--help`` slow."""


@app.command()
def upgrade(*, json: Json = False) -> None:
    """Make the database, or bring it up to this version.

    PostgreSQL needs it once, and again after an upgrade of this package. SQLite is also
    upgraded whenever it is opened. Doing it twice, or several at once, does no harm.
    """
    from dispatch_returns.store import database
    from dispatch_returns.store.database import revision

    url = database_url()
    before = _revision_before(url)
    changed = database.upgrade(url)
    now = revision(url)
    show({"from": before, "to": now, "changed": changed}, _said(before, now), as_json=json)


@app.command()
def thin(
    *,
    older_than: Annotated[
        int | None,
        typer.Option(min=_LEAST_DAYS, help="Days. Default: DISPATCH_RETURNS_KEEP_EVENTS."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many there are.")
    ] = False,
    who: people.Who = None,
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Delete events that were dealt with long ago.

    Workers do the same by themselves where DISPATCH_RETURNS_KEEP_EVENTS is set. The ledger, its
    attempts and acts are never deleted.
    """
    from dispatch_returns.connector.retention import thin_all
    from dispatch_returns.store import audit_log, inbox

    days, who = older_than or _days(), people.name(who)
    now = datetime.now(UTC)
    before = now - timedelta(days=days)
    with open_store() as store:
        if dry_run:
            with store.read() as conn:
                number = inbox.count_thinnable(conn, before)
        else:
            number = thin_all(store, before)
            subject = f"{number} events older than {days} days"
            store.write(
                "act.thin",
                lambda conn: audit_log.record(conn, "thin", now, who=who, why=why, subject=subject),
            )
    said = f"{number} events {'would be' if dry_run else 'were'} deleted."
    show({"events": number, "older_than_days": days, "dry_run": dry_run}, said, as_json=json)


@app.command()
def adopt(*, who: people.Who = None, why: people.Why = None, json: Json = False) -> None:
    """Add the workspace and processor that are set to it.

    A database belongs to the workspace, the adapter, the processor's account and the mode (live,
    test, sandbox) it was first used with. Where the settings name others, nothing is paid. If they
    are to share the database, or one of them has rightly changed, this adds them; what stands there
    already stays. Sandbox, test and live should each have a database of their own.
    """
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.settings import Settings

    who = people.name(who)
    with open_store() as store, Connector(Settings.from_env(), store=store) as connector:
        new = connector.installation.adopt(who=who, why=why)
    added = [
        {"kind": it.kind, "name": it.name, "account": it.account, "mode": it.mode} for it in new
    ]
    said = ", ".join(f"{it.kind} {it.name} ({it.account or 'no account'})" for it in new)
    show(
        {"added": added},
        f"The database now belongs to: {said}." if new else "It belongs to them already.",
        as_json=json,
    )


@app.command()
def restored(
    *,
    who: Annotated[str, typer.Option("--who", "--by", help="Your name: it is recorded.")],
    why: people.Why = None,
    json: Json = False,
) -> None:
    """Say that the database was restored from a backup. Run it before the service starts.

    Nothing is paid until the workers have compared the ledger with the processor's refunds;
    customers are not told again what they may have been told. It ends by itself.
    """
    from dispatch_returns.store import restores

    who, now = people.name(who), datetime.now(UTC)
    with open_store() as store:
        found = store.write(
            "db.restored", lambda conn: restores.declare(conn, now, who=who, why=why)
        )
    known = found.known_until
    said = "All payments are held until the processor's refunds were compared: start the service."
    show({"restored_at": now, "known_until": known, "paying": False}, said, as_json=json)


def _days() -> int:
    """Return the setting. Raises `ConfigurationError`."""
    from dispatch_returns.connector.settings import read_one

    text = read_one("keep_events") or ""
    if not (text.isascii() and text.isdigit() and _LEAST_DAYS <= int(text) <= 36_500):
        raise ConfigurationError(
            "give --older-than in days, or set DISPATCH_RETURNS_KEEP_EVENTS: at least"
            f" {_LEAST_DAYS}, for until then an event's id keeps a replay out"
        )
    return int(text)


def _revision_before(url: str) -> str | None:
    from dispatch_returns.errors import StoreUnavailableError
    from dispatch_returns.store.database import revision

    try:
        return revision(url)
    except StoreUnavailableError:
        # There is none yet; if there is another reason, opening it to write says so.
        return None


def _said(before: str | None, now: str | None) -> str:
    if before == now:
        return f"The database is at {now} already: nothing to do."
    return f"The database was {'empty' if before is None else f'at {before}'} and is at {now} now."
