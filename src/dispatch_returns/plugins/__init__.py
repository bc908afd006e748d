"""Plugins of any package: how their options are declared, and how they are found and built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.plugins.options import CommaSeparated, PluginOptions, Secrets

__all__ = ["CommaSeparated", "PluginOptions", "Secrets"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, __all__, ".options")
