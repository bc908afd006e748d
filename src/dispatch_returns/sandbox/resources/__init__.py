"""The resources of the API, one module each, and the table of all endpoints below a workspace."""

from __future__ import annotations

from dispatch_returns.sandbox.endpoints import Endpoint
from dispatch_returns.sandbox.resources import (
    comments,
    customers,
    fields,
    statuses,
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
)
