"""What SQLAlchemy may say of our engines: statements, and not their rows, which are private."""

from __future__ import annotations

import logging

NAME = "dispatch_returns"
"""The engines' ``logging_name``: the end of their logger's name."""


def _no_rows(record: logging.LogRecord) -> bool:
    """At INFO it logs statements, whose values `hide_parameters` hides; at DEBUG, each row read."""
    return record.levelno > logging.DEBUG


logging.getLogger(f"sqlalchemy.engine.Engine.{NAME}").addFilter(_no_rows)
