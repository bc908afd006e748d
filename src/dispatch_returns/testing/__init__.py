"""For tests: an in-memory processor, and the contracts that adapters and providers must pass.

The package itself never imports this; only the contracts need pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.testing.fake import FakeAdapter, Fault

if TYPE_CHECKING:
    from dispatch_returns.testing.contract import RefundAdapterContract
    from dispatch_returns.testing.labels import LabelProviderContract

__all__ = ["FakeAdapter", "Fault", "LabelProviderContract", "RefundAdapterContract"]

_CONTRACTS = {"LabelProviderContract": "labels", "RefundAdapterContract": "contract"}


def __getattr__(name: str) -> object:
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys
    from importlib import import_module

    import pytest

    module = f"{__name__}.{_CONTRACTS[name]}"
    if module not in sys.modules:  # later it could only warn
        pytest.register_assert_rewrite(module)
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
