"""Finds plugins of any installed package by the name of their entry point, and builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar, cast

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.plugins.options import PluginOptions, named_by_variable, read_options

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class PluginClass(Protocol[P_co]):
    """What an entry point names: a class, the model of its options, and how it is built."""

    options_model: type[PluginOptions]

    def from_options(self, options: Any) -> P_co:
        """Return the plugin, built from an instance of its ``options_model``.

        Raises `ConfigurationError`. The name of an option as the argument of an
        `InvalidArgumentError` is replaced by the option's variable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plugins(Generic[P]):
    """The plugins of one kind. `what` is the kind in words, such as ``refund adapter``."""

    group: str
    what: str

    def available(self) -> list[str]:
        """Return the names of all installed plugins, sorted."""
        return sorted(entry_points(group=self.group).names)

    def load(self, name: str) -> PluginClass[P]:
        """Return the class named `name`.

        Raises `ConfigurationError` when no package or more than one offers that name, when the
        class cannot be imported, and when it does not say how it is built.
        """
        entries = {
            (entry.value, _distribution(entry)): entry
            for entry in entry_points(group=self.group, name=name)
        }
        if not entries:
            installed = ", ".join(self.available()) or "none"
            raise ConfigurationError(
                f"no installed package offers the {self.what} {name!r} (installed: {installed})"
            )
        if len(entries) > 1:
            owners = ", ".join(sorted(_distribution(entry) for entry in entries.values()))
            raise ConfigurationError(
                f"several packages offer the {self.what} {name!r}: {owners}; uninstall all but one"
            )
        entry = next(iter(entries.values()))
        whose = f"the {self.what} {name} of {_distribution(entry)}"
        try:
            found: object = entry.load()
        except ConfigurationError:
            raise  # a missing extra says itself how to install it
        except Exception as error:  # a plugin may raise anything during its import
            raise ConfigurationError(
                f"{whose} cannot be imported ({type(error).__name__}: {error})"
            ) from error
        model = getattr(found, "options_model", None)
        if not (isinstance(model, type) and issubclass(model, PluginOptions)):
            raise ConfigurationError(f"{whose} has no options_model: a subclass of PluginOptions")
        if not callable(getattr(found, "from_options", None)):
            raise ConfigurationError(f"{whose} has no class method from_options(options)")
        return cast("PluginClass[P]", found)

    def build(self, name: str, given: Mapping[str, str], *, called: str | None = None) -> P:
        """Return the plugin named `name`, built from its options by their lower-case names.

        `called` is the name that its variables start with, if that is not its own.

        Raises `ConfigurationError` as `load` does, and for options that are missing or wrong.
        """
        plugin = self.load(name)
        options = read_options(plugin.options_model, called or name, given)
        with named_by_variable(plugin.options_model, called or name):
            return plugin.from_options(options)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"
