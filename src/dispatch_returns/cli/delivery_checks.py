"""The checks of ``doctor`` that concern deliveries: how the last ones went, and a test delivery."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx

from dispatch_returns.cli.check import DoctorCheck
from dispatch_returns.cli.trigger import post
from dispatch_returns.connector.settings import Settings
from dispatch_returns.webhooks.signature import HEADER, sign

_ANSWERS = {
    401: "DISPATCH_WEBHOOK_SECRET of the receiver is not this webhook's secret, or something in"
    " front of the receiver changes bodies: dispatch-returns doctor --deliver tells which.",
    403: "Something in front of the receiver refuses it: let it through without a login.",
    404: "The receiver is not at this path: correct the mount's prefix, or the webhook's URL.",
    405: "The URL is not the receiver's: correct the mount's prefix, or the webhook's URL.",
    411: "Something in front of the receiver takes the length away: pass Content-Length on.",
    413: "Something in front of the receiver refuses its size: allow bodies of 1 MiB.",
    503: "The receiver could not store it: check its log and its database.",
}
_OURS = {"accepted", "repeated", "unreadable"}


def remedy_of(status: int | None) -> str:
    """Return what to do about a delivery that was answered with `status` (None: not at all)."""
    if status is None:
        return "Check that the receiver runs and can be reached at this URL."
    if status in _ANSWERS:
        return _ANSWERS[status]
    if 300 <= status < 400:
        return "Deliveries don't follow redirects: give the webhook the URL that it leads to."
    return "Check the receiver's log, and what stands in front of it."


def deliver(url: str, settings: Settings) -> DoctorCheck:
    """Send two signed events that nothing follows from, and check the answers.

    One body would survive being decoded and encoded again, the other would not: so a wrong secret
    and a proxy that rewrites bodies look different.
    """
    name = "test delivery"
    if not settings.webhook_secrets:
        return DoctorCheck(name, "failed", "there is no secret to sign with")
    secret = settings.webhook_secrets[0].get_secret_value()
    answers: list[httpx.Response] = []
    for body in _bodies(settings.workspace):
        headers = {HEADER: sign(body, secret), "Content-Type": "application/json"}
        answer = post(url, body, headers)
        if isinstance(answer, str):
            return DoctorCheck(
                name, "failed", f"{url} cannot be reached: {answer}", remedy_of(None)
            )
        answers.append(answer)
    plain, shaped = answers
    if plain.is_success and shaped.is_success:
        if not all(_is_ours(answer) for answer in answers):
            detail = f"{url} answered {plain.status_code}, but not as our receiver does"
            return DoctorCheck(name, "failed", detail, _ANSWERS[404])
        return DoctorCheck(name, "ok", f"{url} accepted it")
    if plain.is_success or shaped.is_success:
        detail = f"{url} accepted one body and refused another: something rewrites bodies"
        remedy = "Pass the raw body on: turn off what decodes JSON in front of the receiver."
        return DoctorCheck(name, "failed", detail, remedy)
    status = plain.status_code
    detail = f"{url} answered {status}"
    if status == 401:
        remedy = (
            "The receiver has another secret than DISPATCH_WEBHOOK_SECRET here: set the one that"
            " setup showed, without quotes, and restart it."
        )
        return DoctorCheck(name, "failed", f"{detail}: it refused the signature", remedy)
    return DoctorCheck(name, "failed", detail, remedy_of(status))


def _bodies(workspace: str) -> Iterator[bytes]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for data in ({}, {"text": "Größe 42", "number": 1.0}):
        event = {
            "id": f"evt_test_{secrets.token_hex(8)}",
            "event": "webhook.test",
            "brand_id": workspace,
            "data": data,
            "timestamp": now,
        }
        if data:
            # Escapes, spaces and 1.0 are what encoders differ in.
            yield json.dumps(event, indent=1, separators=(" , ", " : ")).encode()
        else:
            yield json.dumps(event, separators=(",", ":")).encode()


def _is_ours(answer: httpx.Response) -> bool:
    try:
        return answer.json()["status"] in _OURS
    except (ValueError, KeyError, TypeError):
        return False
