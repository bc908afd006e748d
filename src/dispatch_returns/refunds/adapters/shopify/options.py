"""What a Shopify shop is reached with, for refunds and for orders."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.plugins.options import CommaSeparated, PluginOptions, Secrets

API_VERSION = "2026-01"
"""It is the first that knows the idempotency key of `refundCreate`, which 2026-04 demands."""


class ShopifyOptions(PluginOptions):
    """The options of the order source, and a part of the adapter's."""

    shop: str = Field(description="the shop: `acme.myshopify.com`, or a complete address")
    access_token: SecretStr = Field(
        description="the Admin API access token (`shpat_...`) of a custom app: Settings, Apps"
    )
    api_version: str = Field(default=API_VERSION, description="the version of the Admin API")


class ShopifyRefundOptions(ShopifyOptions):
    """The options of `ShopifyAdapter`."""

    location: str | None = Field(
        default=None,
        description="the id of the location where returned goods go back into stock:"
        " `gid://shopify/Location/1` or `1`. Without it the stock stays as it is",
    )
    restock: CommaSeparated = Field(
        default=("new", "like_new"),
        description="the conditions in which returned goods go back into stock there",
    )
    notify: bool = Field(
        default=False, description="have Shopify mail the customer about each refund"
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")
    webhook_secrets: Secrets = Field(
        default=(),
        validation_alias="webhook_secret",
        description="what Shopify signs webhooks with: the app's API secret key, or the one under"
        " Settings, Notifications, Webhooks; several, separated by commas",
    )


def graphql_path(api_version: str) -> str:
    """Return the path of the Admin API. Raises `InvalidArgumentError` for no version."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}|unstable", api_version, re.ASCII):
        raise InvalidArgumentError("api_version", "write it as 2026-01")
    return f"/admin/api/{api_version}/graphql.json"


def shop_url(shop: str) -> str:
    """Return a shop's address: its name may be written without https://."""
    return shop if "://" in shop else f"https://{shop}"
