"""Finds plugins of any installed package by the name of their entry point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from dispatch_returns.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins of one kind. `what` is the kind in words, such as ``refund adapter``.

    A plugin is a class with a class method ``from_settings(options: Mapping[str, str])``.
    """

    group: str
    what: str

    def available(self) -> list[str]:
        """Return the names of all installed plugins, sorted."""
        return sorted(entry_points(group=self.group).names)

    def load(self, name: str) -> object:
        """Return the class named `name`.

        Raises `ConfigurationError` when no package or more than one offers that name, when the
        class cannot be imported, and when it has no ``from_settings``.
        """
        entry = self._entry(name)
        whose = f"the {self.what} {name} of {_distribution(entry)}"
        try:
            found: object = entry.load()
        except ConfigurationError:
            raise  # a missing extra says itself how to install it
        except Exception as error:  # a plugin may raise anything during its import
            raise ConfigurationError(
                f"{whose} cannot be imported ({type(error).__name__}: {error})"
            ) from error
        if not callable(getattr(found, "from_settings", None)):
            raise ConfigurationError(f"{whose} has no from_settings(options)")
        return found

    def required(self, plugin: str, options: Mapping[str, str], name: str) -> str:
        """Return a required option.

        Raises `ConfigurationError`, which names the variable it comes from: ``STRIPE_API_KEY`` for
        ``api_key`` of the plugin ``stripe``.
        """
        if value := options.get(name):
            return value
        variable = f"{plugin}_{name}".upper()
        raise ConfigurationError(
            f"the {self.what} {plugin} needs {name}: set {variable} in the environment"
        )

    def _entry(self, name: str) -> EntryPoint:
        found = entry_points(group=self.group, name=name)
        entries = {(entry.value, _distribution(entry)): entry for entry in found}
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
        return next(iter(entries.values()))


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"
