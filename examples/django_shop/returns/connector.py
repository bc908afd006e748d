"""The connector, made once for the process, and the shop's own handlers."""

from __future__ import annotations

import logging

from dispatch_returns import Connector, Context
from dispatch_returns.webhooks import TicketUpdated

connector = Connector.from_env()


@connector.on("ticket.updated")
def tell_warehouse(event: TicketUpdated, context: Context) -> None:
    """Run in a worker, at least once for each event: so it must be idempotent."""
    if event.data.status == "label_sent":
        order_id = context.ticket().custom_fields["order_id"]
        logging.getLogger("shop").warning("expect a parcel for order %s", order_id)
