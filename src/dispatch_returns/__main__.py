"""``python -m dispatch_returns``: the command, where scripts are not on the path."""

from __future__ import annotations

import sys

from dispatch_returns.cli import main

if __name__ == "__main__":
    sys.exit(main())
