"""What every adapter's ``from_settings`` checks first."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dispatch_returns.errors import ConfigurationError


def check_options(
    adapter: str,
    options: Mapping[str, str],
    *,
    required: Collection[str] = (),
    optional: Collection[str] = (),
) -> None:
    """Raise `ConfigurationError` for an option that is missing, empty or unknown.

    Names the environment variable it is usually taken from: ``STRIPE_API_KEY`` for the
    adapter ``stripe`` and its option ``api_key``.
    """
    if unknown := set(options) - set(required) - set(optional):
        known = ", ".join(sorted({*required, *optional})) or "none"
        raise ConfigurationError(
            f"the refund adapter {adapter} has no option {', '.join(sorted(unknown))}"
            f" (it has: {known})"
        )
    for name in required:
        if not options.get(name):
            variable = f"{adapter}_{name}".upper()
            raise ConfigurationError(
                f"the refund adapter {adapter} needs {name}: set {variable} in the environment"
            )
