"""Finds refund adapters by name: ours, and those of any package that is installed.

A plugin is a class that satisfies `RefundAdapter`, has a class method
``from_settings(options: Mapping[str, str])`` that builds one from what the environment says,
and is named in its package's metadata::

    [project.entry-points."dispatch_returns.refund_adapters"]
    acme = "acme_refunds:AcmeRefunds"

``options`` has what the settings found for it, by lower-case name: ``ACME_API_KEY`` arrives as
``{"api_key": ...}``. It has every variable of that prefix, whosoever it is, so a name that the
adapter does not know is no mistake. `ConfigurationError` is for what is missing or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.refunds.adapter import RefundAdapter

GROUP = "dispatch_returns.refund_adapters"


class AdapterFactory(Protocol):
    """What an entry point names: an adapter's class."""

    def from_settings(self, options: Mapping[str, str]) -> RefundAdapter:
        """Return an adapter. Raises `ConfigurationError`."""
        ...


def available() -> list[str]:
    """Return the names of all installed adapters, sorted."""
    return sorted(entry_points(group=GROUP).names)


def load_adapter(name: str) -> AdapterFactory:
    """Return the adapter class that goes by `name`.

    Raises `ConfigurationError` when none or more than one package offers that name, when it
    cannot be imported, and when it is no adapter class.
    """
    entry = _entry(name)
    try:
        found: object = entry.load()
    except Exception as error:  # a plugin may raise anything while it is imported
        raise ConfigurationError(
            f"the refund adapter {name} of {_distribution(entry)} cannot be imported"
            f" ({type(error).__name__}: {error})"
        ) from error
    if not callable(getattr(found, "from_settings", None)):
        raise ConfigurationError(
            f"the refund adapter {name} of {_distribution(entry)} has no from_settings(options)"
        )
    return cast("AdapterFactory", found)


def _entry(name: str) -> EntryPoint:
    entries = {(e.value, _distribution(e)): e for e in entry_points(group=GROUP, name=name)}
    if not entries:
        installed = ", ".join(available()) or "none"
        raise ConfigurationError(
            f"no installed package offers the refund adapter {name!r} (installed: {installed})"
        )
    if len(entries) > 1:
        owners = ", ".join(sorted(_distribution(entry) for entry in entries.values()))
        raise ConfigurationError(
            f"several packages offer the refund adapter {name!r}: {owners}; uninstall all but one"
        )
    return next(iter(entries.values()))


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"
