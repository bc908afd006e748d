"""Finds order sources by name: ours, and those of any package that is installed.

A plugin is a class that satisfies `OrderSource`, has a class method
``from_settings(options: Mapping[str, str])``, and is named in its package's metadata::

    [project.entry-points."dispatch_returns.order_sources"]
    acme = "acme_orders:AcmeOrders"

``options`` is what the settings found for it, by lower-case name: ``ACME_API_KEY`` arrives as
``{"api_key": ...}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.plugins import Plugins
from dispatch_returns.returns.orders.model import Order, OrderSource

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

PLUGINS = Plugins("dispatch_returns.order_sources", "order source")


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class _Factory(Protocol):
    def from_settings(self, options: Mapping[str, str]) -> OrderSource: ...


def is_shop(source: OrderSource) -> bool:
    """Whether `source` is the shop's own system: an order that it does not know is none.

    A ticket's fields and the metadata of payments say ``is_shop = False``: they know some.
    """
    return bool(getattr(source, "is_shop", True))


class Orders:
    """Several sources, asked in their order: the first that knows the order answers.

    One that cannot say now ends the search: the next one might know another order by that id.
    """

    name = "several"

    def __init__(self, sources: Sequence[OrderSource]) -> None:
        if not sources:
            raise ConfigurationError("orders: name at least one source")
        self.sources = tuple(sources)

    @property
    def is_shop(self) -> bool:
        """Whether one of the sources is."""
        return any(is_shop(source) for source in self.sources)

    def __repr__(self) -> str:
        return f"Orders({', '.join(source.name for source in self.sources)})"

    def close(self) -> None:
        """Close every source that can be."""
        for source in self.sources:
            if isinstance(source, _Closable):
                source.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order of the first source that knows it. Raises `OrderError`."""
        found = (source.order(order_id, ticket) for source in self.sources)
        return next((order for order in found if order is not None), None)


def load(names: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> Orders:
    """Return the sources that go by `names`, each built from its own of the `options`.

    Raises `ConfigurationError` for an unknown name, and for options that are missing or wrong.
    """
    return Orders(
        [
            cast("_Factory", PLUGINS.load(name)).from_settings(options.get(name, {}))
            for name in names
        ]
    )
