"""What commands open: the store alone for looking, a whole connector for acting."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.store import Store


def database_url() -> str:
    """Return where the store is. No other setting is asked for."""
    from dispatch_returns.connector.settings import DATABASE_URL, read_one

    return read_one("database_url") or DATABASE_URL


def open_store() -> Store:
    """Open the store, which must be there. Raises `StoreUnavailableError`."""
    from dispatch_returns.store import Store

    return Store.open(database_url(), create=False)


@contextlib.contextmanager
def acting() -> Generator[Connector]:
    """Give a connector for the environment's settings, on a store that must be there and theirs.

    Raises `ConfigurationError` where it is another workspace's, or of another processor account.
    """
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.errors import ConfigurationError

    settings = Settings.from_env()
    with open_store() as store, Connector(settings, store=store) as connector:
        connector.installation.ready()
        if (refusal := connector.installation.refusal()) is not None:
            raise ConfigurationError(refusal)
        yield connector
