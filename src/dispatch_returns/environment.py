"""The variables of this process: the only place that reads them. No other module does.

Here are also the names that more than one room uses: the client has no settings of its own, and
must be usable without them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping

API_KEY = "DISPATCH_API_KEY"
WORKSPACE = "DISPATCH_WORKSPACE"
BASE_URL = "DISPATCH_BASE_URL"
STYLE = "DISPATCH_STYLE"


def variables() -> Mapping[str, str]:
    """Return the variables that are set. One that is empty is not."""
    return {name: value for name, value in os.environ.items() if value}


def variable(name: str) -> str | None:
    """Return one variable; None if it is not set, or empty."""
    return os.environ.get(name) or None


@contextlib.contextmanager
def completed(values: Mapping[str, str]) -> Generator[None]:
    """Set those of the `values` that are not set, for as long as the block lasts."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
