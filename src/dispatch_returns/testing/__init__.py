"""For tests: an in-memory processor, and the contract every refund adapter is held to.

Nothing in the package imports this; only the contract needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.testing.fake import FakeAdapter, Fault

if TYPE_CHECKING:
    from dispatch_returns.testing.contract import RefundAdapterContract

__all__ = ["FakeAdapter", "Fault", "RefundAdapterContract"]


def __getattr__(name: str) -> object:
    if name != "RefundAdapterContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite(f"{__name__}.contract")
    from dispatch_returns.testing.contract import RefundAdapterContract

    return RefundAdapterContract
