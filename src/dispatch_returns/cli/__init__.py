"""The command ``dispatch-returns``, and what commands of other packages are written with.

Such a package registers its commands under the entry point ``dispatch_returns.commands``: a name,
and a function that typer understands. Only `main` is loaded at once, so that it can report that
the extra is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.cli.common import Stop, WriteEnv, append_env, stop_signals, write
    from dispatch_returns.cli.errors import REFUSED
    from dispatch_returns.cli.output import Json, Part, Table, Verbatim, show, warn
    from dispatch_returns.cli.serve import cannot_listen

__all__ = [
    "REFUSED",
    "Json",
    "Part",
    "Stop",
    "Table",
    "Verbatim",
    "WriteEnv",
    "append_env",
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
            ".common": ["Stop", "WriteEnv", "append_env", "stop_signals", "write"],
            ".errors": ["REFUSED"],
            ".serve": ["cannot_listen"],
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: the process's own) and return its exit code.

    0: done, all is well. 1: something is wrong, or was refused. 2: wrong usage. 3: a setting is
    missing or wrong. 4: the API or the database cannot be reached. 130: Ctrl-C.
    """
    from importlib.util import find_spec

    try:
        if not all(find_spec(needed) for needed in ("typer", "rich")):
            from dispatch_returns.errors import MissingExtraError

            sys.stderr.write(f"Error: {MissingExtraError('cli', 'the command')}\n")
            return 3
        from dispatch_returns.cli.app import run

        return run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return 130
