"""Who does something by hand, and why: the options of every command that acts."""

from __future__ import annotations

from typing import Annotated

import typer

Who = Annotated[
    str | None,
    typer.Option("--who", "--by", help="Who does this; it is recorded. Default: your login name."),
]
Why = Annotated[str | None, typer.Option(help="Why; it is recorded.")]


def name(who: str | None) -> str:
    """Return the name to record. Raises `typer.BadParameter`."""
    if who is None:
        from getpass import getuser

        try:
            return getuser()
        except (OSError, KeyError):
            raise typer.BadParameter("nobody knows your login name here: give --who") from None
    if not who.strip():
        raise typer.BadParameter("--who is empty: an act needs the name of who does it")
    return who.strip()
