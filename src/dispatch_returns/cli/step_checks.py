"""The checks of what the six steps use: policy, orders, labels and notifications.

Each service is asked through its own protocol for something that does not exist. So its key,
address and query are tried as they will be used, and a plugin is checked like our own.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dispatch_returns.cli.check import Checkable, DoctorCheck, attempt
from dispatch_returns.cli.notifications import problems_of
from dispatch_returns.cli.setup import client_for
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.clock import utc_now
from dispatch_returns.connector.build import address_of, book_of
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import ConfigurationError, DispatchReturnsError
from dispatch_returns.plugins.entry_points import Plugins
from dispatch_returns.plugins.options import variables_set
from dispatch_returns.returns import notifications
from dispatch_returns.returns.labels import registry as label_providers
from dispatch_returns.returns.labels.provider import LabelRequest, PackingLine
from dispatch_returns.returns.notifications.rendering import Templates
from dispatch_returns.returns.orders import registry as order_sources
from dispatch_returns.returns.orders.sql import SqlOrders
from dispatch_returns.returns.policy.lint import check as find_mistakes

_NOWHERE = "dispatch-returns-doctor"
"""The id of an order, and of a ticket, that does not exist."""


_OF_TICKET = "read from the ticket's fields, which do not name an owner, so none is checked"
_MISSED = {
    "customer_email": "the order's owner is not checked",
    "order_id": "two spellings of one order count as two orders",
}
"""The consequence of a column that a SQL query does not select."""
_SELECT = "Select the customer's address and the order's own id under these names: docs/orders.md."


def run(settings: Settings) -> list[DoctorCheck]:
    """Check what the six steps use; they run only if a policy is set."""
    if not settings.policy:
        detail = "none is set: no return is evaluated, and `refunded` pays"
        # Orders still have owners, unless they are read from the ticket.
        sources = settings.orders if settings.orders != ("ticket",) else ()
        return [DoctorCheck("policy", "ok", detail), *(_orders(settings, name) for name in sources)]
    remedy = "Set DISPATCH_RETURNS_POLICY to the policy's files, or fix what the message names."
    checks = [
        attempt("policy", partial(_policy, settings), remedy),
        *(_orders(settings, name) for name in settings.orders),
        _labels(settings),
    ]
    # An error in the settings of the client is reported by the check of the API.
    with contextlib.suppress(DispatchReturnsError), client_for(settings) as client:
        checks += [_notification(settings, client, name) for name in settings.notifications]
    if settings.portal_url is not None:
        checks.append(portal(settings))
    return checks


def portal(settings: Settings) -> DoctorCheck:
    """Check what the portal needs to prove an order and to show it."""
    if settings.orders == ("ticket",):
        return DoctorCheck(
            "portal",
            "failed",
            "no order source is set, so it finds no order",
            "Set DISPATCH_RETURNS_ORDERS: docs/orders.md.",
        )
    if not {"host", "from"} <= settings.smtp_options.keys():
        return DoctorCheck(
            "portal",
            "warning",
            "no mail server is set, so an order opens by a signed link only",
            "Set SMTP_HOST and SMTP_FROM, so that customers can ask for a code.",
        )
    return DoctorCheck("portal", "ok", f"{settings.portal_url}, with codes by mail")


def _policy(settings: Settings) -> DoctorCheck:
    book = book_of(settings)
    assert book is not None
    found = find_mistakes(book)
    versions = ", ".join(policy.id for policy in book.versions)
    if not found:
        return DoctorCheck("policy", "ok", versions)
    first = f"{found[0].version}, {found[0].where}: {found[0].what}"
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return DoctorCheck("policy", "warning", f"{first}{more}", "Run: dispatch-returns policy check.")


def _orders(settings: Settings, name: str) -> DoctorCheck:
    options = settings.order_options.get(name, {})
    given = _variables(order_sources.PLUGINS, name, options)

    def check() -> DoctorCheck:
        with contextlib.closing(order_sources.load([name], {name: options})) as orders:
            ticket = Ticket.model_validate(
                {
                    "id": _NOWHERE,
                    "workspace_id": settings.workspace,
                    "subject": "",
                    "status": settings.check_status,
                    "created_at": utc_now(),
                    "custom_fields": {},
                }
            )
            _call(lambda: orders.order(_NOWHERE, ticket))
            (source,) = orders.sources
            columns = source.columns() if isinstance(source, SqlOrders) else _MISSED.keys()
            missed = [column for column in _MISSED if column not in columns]
            if missed:
                detail = "; ".join(f"the query selects no {it}: {_MISSED[it]}" for it in missed)
                return DoctorCheck(f"orders: {name}", "warning", detail, _SELECT)
        detail = _OF_TICKET if name == "ticket" else "it answers"
        return DoctorCheck(f"orders: {name}", "ok", f"{detail}{given and f'; set: {given}'}")

    return attempt(f"orders: {name}", check, f"Check {given}." if given else None)


def _labels(settings: Settings) -> DoctorCheck:
    name, options = settings.labels, settings.label_options
    given = _variables(label_providers.PLUGINS, name, options)
    if settings.return_address is None:
        return DoctorCheck(
            "labels",
            "warning",
            "DISPATCH_RETURNS_RETURN_ADDRESS is not set: no label is created",
            "Set it to the address for returned parcels, or have people send the labels.",
        )
    address = settings.return_address

    def check() -> DoctorCheck:
        now = utc_now()
        request = LabelRequest(
            key=f"{_NOWHERE}-{uuid.uuid4().hex}",  # so that no label is ever found for it
            ticket_id=_NOWHERE,
            return_number="R-0000-0000-00",
            recipient=address_of(address),
            sender=None,
            lines=(PackingLine("SKU-001", 1),),
            created_at=now,
            language=settings.language,
        )
        with contextlib.closing(label_providers.load(name, options)) as provider:
            _call(lambda: provider.find(request))
        return DoctorCheck("labels", "ok", f"{name} answers{given and f'; set: {given}'}")

    return attempt("labels", check, f"Check {given}." if given else None)


def _notification(settings: Settings, client: DispatchClient, name: str) -> DoctorCheck:
    folder = settings.notification_templates

    def check() -> DoctorCheck:
        smtp = settings.smtp_options
        notifier = notifications.load([name], client, smtp=smtp, templates=folder)
        assert notifier is not None
        with contextlib.closing(notifier):
            detail = (
                notifier.check() if isinstance(notifier, Checkable) else "written on the ticket"
            )
        wrong = problems_of(Templates(folder=folder), Path(folder)) if folder else []
        if wrong:
            remedy = f"Run: dispatch-returns notifications check {folder}."
            return DoctorCheck(f"notifications: {name}", "warning", wrong[0], remedy)
        return DoctorCheck(f"notifications: {name}", "ok", detail)

    return attempt(f"notifications: {name}", check)


def _call(service: Callable[[], object]) -> None:
    """Call a service. Of a plugin's error, only the class is shown: its text may hold anything."""
    try:
        service()
    except DispatchReturnsError:
        raise
    except Exception as error:  # noqa: BLE001 - a merchant's own code may raise anything
        raise ConfigurationError(f"it failed with {type(error).__name__}") from None


def _variables(plugins: Plugins[Any], name: str, options: Mapping[str, str]) -> str:
    """Return which of the plugin's variables are set, without their values."""
    try:
        model = plugins.load(name).options_model
    except ConfigurationError:
        return ""  # the check itself reports it
    return ", ".join(variables_set(model, name, options))
