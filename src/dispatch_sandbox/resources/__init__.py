"""The resources of the API, one module each, and the table of all endpoints below a workspace."""

from __future__ import annotations

from dispatch_sandbox.endpoints import Endpoint
from dispatch_sandbox.resources import (
    accounts,
    attachments,
    categories,
    comments,
    customers,
    fields,
    portal,
    statuses,
    tags,
    ticket_acts,
    ticket_list,
    tickets,
    webhooks,
    workspaces,
)

ENDPOINTS: tuple[Endpoint, ...] = (
    *workspaces.ENDPOINTS,
    *tickets.ENDPOINTS,
    *ticket_list.ENDPOINTS,
    *comments.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *statuses.ENDPOINTS,
    *fields.ENDPOINTS,
    *customers.ENDPOINTS,
    *ticket_acts.ENDPOINTS,
    *attachments.ENDPOINTS,
    *categories.ENDPOINTS,
    *tags.ENDPOINTS,
    *portal.ENDPOINTS,
)
"""Below ``/v1/<style>/<workspace>``."""

ROOT_ENDPOINTS: tuple[Endpoint, ...] = workspaces.ACCOUNT_ENDPOINTS
"""Below ``/v1/<style>``."""

ACCOUNT_ENDPOINTS: tuple[Endpoint, ...] = accounts.ENDPOINTS
OPEN_ENDPOINTS: tuple[Endpoint, ...] = portal.OPEN_ENDPOINTS
PORTAL_ENDPOINTS: tuple[Endpoint, ...] = portal.PORTAL_ENDPOINTS
"""These three below ``/v1``: with a key, with nothing, with a portal token."""
