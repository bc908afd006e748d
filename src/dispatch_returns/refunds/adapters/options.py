"""What an adapter's ``from_settings`` needs of the options it is given."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch_returns.errors import ConfigurationError


def required(adapter: str, options: Mapping[str, str], name: str) -> str:
    """Return an option that must be there.

    Raises `ConfigurationError` with the variable it is taken from: ``STRIPE_API_KEY`` for
    ``api_key`` of the adapter ``stripe``.
    """
    if value := options.get(name):
        return value
    variable = f"{adapter}_{name}".upper()
    raise ConfigurationError(
        f"the refund adapter {adapter} needs {name}: set {variable} in the environment"
    )
