"""The typed client of the Dispatch API, blocking and async.

Names are imported when they are first used, so importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.client.arguments import UNSET, Unset
    from dispatch_returns.client.client import (
        AsyncDispatchClient,
        AsyncPortalClient,
        DispatchClient,
        PortalClient,
    )
    from dispatch_returns.client.exact_json import JsonValue
    from dispatch_returns.client.hooks import Hooks, RequestInfo, ResponseInfo, RetryInfo
    from dispatch_returns.client.models import (
        Account,
        AccountPlan,
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
    from dispatch_returns.client.operation import Page, RawResponse, Style
    from dispatch_returns.client.retry import RateLimit

__all__ = [
    "UNSET",
    "Account",
    "AccountPlan",
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
            ".client": [
                "AsyncDispatchClient",
                "AsyncPortalClient",
                "DispatchClient",
                "PortalClient",
            ],
            ".exact_json": ["JsonValue"],
            ".hooks": ["Hooks", "RequestInfo", "ResponseInfo", "RetryInfo"],
            ".operation": ["Page", "RawResponse", "Style"],
            ".retry": ["RateLimit"],
        },
    )
