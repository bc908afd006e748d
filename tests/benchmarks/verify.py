"""Verifying a delivery and reading it into its typed class."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import standardwebhooks
import stripe
import svix

from dispatch_returns import webhooks
from tests.benchmarks import events
from tests.benchmarks.harness import Goal, Result, Side, interleave, repeated

HOW = (
    "A 1.2 kB `ticket.updated` event (for Stripe a `refund.updated` of that size): each"
    " library checks the signature in its own scheme and decodes the body; ours and Stripe's also"
    " return a typed object."
)


def ours() -> Side:
    body = events.body()
    signature = webhooks.sign(body, events.SECRET)

    def work() -> object:
        webhooks.verify(body, signature, events.SECRET)
        return webhooks.parse(body)

    return repeated("verify and parse", work)


def raw() -> Side:
    body = events.body()
    key = events.SECRET.encode()
    signature = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()

    def work() -> object:
        expected = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, signature):
            raise ValueError
        return json.loads(body)

    return repeated("hmac and json.loads", work)


def standard_scheme(name: str, webhook: svix.Webhook | standardwebhooks.Webhook) -> Side:
    body = events.body()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign("msg_1", now, body.decode()),
    }

    def work() -> object:
        webhook.verify(body, headers)
        return json.loads(body)

    return repeated(f"{name} verify and json.loads", work)


def stripes() -> Side:
    body = events.stripes()
    now = int(time.time())
    mac = hmac.new(events.SECRET.encode(), b"%d.%b" % (now, body), hashlib.sha256)
    header = f"t={now},v1={mac.hexdigest()}"
    return repeated(
        "stripe.Webhook.construct_event",
        lambda: stripe.Webhook.construct_event(body, header, events.SECRET, tolerance=86400),
    )


def verify() -> Result:
    """Against the two lines of raw Python, and three libraries that do as much."""
    secret = "whsec_" + base64.b64encode(b"secret for the benchmarks").decode()
    rounds = interleave(
        ours(),
        raw(),
        standard_scheme("standardwebhooks", standardwebhooks.Webhook(secret)),
        standard_scheme("svix", svix.Webhook(secret)),
        stripes(),
        rounds=41,
    )
    goals = (
        Goal(1.3, "hmac and json.loads"),
        Goal(15, "stripe.Webhook.construct_event", speed=True),
    )
    return Result("Verifying and parsing an event", HOW, rounds, goals)
