"""The typed client of the Dispatch API, blocking and async.

The names are imported when they are first used: the client needs pydantic only once there is
one, and not at all to be imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_ELSEWHERE = {
    "UNSET": "arguments",
    "Unset": "arguments",
    "AsyncDispatchClient": "async_client",
    "DispatchClient": "client",
    "AsyncPortalClient": "portal",
    "PortalClient": "portal",
    "RateLimit": "rates",
    "RawResponse": "raw",
    "JsonValue": "exact_json",
    "Hooks": "hooks",
    "RequestInfo": "hooks",
    "ResponseInfo": "hooks",
    "RetryInfo": "hooks",
    "Style": "scope",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_ELSEWHERE.get(name, 'models')}")
    globals()[name] = value = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__
