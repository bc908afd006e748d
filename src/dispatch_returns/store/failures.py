"""What a failing database says, without what it was given: values are customers' data."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dispatch_returns.errors import StoreUnavailableError

DatabaseError = (DBAPIError, PoolTimeout)
"""What SQLAlchemy raises when the database cannot do something."""


def unavailable(what: str, error: Exception) -> StoreUnavailableError:
    """Return the error that says `what` (a sentence's beginning), and the driver's own words."""
    return StoreUnavailableError(f"{what}: {_words(error)}")


def _words(error: Exception) -> str:
    # SQLAlchemy adds the statement and its values; PostgreSQL the line and the row at fault.
    said: Any = error.orig if isinstance(error, DBAPIError) else error
    primary = getattr(getattr(said, "diag", None), "message_primary", None)
    # A line that is set in only asks whether the server runs.
    lines = [line for line in str(primary or said).splitlines() if not line.startswith("\t")]
    return " ".join(" ".join(lines).split())
