"""Builds what the workflow needs from the settings: policy, orders, labels, notifier."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.registry import build_adapter
from dispatch_returns.refunds.ticket_facts import OrderLookup
from dispatch_returns.returns import notifications
from dispatch_returns.returns.labels import registry as label_providers
from dispatch_returns.returns.labels.provider import Address, LabelProvider
from dispatch_returns.returns.notifications.notification import Notifier
from dispatch_returns.returns.orders import registry as order_sources
from dispatch_returns.returns.orders.registry import Orders
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.steps.workflow import Workflow

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.connector.settings import Settings

_ADDRESS = (
    "name; street; postal code; city; country, with a state before the country if the address has"
    " one, such as: Acme; Dock 3; 62701; Springfield; IL; US"
)


def adapters_of(settings: Settings) -> Adapters:
    """Return the adapters of the settings. Raises `ConfigurationError`."""
    return Adapters(
        {
            name: build_adapter(plugin, settings.adapter_options.get(name, {}), called=name)
            for name, plugin in settings.adapter_plugins.items()
        }
    )


def payment_search(adapters: Adapters) -> OrderLookup:
    """Return the search for an order's payment in all accounts whose adapter can search.

    It finds none where more than one has a payment for the order, as one account's search does.
    Raises `ConfigurationError` if no adapter can search.
    """
    searches: dict[str, OrderLookup] = {}
    for name, adapter in adapters.items():
        own: OrderLookup | None = getattr(adapter, "find_payment", None)
        if own is not None:
            searches[name] = own
    if not searches:
        raise ConfigurationError(
            "DISPATCH_RETURNS_STRIPE_SEARCH is on, but the adapter"
            f" {' or '.join(adapters)} can't search"
        )

    def search(order_id: str) -> PaymentRef | None:
        hits = [(name, own(order_id)) for name, own in searches.items()]
        found = [replace(ref, adapter=name) for name, ref in hits if ref is not None]
        return found[0] if len(found) == 1 else None

    return search


def book_of(settings: Settings) -> PolicyBook | None:
    """Return the return policy, None if none is set. Raises `ConfigurationError`."""
    return PolicyBook.from_toml(*settings.policy) if settings.policy else None


def orders_of(settings: Settings) -> Orders | None:
    """Return the order sources, None if only the ticket describes its order, which proves no owner.

    Raises `ConfigurationError`.
    """
    if settings.orders == ("ticket",):
        return None
    return order_sources.load(settings.orders, settings.order_options, settings.adapter_plugins)


def parts_of(settings: Settings, client: DispatchClient) -> Workflow | None:
    """Return what the six steps use, None if no policy is set: then there are only refunds.

    Raises `ConfigurationError`.
    """
    book = book_of(settings)
    if book is None:
        return None
    address: Address | None = None
    labels: LabelProvider | None = None
    if settings.return_address is not None:  # without it there is no address for a label
        address = address_of(settings.return_address)
        labels = label_providers.load(settings.labels, settings.label_options)
    return Workflow(
        book=book,
        orders=order_sources.load(
            settings.orders, settings.order_options, settings.adapter_plugins
        ),
        labels=labels,
        recipient=address,
        notifier=notifier_of(settings, client),
        language=settings.language,
        mailer=mailer_of(settings, client),
    )


def mailer_of(settings: Settings, client: DispatchClient) -> Notifier | None:
    """Return what mails the portal's codes, None without a mail server. Raises the same.

    Other programs may have set single variables that begin with ``SMTP_``.
    """
    if not {"host", "from"} <= settings.smtp_options.keys():
        return None
    return notifications.load(
        ("smtp",),
        client,
        smtp=settings.smtp_options,
        shop=settings.shop,
        templates=settings.notification_templates,
    )


def notifier_of(settings: Settings, client: DispatchClient) -> Notifier | None:
    """Return the notifier of the settings. Raises `ConfigurationError`."""
    return notifications.load(
        settings.notifications,
        client,
        smtp=settings.smtp_options,
        shop=settings.shop,
        templates=settings.notification_templates,
    )


def address_of(text: str) -> Address:
    """Read ``name; street; postal code; city; country``, optionally with a state before the
    country. Raises `ConfigurationError`.
    """
    fields = [field.strip() for field in text.split(";")]
    if len(fields) not in {5, 6} or not all(fields) or len(fields[-1]) != 2:
        raise ConfigurationError(f"DISPATCH_RETURNS_RETURN_ADDRESS: write {_ADDRESS}")
    name, street, code, city, *state, country = fields
    return Address(name, street, city, code, country.upper(), state=state[0] if state else None)
