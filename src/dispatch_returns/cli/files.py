"""Writes the files that commands are asked for; what the system refuses is one sentence."""

from __future__ import annotations

from pathlib import Path

import typer


def write(path: Path, content: bytes | str) -> None:
    """Write a file, with its folder. Raises `typer.BadParameter` where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written ({error.strerror})") from None
