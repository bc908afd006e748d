"""The double's webhooks: the endpoints, and the deliveries that are not sent yet.

Source: Stripe's documentation, "Types of events", "Verify webhook signatures". The double's
charges do not show their refunds, as in newer versions of Stripe's API. Sending is the courier's
work; here is no I/O.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from dispatch_returns.errors import InvalidArgumentError
from dispatch_sandbox.stripe.objects import new_id

API_VERSION = "2025-03-31.basil"


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where events go. ``enabled_events`` may be ``["*"]``."""

    url: str
    secret: str
    enabled_events: tuple[str, ...] = ("*",)

    def wants(self, kind: str) -> bool:
        """Whether it subscribes to events of this kind."""
        return bool({"*", kind}.intersection(self.enabled_events))


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one endpoint."""

    endpoint: WebhookEndpoint
    body: bytes = field(repr=False)

    def headers(self, second: int) -> dict[str, str]:
        """Return the headers, signed at a Unix second."""
        return {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": sign(self.body, self.endpoint.secret, second),
            "user-agent": "Stripe/1.0 (dispatch-returns sandbox, not Stripe)",
        }


def sign(body: bytes, secret: str, second: int) -> str:
    """Return the ``Stripe-Signature`` header of a body signed at a Unix second."""
    signed = b"%d.%b" % (second, body)
    return f"t={second},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Events:
    """The endpoints, and the deliveries that are to be made; safe to use from any thread."""

    def __init__(self) -> None:
        self._endpoints: list[WebhookEndpoint] = []
        self._waiting: deque[Delivery] = deque()
        self._unsettled = 0
        self._changed = threading.Condition()

    @property
    def endpoints(self) -> list[WebhookEndpoint]:
        """Where events go."""
        return list(self._endpoints)

    def listen(
        self, url: str, secret: str | None = None, enabled_events: Sequence[str] = ("*",)
    ) -> WebhookEndpoint:
        """Send events to `url` from now on; return the endpoint with its secret.

        Raises `InvalidArgumentError` for an address that is not on this machine.
        """
        if not _is_on_this_machine(url):
            raise InvalidArgumentError("url", "must be on this machine: the sandbox calls no other")
        secret = secret or f"whsec_{secrets.token_hex(16)}"
        endpoint = WebhookEndpoint(url, secret, tuple(enabled_events))
        self._endpoints.append(endpoint)
        return endpoint

    def forget(self) -> None:
        """Stop sending events."""
        self._endpoints.clear()
        with self._changed:
            self._unsettled -= len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    def emit(self, account: str | None, kind: str, shown: Mapping[str, Any], now: float) -> None:
        """Create an event about an object as it is now, for each endpoint that subscribes to it."""
        wanted = [it for it in self._endpoints if it.wants(kind)]
        if not wanted:
            return
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(now),
            "data": {"object": shown},
            "livemode": False,
            "pending_webhooks": len(wanted),
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        if account is not None:
            event["account"] = account
        body = json.dumps(event, indent=2).encode()
        with self._changed:
            self._waiting.extend(Delivery(endpoint, body) for endpoint in wanted)
            self._unsettled += len(wanted)

    def take(self) -> list[Delivery]:
        """Return the deliveries to send now. The caller settles each of them."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken

    def settle(self) -> None:
        """Settle a delivery that arrived or failed."""
        with self._changed:
            self._unsettled -= 1
            self._changed.notify_all()

    def wait_until_settled(self, timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until nothing is on its way."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unsettled <= 0, timeout)

    def dump(self) -> list[dict[str, Any]]:
        """Return the endpoints, JSON-able. Deliveries under way are not kept."""
        return [asdict(endpoint) for endpoint in self._endpoints]

    def load(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Restore what `dump` returned."""
        self.forget()
        for entry in data:
            events = tuple(entry["enabled_events"])
            self._endpoints.append(WebhookEndpoint(entry["url"], entry["secret"], events))


def _is_on_this_machine(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
    return local and parts.scheme in {"http", "https"}
