"""``trigger``: sends one signed test event, to see how a receiver answers."""

from __future__ import annotations

import json as jsonlib
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli.errors import REFUSED, UNREACHABLE, fail
from dispatch_returns.cli.output import Json, Listing, show, working
from dispatch_returns.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 10
"""As long as webhook senders usually wait."""
_LONGEST_ANSWER = 500


def trigger(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The receiver's address, path included.")
    ],
    *,
    event: Annotated[str, typer.Option(help="The event's type.")] = "ticket.updated",
    ticket: Annotated[str, typer.Option(help="The ticket it is about.")] = "tkt_test",
    status: Annotated[str, typer.Option(help="The status it names.")] = "refunded",
    secret: Annotated[
        str | None,
        typer.Option(help="The secret to sign with. Default: DISPATCH_WEBHOOK_SECRET."),
    ] = None,
    json: Json = False,
) -> None:
    """Send a signed test event to a receiver.

    Shows the answer; exits with 1 if the event was not accepted.

    An event only says that something happened: what follows is decided from the ticket itself,
    so nothing follows from an event about a ticket that does not exist.
    """
    from dispatch_returns.connector.settings import read_one
    from dispatch_returns.webhooks.signature import HEADER, sign

    secret = signing_secret(secret)
    event_id = f"evt_test_{secrets.token_hex(8)}"
    workspace = read_one("workspace") or "ws_test"
    body = event_body(event, ticket, status, workspace, event_id=event_id, at=datetime.now(UTC))
    signature = sign(body, secret)
    with working(f"Sending {event} to {url}"):
        answer = post(url, body, {HEADER: signature, "Content-Type": "application/json"})
    if isinstance(answer, str):
        fail("ConnectionError", f"{url} cannot be reached: {answer}", as_json=json)
        raise typer.Exit(UNREACHABLE)
    accepted = answer.is_success
    document = {
        "accepted": accepted,
        "status": answer.status_code,
        "answer": answer.text[:_LONGEST_ANSWER],
        "event_id": event_id,
        "seconds": round(answer.elapsed.total_seconds(), 3),
    }
    show(document, Listing(document), as_json=json)
    if not accepted:
        raise typer.Exit(REFUSED)


def signing_secret(given: str | None) -> str:
    """Return the secret to sign with. Raises `ConfigurationError` if there is none.

    By default it is the first of the environment's: while they rotate, each is accepted.
    """
    from dispatch_returns.connector.settings import read_one

    secret = given or (read_one("webhook_secrets") or "").partition(",")[0].strip()
    if not secret:
        raise ConfigurationError("there is no secret to sign with: set DISPATCH_WEBHOOK_SECRET")
    return secret


def event_body(
    event: str, ticket: str, status: str, workspace: str, *, event_id: str, at: datetime
) -> bytes:
    """Return an event with the data that the API documents for its type."""
    now = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data: dict[str, Any]
    if "comment" in event:
        comment = {"id": "cmt_test", "body": "A test.", "authorType": "AGENT", "createdAt": now}
        data = {"ticketId": ticket, "ticketNumber": "1", "comment": comment}
    else:
        data = {"id": ticket, "ticketNumber": 1, "title": "A test", "status": status}
        if event == "ticket.updated":
            data |= {"updatedAt": now, "changes": ["status"]}
    envelope = {
        "id": event_id,
        "event": event,
        "brand_id": workspace,
        "data": data,
        "timestamp": now,
    }
    return jsonlib.dumps(envelope).encode()


def post(url: str, body: bytes, headers: dict[str, str]) -> httpx.Response | str:
    """Return the answer, or why there was none."""
    import httpx

    try:
        return httpx.post(url, content=body, headers=headers, timeout=_TIMEOUT_SECONDS)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise typer.BadParameter(
            "URL: write it in full, such as http://127.0.0.1:8000/webhooks/dispatch"
        ) from None
    except httpx.TimeoutException:
        return f"no answer within {_TIMEOUT_SECONDS} s"
    except httpx.TransportError as error:
        return str(error) or type(error).__name__
