"""Finds refund adapters by name: ours, and those of any installed package.

A plugin is a class that satisfies `RefundAdapter`, has a class method ``from_settings(options:
Mapping[str, str])`` that builds one from the environment's options, and is named in its package's
metadata::

    [project.entry-points."dispatch_returns.refund_adapters"]
    acme = "acme_refunds:AcmeRefunds"

``options`` holds what the settings found for it, by lower-case name: ``ACME_API_KEY`` arrives as
``{"api_key": ...}``. It contains every variable with that prefix, whichever program it is for, so a
name that the adapter does not know is no mistake. Raise `ConfigurationError` for an option that is
missing or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from dispatch_returns.plugins import Plugins
from dispatch_returns.refunds.adapter import RefundAdapter

PLUGINS = Plugins("dispatch_returns.refund_adapters", "refund adapter")


class AdapterFactory(Protocol):
    """What an entry point names: an adapter class."""

    def from_settings(self, options: Mapping[str, str]) -> RefundAdapter:
        """Return an adapter. Raises `ConfigurationError`."""
        ...


def available() -> list[str]:
    """Return the names of all installed adapters, sorted."""
    return PLUGINS.available()


def load_adapter(name: str) -> AdapterFactory:
    """Return the adapter class named `name`.

    Raises `ConfigurationError` when no package or more than one offers that name, when the class
    cannot be imported, and when it is not an adapter class.
    """
    return cast("AdapterFactory", PLUGINS.load(name))
