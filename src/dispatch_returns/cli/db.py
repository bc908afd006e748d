"""``db upgrade``."""

from __future__ import annotations

import typer

from dispatch_returns.cli.opening import database_url
from dispatch_returns.cli.output import Json, show

app = typer.Typer(help="Make and upgrade the database.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `upgrade` a command of its own: typer folds a group of one."""


@app.command()
def upgrade(*, json: Json = False) -> None:
    """Make the database, or bring it up to this version.

    PostgreSQL needs it once, and again after an upgrade of this package. SQLite is also
    upgraded whenever it is opened. Doing it twice, or several at once, does no harm.
    """
    from dispatch_returns.store import database
    from dispatch_returns.store.database import revision
    from dispatch_returns.store.schema import REVISION

    url = database_url()
    before = _revision_before(url)
    database.upgrade(url)
    document = {"from": before, "to": revision(url), "changed": before != REVISION}
    show(document, _said(before, REVISION), as_json=json)


def _revision_before(url: str) -> str | None:
    from dispatch_returns.errors import StoreUnavailableError
    from dispatch_returns.store.database import revision

    try:
        return revision(url)
    except StoreUnavailableError:
        # There is none yet; if there is another reason, opening it to write says so.
        return None


def _said(before: str | None, now: str) -> str:
    if before == now:
        return f"The database is at {now} already: nothing to do."
    return f"The database was {'empty' if before is None else f'at {before}'} and is at {now} now."
