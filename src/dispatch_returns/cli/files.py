"""Writes the files that commands are asked for; what the system refuses is one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import typer


def write(path: Path, content: bytes | str) -> None:
    """Write a file, with its folder. Raises `typer.BadParameter` where that is not possible.

    A new file is its owner's only, for most of them show customers' data; the rights of one that
    is there already are left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb", opener=_for_its_owner) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror})") from None


def _for_its_owner(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
