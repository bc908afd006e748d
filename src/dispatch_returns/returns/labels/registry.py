"""Finds label providers by name: our own, and those of any installed package.

A plugin is a class that implements `LabelProvider`, has a class method
``from_settings(options: Mapping[str, str])``, and is named in its package's metadata::

    [project.entry-points."dispatch_returns.label_providers"]
    acme = "acme_labels:AcmeLabels"

``options`` is what the settings found for it, by lower-case name: ``ACME_API_KEY`` arrives as
``{"api_key": ...}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from dispatch_returns.plugins import Plugins
from dispatch_returns.returns.labels.provider import LabelProvider

PLUGINS = Plugins("dispatch_returns.label_providers", "label provider")


class _Factory(Protocol):
    def from_settings(self, options: Mapping[str, str]) -> LabelProvider: ...


def available() -> list[str]:
    """Return the names of all installed label providers, sorted."""
    return PLUGINS.available()


def load(name: str, options: Mapping[str, str]) -> LabelProvider:
    """Return the label provider called `name`, built from its `options`.

    Raises `ConfigurationError` for an unknown name, and for missing or wrong options.
    """
    return cast("_Factory", PLUGINS.load(name)).from_settings(options)
