"""A FastAPI backend with the receiver and the portal: pages on which customers ask for returns.

pip install "dispatch-returns[fastapi,portal,labels,stripe]"
export DISPATCH_RETURNS_POLICY=policy.toml DISPATCH_RETURNS_ORDERS=sql ...   # docs/orders.md
export DISPATCH_RETURNS_PORTAL_URL=https://shop.example/returns SMTP_HOST=... SMTP_FROM=...
uvicorn portal_app:app --proxy-headers
"""

from __future__ import annotations

from fastapi import FastAPI

from dispatch_returns import Connector, webhooks
from dispatch_returns.portal import ReturnsPortal

connector = Connector.from_env()
portal = ReturnsPortal(connector)

app = FastAPI(lifespan=connector.lifespan)
app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
app.include_router(webhooks.fastapi.portal_router(portal), prefix="/returns")


def link_for_order_mail(order_id: str) -> str:
    """Return what the order confirmation links to: it proves the order, so mail it to its owner."""
    return portal.link(order_id)
