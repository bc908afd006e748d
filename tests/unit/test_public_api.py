"""The public names are pinned: one more or one less is a decision, not an accident."""

from __future__ import annotations

import pytest

import dispatch_returns

NAMES = [
    "AsyncDispatchClient",
    "Connector",
    "Context",
    "DispatchClient",
    "Money",
    "PolicyBook",
    "RefundEvent",
    "ReturnPolicy",
    "Settings",
    "Store",
    "__version__",
    "errors",
    "refunds",
    "webhooks",
]


def test_the_public_names_are_these() -> None:
    assert sorted(dispatch_returns.__all__) == NAMES
    assert dir(dispatch_returns) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_can_be_had(name: str) -> None:
    assert getattr(dispatch_returns, name) is getattr(dispatch_returns, name)


def test_a_class_comes_from_its_own_module() -> None:
    from dispatch_returns.money import Money

    assert dispatch_returns.Money is Money


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'Nope'$"):
        dispatch_returns.Nope  # noqa: B018 - looking it up is the act
