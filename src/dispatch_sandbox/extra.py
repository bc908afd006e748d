"""The extra that the sandbox needs."""

from __future__ import annotations

from importlib.util import find_spec


def require() -> None:
    """Raise `MissingExtraError` if the extra ``sandbox`` is not installed."""
    if any(find_spec(needed) is None for needed in ("jinja2", "starlette", "uvicorn")):
        from dispatch_returns.errors import MissingExtraError

        raise MissingExtraError("sandbox", "The sandbox")
