"""A FastAPI backend with the receiver mounted, and a handler of its own.

    dispatch-returns sandbox --write-env shop.env       # in another terminal
    dispatch-returns setup --env-file shop.env --write-env shop.env \\
        --webhook-url http://127.0.0.1:8000/webhooks/dispatch
    set -a; . ./shop.env; set +a                        # in each terminal
    uvicorn fastapi_app:app

Then, in another terminal: python make_return.py 149.00
"""

from __future__ import annotations

import logging

from fastapi import FastAPI

from dispatch_returns import Connector, Context, webhooks
from dispatch_returns.webhooks import TicketUpdated

connector = Connector.from_env()
app = FastAPI(lifespan=connector.lifespan)
app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")


@connector.on("ticket.updated")
def tell_warehouse(event: TicketUpdated, context: Context) -> None:
    """Run in a worker, at least once for each event: so it must be idempotent."""
    if event.data.status == "label_sent":
        order_id = context.ticket().custom_fields["order_id"]
        logging.getLogger("shop").warning("expect a parcel for order %s", order_id)


@app.get("/health")
def health() -> dict[str, str]:
    """Answer that the app is up."""
    return {"status": "ok"}
