"""Finds label providers by name: our own, and those of any installed package.

A plugin is a class that implements `LabelProvider`, names the model of its options in
``options_model``, has a class method ``from_options(options)``, and is named in its package's
metadata::

    [project.entry-points."dispatch_returns.label_providers"]
    acme = "acme_labels:AcmeLabels"
"""

from __future__ import annotations

from collections.abc import Mapping

from dispatch_returns.plugins.entry_points import Plugins
from dispatch_returns.returns.labels.provider import LabelProvider

PLUGINS: Plugins[LabelProvider] = Plugins("dispatch_returns.label_providers", "label provider")


def available() -> list[str]:
    """Return the names of all installed label providers, sorted."""
    return PLUGINS.available()


def load(name: str, options: Mapping[str, str]) -> LabelProvider:
    """Return the label provider called `name`, built from its `options`.

    Raises `ConfigurationError` for an unknown name, and for missing or wrong options.
    """
    return PLUGINS.build(name, options)
