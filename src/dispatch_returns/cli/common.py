"""What commands share: who acts and why, what they open, what they write, how they stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.store import Store

Who = Annotated[
    str | None,
    typer.Option("--who", "--by", help="Who does this; it is recorded. Default: your login name."),
]
Why = Annotated[str | None, typer.Option(help="Why; it is recorded.")]


def person(who: str | None) -> str:
    """Return the name to record in the audit log. Raises `typer.BadParameter`."""
    if who is None:
        from getpass import getuser

        try:
            return getuser()
        except (OSError, KeyError):
            raise typer.BadParameter("your login name is not known here: give --who") from None
    if not who.strip():
        raise typer.BadParameter("--who is empty: the audit log needs the name of who does this")
    return who.strip()


# What they open: the store alone to read, a whole connector to act.


def database_url() -> str:
    """Return where the store is. Needs no other setting."""
    from dispatch_returns.connector.settings import DATABASE_URL, read_one

    return read_one("database_url") or DATABASE_URL


def open_store() -> Store:
    """Open the store, which must exist. Raises `StoreUnavailableError`."""
    from dispatch_returns.store import Store

    return Store.open(database_url(), create=False)


@contextlib.contextmanager
def open_connector() -> Generator[Connector]:
    """Yield a connector for the environment's settings, on an existing store that belongs to them.

    Raises `ConfigurationError` if it belongs to another workspace or processor account.
    """
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.errors import ConfigurationError

    settings = Settings.from_env()
    with open_store() as store, Connector(settings, store=store) as connector:
        connector.installation.ready()
        if (refusal := connector.installation.refusal()) is not None:
            raise ConfigurationError(refusal)
        yield connector


def write(path: Path, content: bytes | str) -> None:
    """Write a file, and create its folder. Raises `typer.BadParameter` if that is not possible.

    Only its owner may read a new file, because most of them contain customers' data. An existing
    file keeps its permissions.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror})") from None


WriteEnv = Annotated[
    Path | None,
    typer.Option(
        "--write-env", metavar="FILE", help="Append what to set to this .env file (--env-file)."
    ),
]


def append_env(path: Path, variables: Mapping[str, str]) -> None:
    """Append variables to a ``.env`` file, where the last of a name counts.

    Only its owner may read a new one. Raises `typer.BadParameter` if it can't be written.
    """
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{path} cannot be read") from None
    write(path, before + ("\n" if before and not before.endswith("\n") else "") + lines)


# How a command that runs until it is stopped learns of it, and what its exit code is then.

INTERRUPTED = 130
_LOOK_EVERY = 0.5
"""Seconds."""


@dataclass(slots=True)
class Stop:
    """Set by Ctrl-C and by SIGTERM (which systemd, Docker and Kubernetes send)."""

    code: int = 0
    _event: threading.Event = field(default_factory=threading.Event)

    def set(self, code: int = 0) -> None:
        """Ask for an end with the exit code `code`."""
        self.code = code
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether an end was asked for, after so many seconds at most."""
        if seconds is not None:
            return self._event.wait(seconds)
        # Python runs a signal's handler in the main thread once that wakes up. A signal that
        # another thread received, or that came just before the wait, wakes it from no lock.
        while not self._event.wait(_LOOK_EVERY):
            pass
        return True


@contextlib.contextmanager
def stop_signals() -> Generator[Stop]:
    """Yield a `Stop` for as long as the block lasts.

    A second signal ends the process at once, however much is left to finish.
    """
    stop = Stop()

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set(INTERRUPTED if number == signal.SIGINT else 0)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
