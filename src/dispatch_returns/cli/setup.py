"""``setup``: makes in a workspace what the workflow needs and is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatch_returns.cli.output import Json, Part, Table, Verbatim, show, working

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.client.models import Webhook
    from dispatch_returns.connector.provision import Step
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.returns.policy import PolicyBook

_DONE = {"missing": "created", "inactive": "switched on"}
_WOULD_BE_DONE = {"missing": "would be created", "inactive": "would be switched on"}


def setup(
    *,
    webhook_url: Annotated[
        str | None,
        typer.Option(
            help="Where your receiver can be reached, path included. Without it, no webhook is"
            " made."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be made.")
    ] = False,
    json: Json = False,
) -> None:
    """Make the statuses, fields, queues and webhook in a workspace.

    The queues are the categories that the return policy names, where one is set; then the fields
    of an order are made too, if orders come from tickets. What is there already is left as it is,
    so it may be run again at any time. The webhook's secret is shown once, when it is made.
    """
    from dispatch_returns.connector.build import book_of
    from dispatch_returns.connector.settings import Settings

    settings = Settings.from_env()
    book = book_of(settings)
    if webhook_url is not None:
        _check_url(webhook_url)
    with client_for(settings) as client:
        with working("Looking at the workspace"):
            steps = planned(client, settings, book, webhook_url)
        made = None if dry_run else _apply(client, steps)
        before = None if dry_run else _go_live(settings)
    words = _WOULD_BE_DONE if dry_run else _DONE
    document = _document(settings, steps, words, made, dry_run=dry_run)
    document["settled_before"] = before
    document["at_processor"] = _at_processor(settings, webhook_url)
    show(document, *_said(settings, document, made), as_json=json)


def client_for(settings: Settings, **options: Any) -> DispatchClient:
    """Return a client for the environment's workspace."""
    from dispatch_returns.client import DispatchClient

    return DispatchClient(
        settings.api_key.get_secret_value(),
        settings.workspace,
        base_url=settings.base_url,
        style=settings.style,
        **options,
    )


def planned(
    client: DispatchClient, settings: Settings, book: PolicyBook | None, url: str | None
) -> list[Step]:
    """Return how everything stands in the workspace that the workflow, and its policy, want."""
    from dispatch_returns.connector.provision import plan, status_keys
    from dispatch_returns.returns.orders import ticket

    queues = book.queues if book is not None else ()
    from_tickets = book is not None and ticket.TicketOrders.name in settings.orders
    return plan(
        client.statuses.list(),
        client.fields.list(),
        client.webhooks.list() if url is not None else (),
        keys=status_keys(settings.statuses),
        fields_too=ticket.FIELDS if from_tickets else (),
        queues=queues,
        categories=client.categories.list() if queues else (),
        url=url,
    )


def _check_url(url: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise typer.BadParameter(
            "--webhook-url: write it whole, https://your-app.com/webhooks/dispatch"
        )


def _apply(client: DispatchClient, steps: list[Step]) -> Webhook | None:
    from dispatch_returns.connector.provision import apply

    made = None
    for step in steps:
        if step.to_do:
            with working(f"Making the {step.kind} {step.key}"):
                made = apply(client, step)
    return made


def _go_live(settings: Settings) -> int | None:
    """List what was settled before; return how many tickets, None where it is too early for it."""
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.errors import ConfigurationError, StoreError

    try:
        with Connector(settings) as connector, working("Looking at what was refunded before"):
            return connector.go_live.complete() if connector.installation.ready() else None
    except (ConfigurationError, StoreError):
        return None  # without a database or a payment key yet: the first worker does it


def _document(
    settings: Settings,
    steps: list[Step],
    words: dict[str, str],
    made: Webhook | None,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    shown = [
        {
            "kind": step.kind,
            "key": step.key,
            "result": words.get(step.finding, str(step.finding)),
            "note": _note(step, settings),
        }
        for step in steps
    ]
    return {
        "workspace": settings.workspace,
        "dry_run": dry_run,
        "steps": shown,
        "webhook_secret": made.secret if made else None,
    }


def _note(step: Step, settings: Settings) -> str | None:
    from dispatch_returns.connector.provision import Finding

    if step.kind == "webhook" and step.finding is Finding.EXISTS and not settings.webhook_secrets:
        return (
            "its secret was shown when it was made, and DISPATCH_WEBHOOK_SECRET is not set: set"
            " it, or delete the webhook and run this again"
        )
    return step.note


def _said(settings: Settings, document: dict[str, Any], made: Webhook | None) -> list[Part]:
    rows = [(step["kind"], step["key"], step["result"]) for step in document["steps"]]
    notes = [f"{step['key']}: {step['note']}." for step in document["steps"] if step["note"]]
    parts: list[Part] = [
        f"Workspace {settings.workspace}",
        "",
        Table(("what", "key", "result"), rows),
        *(part for note in notes for part in ("", note)),
    ]
    if document["settled_before"]:
        said = f"{document['settled_before']} tickets are {settings.refunded_status} already."
        parts += ["", f"{said} They are not paid: dispatch-returns refunds pay TICKET pays one."]
    if document["at_processor"] is not None:
        parts += ["", document["at_processor"]]
    return parts if made is None else [*parts, *_secret(settings, made)]


def _at_processor(settings: Settings, webhook_url: str | None) -> str | None:
    """Return what is to be set up at the payment processor, if it is not already."""
    from dispatch_returns.cli.late_news import url_beside, wanted_news

    wanted = wanted_news(settings)
    if wanted is None or settings.adapter_options.get("webhook_secret"):
        return None
    return wanted.instructions(url_beside(webhook_url or "", settings.adapter))


def _secret(settings: Settings, made: Webhook) -> list[Part]:
    if made.secret is None:
        return ["", "The API did not show the webhook's secret: look for it in Dispatch."]
    beside = (
        ""
        if not settings.webhook_secrets
        else (" Another one is set already: write both, with a comma between them.")
    )
    return [
        "",
        f"The webhook's secret is shown now and never again.{beside}",
        Verbatim([f"export DISPATCH_WEBHOOK_SECRET={made.secret}"]),
    ]
