"""Webhooks: their secret is in the answer to their creation and nowhere else."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from typing import Any

import httpx

from dispatch_returns.client import Delivery, Webhook
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, invalid, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.wire import Record, new_id


def create(call: Call) -> Reply:
    values = call.accept()
    if not call.state.allow_remote and not is_loopback(httpx.URL(values["url"]).host):
        raise invalid(Problem("url", "must be on this machine: the sandbox calls no other"))
    webhook: Record = {
        "id": new_id("whk"),
        "brandId": call.workspace.id,
        "url": values["url"],
        "events": values["events"],
        "enabled": True,
        "failureCount": 0,
        "lastTriggered": None,
        "lastFailure": None,
        "createdAt": call.state.now(),
        "updatedAt": call.state.now(),
        "secret": values.get("secret") or f"whsec_{secrets.token_hex(24)}",
    }
    call.workspace.add_webhook(webhook)
    call.state.save("webhook", webhook, call.workspace)
    return Reply(webhook)


def list_all(call: Call) -> Reply:
    return Reply([_show(webhook) for webhook in call.workspace.webhooks.values()])


def get(call: Call, webhook_id: str) -> Reply:
    return Reply(_show(_find(call, webhook_id)))


def delete(call: Call, webhook_id: str) -> Reply:
    webhook = _find(call, webhook_id)
    del call.workspace.webhooks[webhook_id]
    call.state.forget("webhook", webhook)
    return call.gone(_show(webhook))


def deliveries(call: Call, webhook_id: str) -> Reply:
    _find(call, webhook_id)
    return Reply(call.state.deliveries.of_webhook(webhook_id))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine, without DNS."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _show(webhook: Record) -> Record:
    return {name: value for name, value in webhook.items() if name != "secret"}


def _find(call: Call, webhook_id: str) -> Record:
    webhook = call.workspace.webhooks.get(webhook_id)
    if webhook is None:
        raise not_found("Webhook")
    return webhook


@checks.check(type="string", format="uri")
def _url(value: Any) -> str | None:
    wrong = "must be an http or https URL"
    try:
        url = httpx.URL(value)
    except (TypeError, ValueError, httpx.InvalidURL):
        return wrong
    port = 80 if url.port is None else url.port
    usable = url.scheme in ("http", "https") and url.host and 0 < port < 65536
    return None if usable else wrong


@checks.check(**checks.filled.schema)
def _secret(value: Any) -> str | None:
    # Half a surrogate pair has no UTF-8 bytes, and those bytes are the key of the signature.
    wrong = checks.filled(value)
    if wrong is None and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "must be text"
    return wrong


_CREATE = checks.Form(
    {"url": _url, "events": checks.some_texts, "secret": checks.nullable(_secret)},
    required=("url", "events"),
)

ENDPOINTS = (
    Endpoint("POST", "webhooks", create, one(Webhook), _CREATE, status=201),
    Endpoint("GET", "webhooks", list_all, array(Webhook)),
    Endpoint("GET", "webhooks/*", get, one(Webhook)),
    Endpoint("DELETE", "webhooks/*", delete, gone(Webhook)),
    Endpoint("GET", "webhooks/*/deliveries", deliveries, array(Delivery)),
)
