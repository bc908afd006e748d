"""The variables of this process: the only place that reads them. No other module does.

Here are also the names that more than one room uses: the client has no settings of its own, and
must be usable without them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

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
