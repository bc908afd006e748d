"""Finds refund adapters by name: ours, and those of any installed package.

A plugin is a class that satisfies `RefundAdapter`, names the model of its options in
``options_model``, has a class method ``from_options(options)``, and is named in its package's
metadata::

    [project.entry-points."dispatch_returns.refund_adapters"]
    acme = "acme_refunds:AcmeRefunds"
"""

from __future__ import annotations

from collections.abc import Mapping

from dispatch_returns.plugins.entry_points import PluginClass, Plugins
from dispatch_returns.refunds.adapter import RefundAdapter

PLUGINS: Plugins[RefundAdapter] = Plugins("dispatch_returns.refund_adapters", "refund adapter")


def available() -> list[str]:
    """Return the names of all installed adapters, sorted."""
    return PLUGINS.available()


def load_adapter(name: str) -> PluginClass[RefundAdapter]:
    """Return the adapter class named `name`.

    Raises `ConfigurationError` when no package or more than one offers that name, when the class
    cannot be imported, and when it is not an adapter class.
    """
    return PLUGINS.load(name)


def build_adapter(
    name: str, options: Mapping[str, str], *, called: str | None = None
) -> RefundAdapter:
    """Return the adapter named `name`, built from its `options` by their lower-case names.

    `called` is its configured name, with which its variables start, if that is not its own.
    Raises `ConfigurationError`, which names every variable that is missing or wrong.
    """
    return PLUGINS.build(name, options, called=called)
