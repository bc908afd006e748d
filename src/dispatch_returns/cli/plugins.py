"""The commands that other packages bring, `demo` and `sandbox` among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any

from dispatch_returns.cli.output import warn

GROUP = "dispatch_returns.commands"


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield name and function of each; one that cannot be imported is named, and left out."""
    for entry in sorted(entry_points(group=GROUP)):
        try:
            command: Callable[..., Any] = entry.load()
        except Exception as error:  # noqa: BLE001 - a broken package must not take all commands away
            owner = entry.dist.name if entry.dist else "an unknown package"
            warn(f"the command {entry.name} of {owner} cannot be imported: {error}")
        else:
            yield entry.name, command
