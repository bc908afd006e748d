"""The typed client of the Dispatch API, blocking and async.

The names are imported when they are first used: the client needs pydantic only once there is
one, and not at all to be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.client.arguments import UNSET, Unset
    from dispatch_returns.client.async_client import AsyncDispatchClient
    from dispatch_returns.client.client import DispatchClient
    from dispatch_returns.client.exact_json import JsonValue
    from dispatch_returns.client.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo
    from dispatch_returns.client.models import (
        Account,
        ApiKey,
        Attachment,
        BulkResult,
        Category,
        CategoryStats,
        Comment,
        Customer,
        DeletePreview,
        Delivery,
        Field,
        FieldDefinitions,
        Model,
        Page,
        Plan,
        PortalComment,
        PortalTicket,
        PortalToken,
        Status,
        Tag,
        Ticket,
        UploadTarget,
        Usage,
        Webhook,
        Workspace,
    )
    from dispatch_returns.client.portal import AsyncPortalClient, PortalClient
    from dispatch_returns.client.rates import RateLimit
    from dispatch_returns.client.raw import RawResponse
    from dispatch_returns.client.scope import Style

__all__ = [
    "UNSET",
    "Account",
    "ApiKey",
    "AsyncDispatchClient",
    "AsyncPortalClient",
    "Attachment",
    "BulkResult",
    "Category",
    "CategoryStats",
    "Comment",
    "Customer",
    "DeletePreview",
    "Delivery",
    "DispatchClient",
    "Field",
    "FieldDefinitions",
    "Hooks",
    "JsonValue",
    "Model",
    "Page",
    "Plan",
    "PortalClient",
    "PortalComment",
    "PortalTicket",
    "PortalToken",
    "RateLimit",
    "RawResponse",
    "RequestInfo",
    "ResponseInfo",
    "RetryInfo",
    "Status",
    "Style",
    "Tag",
    "Ticket",
    "Unset",
    "UploadTarget",
    "Usage",
    "Webhook",
    "Workspace",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".models",
        {
            ".arguments": ["UNSET", "Unset"],
            ".async_client": ["AsyncDispatchClient"],
            ".client": ["DispatchClient"],
            ".exact_json": ["JsonValue"],
            ".hooks": ["Hooks", "RequestInfo", "ResponseInfo", "RetryInfo"],
            ".portal": ["AsyncPortalClient", "PortalClient"],
            ".rates": ["RateLimit"],
            ".raw": ["RawResponse"],
            ".scope": ["Style"],
        },
    )
