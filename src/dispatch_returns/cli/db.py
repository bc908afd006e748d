"""``db upgrade|thin|adopt|restored``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from dispatch_returns.cli import common
from dispatch_returns.cli.common import database_url, open_store
from dispatch_returns.cli.output import Json, show
from dispatch_returns.errors import ConfigurationError, StoreUnavailableError

app = typer.Typer(help="Create, upgrade and thin the database.", no_args_is_help=True)

_LEAST_DAYS = 8
"""Like `settings.MIN_KEEP_EVENTS`, whose import would make ``--help`` slow."""


@app.command()
def upgrade(*, json: Json = False) -> None:
    """Create the database, or upgrade it to this version.

    PostgreSQL needs it once, and again after an upgrade of this package. SQLite is also
    upgraded whenever it is opened. It may be run twice, or several times at once.
    """
    from dispatch_returns.store import database

    url = database_url()
    try:
        before = database.revision(url)
    except StoreUnavailableError:
        before = None  # it does not exist yet; any other reason is reported by the upgrade
    changed = database.upgrade(url)
    now = database.revision(url)
    text = f"The database was {f'at {before}' if before else 'empty'} and is at {now} now."
    if before == now:
        text = f"The database is at {now} already: nothing to do."
    show({"from": before, "to": now, "changed": changed}, text, as_json=json)


@app.command()
def thin(
    *,
    older_than: Annotated[
        int | None,
        typer.Option(min=_LEAST_DAYS, help="Days. Default: DISPATCH_RETURNS_KEEP_EVENTS."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    who: common.Who = None,
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Delete events that were processed long ago.

    Workers do the same by themselves if DISPATCH_RETURNS_KEEP_EVENTS is set. The ledger, its
    attempts and the audit log are never deleted.
    """
    from dispatch_returns.connector.retention import thin_all
    from dispatch_returns.store import audit_log, inbox

    days, who = older_than or _days(), common.person(who)
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
    text = f"{number} events {'would be' if dry_run else 'were'} deleted."
    show({"events": number, "older_than_days": days, "dry_run": dry_run}, text, as_json=json)


@app.command()
def adopt(*, who: common.Who = None, why: common.Why = None, json: Json = False) -> None:
    """Add the settings' workspace and processor to the database.

    A database belongs to the workspace, the adapter, the processor's account and the mode (live,
    test, sandbox) that it was first used with. If the settings name others, nothing is paid. If
    they are meant to share the database, or one has changed for a good reason, this adds them; the
    existing entries stay. Use separate databases for sandbox, test and live.
    """
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.settings import Settings

    who = common.person(who)
    with open_store() as store, Connector(Settings.from_env(), store=store) as connector:
        new = connector.installation.adopt(who=who, why=why)
    added = [
        {"kind": it.kind, "name": it.name, "account": it.account, "mode": it.mode} for it in new
    ]
    names = ", ".join(f"{it.kind} {it.name} ({it.account or 'no account'})" for it in new)
    show(
        {"added": added},
        f"The database now belongs to: {names}." if new else "It belongs to them already.",
        as_json=json,
    )


@app.command()
def restored(
    *,
    who: Annotated[str, typer.Option("--who", "--by", help="Your name; it is recorded.")],
    why: common.Why = None,
    json: Json = False,
) -> None:
    """Declare that the database was restored from a backup. Run it before the service starts.

    Nothing is paid until the workers have reconciled the ledger with the processor's refunds, and
    no message is sent that the customer may have got already. This ends by itself.
    """
    from dispatch_returns.store import restores

    who, now = common.person(who), datetime.now(UTC)
    with open_store() as store:
        found = store.write(
            "db.restored", lambda conn: restores.declare(conn, now, who=who, why=why)
        )
    known = found.known_until
    text = "Payments are held until the processor's refunds are reconciled: start the service."
    show({"restored_at": now, "known_until": known, "paying": False}, text, as_json=json)


def _days() -> int:
    """Return the setting. Raises `ConfigurationError`."""
    from dispatch_returns.connector.settings import read_one

    text = read_one("keep_events") or ""
    if not (text.isascii() and text.isdigit() and _LEAST_DAYS <= int(text) <= 36_500):
        raise ConfigurationError(
            "give --older-than in days, or set DISPATCH_RETURNS_KEEP_EVENTS: at least"
            f" {_LEAST_DAYS}, because until then an event's id stops a replay"
        )
    return int(text)
