"""The command ``dispatch-returns``, and what a command of another package is written with.

Such a package registers its commands under the entry point ``dispatch_returns.commands``: a name,
and a function that typer can read. `main` alone is loaded at once, so that it starts without its
extra.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.cli.errors import REFUSED
    from dispatch_returns.cli.files import write
    from dispatch_returns.cli.output import Json, Part, Table, Verbatim, show, warn
    from dispatch_returns.cli.serve import cannot_listen
    from dispatch_returns.cli.stopping import Stop, stop_signals

__all__ = [
    "REFUSED",
    "Json",
    "Part",
    "Stop",
    "Table",
    "Verbatim",
    "cannot_listen",
    "main",
    "show",
    "stop_signals",
    "warn",
    "write",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".output",
        {
            ".errors": ["REFUSED"],
            ".files": ["write"],
            ".serve": ["cannot_listen"],
            ".stopping": ["Stop", "stop_signals"],
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process's own) and return its exit code.

    0: done, and all is well. 1: what was asked about is not right, or was refused. 2: the
    command was written wrongly. 3: a setting is missing or wrong. 4: the API or the database
    cannot be reached. 130: Ctrl-C.
    """
    try:
        if not _extra_is_there():
            return 3
        from dispatch_returns.cli.app import run

        return run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return 130


def _extra_is_there() -> bool:
    from importlib.util import find_spec

    if all(find_spec(needed) is not None for needed in ("typer", "rich")):
        return True
    from dispatch_returns.errors import MissingExtraError

    sys.stderr.write(f"Error: {MissingExtraError('cli', 'the command')}\n")
    return False
