"""What a failing database says and logs: never values, which are customers' data."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dispatch_returns.errors import StoreUnavailableError

DatabaseError = (DBAPIError, PoolTimeout)
"""What SQLAlchemy raises when the database cannot do something."""

LOGGING_NAME = "dispatch_returns"
"""The engines' ``logging_name``: the end of their logger's name."""

# At INFO SQLAlchemy logs statements, and `hide_parameters` hides their values; at DEBUG it logs
# each row that is read.
logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").addFilter(
    lambda record: record.levelno > logging.DEBUG
)


def unavailable(what: str, error: Exception) -> StoreUnavailableError:
    """Return the error that says `what` (the beginning of a sentence) and the driver's message."""
    # SQLAlchemy adds the statement and its values; PostgreSQL adds the line and the row at fault.
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    message = getattr(getattr(cause, "diag", None), "message_primary", None) or cause
    # An indented line only asks whether the server is running.
    lines = [line for line in str(message).splitlines() if not line.startswith("\t")]
    return StoreUnavailableError(f"{what}: {' '.join(' '.join(lines).split())}")
