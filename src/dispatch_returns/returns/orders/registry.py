"""Finds order sources by name: our own, and those of any installed package.

A plugin is a class that implements `OrderSource`, names the model of its options in
``options_model``, has a class method ``from_options(options)``, and is named in its package's
metadata::

    [project.entry-points."dispatch_returns.order_sources"]
    acme = "acme_orders:AcmeOrders"
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.plugins.entry_points import Plugins
from dispatch_returns.returns.orders.model import Order, OrderSource

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

PLUGINS: Plugins[OrderSource] = Plugins("dispatch_returns.order_sources", "order source")


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


def is_shop(source: OrderSource) -> bool:
    """Return whether `source` is the shop's own system: an order unknown to it does not exist.

    A ticket's fields and the metadata of payments know only some orders: ``is_shop = False``.
    """
    return bool(getattr(source, "is_shop", True))


class Orders:
    """Several sources, tried in order: the first that knows the order answers.

    A source that can't answer now ends the search: the next one might have another order with
    that id. `refunded_by` names the shops that refund their orders themselves (D-171): there, the
    order is the payment.
    """

    name = "several"

    def __init__(self, sources: Sequence[OrderSource], refunded_by: Collection[str] = ()) -> None:
        if not sources:
            raise ConfigurationError("orders: name at least one source")
        self.sources = tuple(sources)
        self._refunded_by = frozenset(refunded_by)

    @property
    def is_shop(self) -> bool:
        """Whether one of the sources is the shop's own system."""
        return any(is_shop(source) for source in self.sources)

    def __repr__(self) -> str:
        return f"Orders({', '.join(source.name for source in self.sources)})"

    def close(self) -> None:
        """Close every source that can be closed."""
        for source in self.sources:
            if isinstance(source, _Closable):
                source.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order of the first source that knows it. Raises `OrderError`."""
        for source in self.sources:
            order = source.order(order_id, ticket)
            if order is not None:
                itself = order.as_payment if source.name in self._refunded_by else None
                if itself is None:
                    return order
                return replace(order, payment=replace(itself, adapter=source.name))
        return None


def load(
    names: Sequence[str],
    options: Mapping[str, Mapping[str, str]],
    refunded_by: Collection[str] = (),
) -> Orders:
    """Return the sources called `names`, each built from its own of the `options`.

    `refunded_by` are the names of the refund adapters: see `Orders`.
    Raises `ConfigurationError` for an unknown name, and for missing or wrong options.
    """
    sources = [PLUGINS.build(name, options.get(name, {})) for name in names]
    return Orders(sources, refunded_by)
