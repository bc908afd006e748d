"""The state of a sandbox, under one lock: in memory, and in a file if one is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from dispatch_sandbox.adyen import AdyenStandIn
from dispatch_sandbox.blobs import Blobs
from dispatch_sandbox.braintree import BraintreeStandIn
from dispatch_sandbox.checkout_com import CheckoutComStandIn
from dispatch_sandbox.deliveries import Deliveries, DeliveryPolicy
from dispatch_sandbox.klarna import KlarnaStandIn
from dispatch_sandbox.limits import RateLimit
from dispatch_sandbox.memory import Memory, utc_now
from dispatch_sandbox.mollie import MollieStandIn
from dispatch_sandbox.paypal import PayPalStandIn
from dispatch_sandbox.processors.base import StandIn
from dispatch_sandbox.seed import add_workspace
from dispatch_sandbox.shops.shopify import ShopifyState
from dispatch_sandbox.shops.woocommerce import WooState
from dispatch_sandbox.square import SquareStandIn
from dispatch_sandbox.stripe import StripeState
from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

API_KEY = "sk_test_sandbox"
WORKSPACE = "ws_sandbox"
_REPLAYS_KEPT = 10_000


class SandboxState(Memory):
    """The state of a sandbox, for one server at a time.

    ``workspaces`` are the ids that exist, each reachable under both path styles; ``api_key`` is
    the key all calls must carry; ``file`` a SQLite file (made if missing) that keeps everything;
    ``clock`` gives aware times. ``custom_fields`` says what a PATCH does with ``custom_fields``
    and ``metadata``, which the API's documentation leaves open. ``allow_remote`` lets webhooks
    point at other machines; without it only loopback addresses are accepted.

    ``rate_limit`` is in calls per minute. ``delete_answers`` says what a DELETE answers: 204, or
    what was deleted.
    """

    def __init__(
        self,
        *,
        workspaces: Sequence[str] = (WORKSPACE,),
        api_key: str = API_KEY,
        file: str | Path | None = None,
        clock: Callable[[], datetime] = utc_now,
        custom_fields: Literal["merge", "replace"] = "merge",
        deliveries: DeliveryPolicy | None = None,
        rate_limit: int = 1_000_000,
        allow_remote: bool = False,
        delete_answers: Literal["empty", "json"] = "empty",
    ) -> None:
        super().__init__(file, clock)
        self.api_key = api_key
        self.merges = custom_fields == "merge"
        self.allow_remote = allow_remote
        self.rate_limit = RateLimit(rate_limit)
        self.deliveries = Deliveries(self, deliveries or DeliveryPolicy())
        self.stripe = StripeState()
        self.shopify = ShopifyState()
        self.woocommerce = WooState()
        self.paypal = PayPalStandIn()
        self.adyen = AdyenStandIn()
        self.mollie = MollieStandIn()
        self.braintree = BraintreeStandIn()
        self.square = SquareStandIn()
        self.klarna = KlarnaStandIn()
        self.checkout_com = CheckoutComStandIn()
        self.processors: tuple[StandIn, ...] = (
            *(self.paypal, self.adyen, self.mollie),
            *(self.braintree, self.square, self.klarna, self.checkout_com),
        )
        """Each is served under ``/processors/<its name>``, and kept in memory only."""
        self.replays: dict[str, Record] = {}
        self.api_keys: dict[str, Record] = {}
        self.magic_links: dict[str, Record] = {}
        self.portal_secret = f"portal of {api_key}"
        self.delete_answers = delete_answers
        self.blobs = Blobs(None if file is None else Path(f"{file}.attachments"))
        self.account: Record = {"id": "acc_sandbox", "name": "Sandbox"}
        self._ids = tuple(workspaces)
        self.account |= {"createdAt": self.now(), "updatedAt": self.now()}
        self._load()

    def attachment(self, attachment_id: str) -> Record | None:
        """Find an attachment in any workspace, because its address names none."""
        with self.lock:
            for workspace in self.workspaces.values():
                if attachment_id in workspace.attachments:
                    return workspace.attachments[attachment_id]
        return None

    def remove(self, workspace: Workspace) -> None:
        """Delete a workspace with everything in it."""
        del self.workspaces[workspace.id]
        for kind, record in workspace.records():
            self.forget(kind, record)
            if kind == "attachment":
                self.blobs.forget(record["id"])
        for record in self.deliveries.forget(workspace):
            self.forget("delivery", record)
        self.forget("workspace", workspace.info)

    def keep_replay(self, replay: Record) -> None:
        """Keep an answer for its idempotency key, and forget the oldest of too many."""
        self.replays[replay["id"]] = replay
        self.save("replay", replay)
        if len(self.replays) > _REPLAYS_KEPT:
            self.forget("replay", self.replays.pop(next(iter(self.replays))))

    def save_stripe(self) -> None:
        """Write the Stripe half to the file, if there is one."""
        if self.is_kept:
            with self.transaction():
                self.save("stripe", {"id": "stripe", "json": json.dumps(self.stripe.dump())})

    def reset(self) -> None:
        """Go back to a new sandbox: no tickets, no webhooks, no deliveries, no faults."""
        with self.transaction():
            self._clear()
            self.deliveries.clear()
            self.replays.clear()
            self.api_keys.clear()
            self.magic_links.clear()
            self.stripe.load(StripeState().dump())
            self._load()

    def summary(self) -> Record:
        """Count workspaces' objects, deliveries and faults."""
        with self.lock:
            return {
                "workspaces": {known.id: known.counts() for known in self.workspaces.values()},
                "deliveries": self.deliveries.counts(),
                "faults": len(self.faults.rules()),
            }

    def _load(self) -> None:
        with self.transaction():
            for kind, owner, record in self.kept():
                if kind == "workspace":
                    self.workspaces[record["id"]] = Workspace(record)
                elif kind == "api_key":
                    self.api_keys[record["id"]] = record
                elif kind == "replay":
                    self.replays[record["id"]] = record
                elif kind == "stripe":
                    self.stripe.load(json.loads(record["json"]))
                elif kind == "delivery":
                    self.deliveries.restore(self.workspaces[owner], record)
                else:
                    self.workspaces[owner].add(kind, record)
            for workspace_id in self._ids:
                if workspace_id not in self.workspaces:
                    add_workspace(self, workspace_id)
