"""The ids of orders: people write the same one in several ways."""

from __future__ import annotations


def plain_id(order_id: str) -> str:
    """Return an order's id without edge spaces and without the ``#`` that people put before it.

    >>> plain_id(" #1234 ")
    '1234'
    """
    text = order_id.strip()
    return text.removeprefix("#").strip() or text


def order_key(order_id: str) -> str:
    """Return a key that is equal for two spellings of one order's id: `plain_id`, in any case.

    Where a shop system was asked, its own id is compared, and no guess is needed.
    """
    return plain_id(order_id).casefold()


def same_order(one: str, other: str) -> bool:
    """Whether two ids name the same order."""
    return order_key(one) == order_key(other)
