"""The bytes of an attachment, sent to or read from a presigned address in small parts.

A presigned address contains its own permission, so it is called without our key, and never
shown in a log, a message or a ``repr``.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from dispatch_returns.errors import APIResponseError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Generator

CHUNK = 65_536

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of bytes done, and of all bytes (-1 if that is unknown)."""


@dataclass(slots=True)
class Upload:
    """A PUT of ``size`` bytes of ``source``, from where it stands now."""

    path: str
    """Its name in logs and errors."""
    url: str = field(repr=False)
    source: IO[bytes] = field(repr=False)
    size: int
    content_type: str
    progress: Progress | None = field(default=None, repr=False)
    _start: int | None = field(default=None, init=False, repr=False)
    _sent: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._start = self.source.tell() if self.source.seekable() else None

    def restart(self) -> bool:
        """Go back to the beginning for another attempt; False if that is impossible."""
        if self._start is not None:
            self.source.seek(self._start)
            self._sent = 0
        return self._sent == 0

    def read(self) -> bytes:
        """Return the next part; empty at the end. Raises if the source is shorter than it was."""
        part = self.source.read(min(CHUNK, self.size - self._sent))
        if not part and self._sent < self.size:
            raise InvalidArgumentError("source", f"ended before its {self.size} bytes")
        return part

    def passed(self, part: bytes) -> None:
        """Count a part that was sent."""
        self._sent += len(part)
        if self.progress is not None:
            self.progress(self._sent, self.size)


@dataclass(slots=True)
class Download:
    """A GET whose bytes go to ``sink``, from where it stands now."""

    path: str
    url: str = field(repr=False)
    sink: IO[bytes] = field(repr=False)
    size: int | None = None
    progress: Progress | None = field(default=None, repr=False)
    _start: int | None = field(default=None, init=False, repr=False)
    _got: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._start = self.sink.tell() if self.sink.seekable() else None

    def restart(self) -> bool:
        """Discard what arrived, for another attempt; False if that is impossible."""
        if self._start is not None and self._got:
            self.sink.seek(self._start)
            self.sink.truncate()
            self._got = 0
        return self._got == 0

    def write(self, part: bytes) -> None:
        """Keep the next part."""
        self.sink.write(part)
        self._got += len(part)
        if self.progress is not None:
            self.progress(self._got, -1 if self.size is None else self.size)

    def end(self) -> None:
        """Raise a retryable `APIResponseError` if bytes are missing, or there are too many."""
        if self.size is not None and self._got != self.size:
            message = f"GET {self.path}: {self._got} of {self.size} bytes arrived"
            raise APIResponseError(message, retryable=True)


@contextmanager
def reading(source: str | os.PathLike[str] | IO[bytes]) -> Generator[IO[bytes]]:
    """Open a path for reading; a file object is used as it is, and stays open."""
    if isinstance(source, str | os.PathLike):
        with _opened("source", Path(source), "rb") as file:
            yield file
        return
    if not hasattr(source, "read") or _is_text(source):
        raise InvalidArgumentError("source", "must be a path, or a file that is open in binary")
    yield source


@contextmanager
def writing(target: str | os.PathLike[str] | IO[bytes]) -> Generator[IO[bytes]]:
    """Open a path for writing: the file appears there only once all of it has arrived."""
    if not isinstance(target, str | os.PathLike):
        if not hasattr(target, "write") or _is_text(target):
            raise InvalidArgumentError("target", "must be a path, or a file open in binary")
        yield target
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _opened("target", part, "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def size_of(source: IO[bytes]) -> int:
    """Return the number of bytes from where `source` stands to its end."""
    if not source.seekable():
        raise InvalidArgumentError("size", "is needed: this source cannot tell its own")
    here = source.tell()
    end = source.seek(0, os.SEEK_END)
    source.seek(here)
    return end - here


def _is_text(file: object) -> bool:
    return isinstance(file, io.TextIOBase)


def _for_its_owner(name: str, flags: int) -> int:
    """A file created here contains what a customer sent, so only its owner may read it."""
    return os.open(name, flags, 0o600)


def _opened(argument: str, path: Path, mode: str) -> IO[bytes]:
    try:
        return open(path, mode, opener=_for_its_owner)
    except OSError as problem:
        text = f"{path} cannot be opened: {problem.strerror or problem}"
        raise InvalidArgumentError(argument, text) from problem
