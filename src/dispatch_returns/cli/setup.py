"""``setup``: creates what the workflow needs in a workspace and is missing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from dispatch_returns.cli.common import WriteEnv, append_env
from dispatch_returns.cli.output import Json, Part, Table, Verbatim, show, working
from dispatch_returns.cli.shop_checks import recommendation
from dispatch_returns.plugins.options import prefix

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.client.models import Webhook
    from dispatch_returns.connector.provision import ProvisionStep
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.returns.policy import PolicyBook

_RESULTS = {"missing": "created", "inactive": "switched on"}


def setup(
    *,
    webhook_url: Annotated[
        str | None,
        typer.Option(
            help="The public URL of your receiver, path included. Without it, no webhook is"
            " created."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be created.")
    ] = False,
    write_env: WriteEnv = None,
    json: Json = False,
) -> None:
    """Create what a workspace needs: statuses, fields, webhook.

    The queues are the categories that the return policy names, if one is set; the fields of an
    order are then created too, if orders come from tickets. Existing ones are left as they are, so
    this may be run again at any time. The webhook's secret is shown once, when it is created.
    """
    from dispatch_returns.connector.build import book_of
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.provision import apply
    from dispatch_returns.connector.settings import Settings
    from dispatch_returns.errors import ConfigurationError, StoreError

    settings = Settings.from_env()
    book = book_of(settings)
    if webhook_url is not None:
        url = urlsplit(webhook_url)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise typer.BadParameter(
                "--webhook-url: write it in full, such as https://your-app.com/webhooks/dispatch"
            )
    webhook = settled = None
    with client_for(settings) as client:
        with working("Reading the workspace"):
            steps = planned(client, settings, book, webhook_url)
        if not dry_run:
            for step in steps:
                if step.to_do:
                    with working(f"Creating the {step.kind} {step.key}"):
                        webhook = apply(client, step)
            # Without a database or a payment key, the first worker does this.
            with (
                suppress(ConfigurationError, StoreError),
                Connector(settings) as connector,
                working("Listing the tickets that are refunded already"),
            ):
                if connector.installation.ready():
                    settled = connector.go_live.complete()
    if write_env is not None and webhook is not None and webhook.secret is not None:
        append_env(write_env, {"DISPATCH_WEBHOOK_SECRET": webhook.secret})
    missing = [it for it in processor_webhooks(settings) if not it.is_secret_set(settings)]
    document = {
        "workspace": settings.workspace,
        "dry_run": dry_run,
        "steps": [_step_document(step, settings, dry_run=dry_run) for step in steps],
        "webhook_secret": webhook.secret if webhook else None,
        "settled_before": settled,
        "at_processor": [it.instructions(webhook_url) for it in missing],
        "recommended": recommendation(settings),
    }
    show(document, *_parts(settings, document, webhook), as_json=json)


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
) -> list[ProvisionStep]:
    """Return the state of everything that the workflow and its policy need in the workspace."""
    from dispatch_returns.connector.provision import PAYMENT_ADAPTER, plan, status_keys
    from dispatch_returns.returns.orders import ticket

    queues = book.queues if book is not None else ()
    from_tickets = book is not None and ticket.TicketOrders.name in settings.orders
    fields_too = ticket.FIELDS if from_tickets else ()
    if len(settings.adapter_plugins) > 1:
        fields_too = (*fields_too, PAYMENT_ADAPTER)
    return plan(
        client.statuses.list(),
        client.fields.list(),
        client.webhooks.list() if url is not None else (),
        keys=status_keys(settings.statuses),
        fields_too=fields_too,
        queues=queues,
        categories=client.categories.list() if queues else (),
        url=url,
    )


@dataclass(frozen=True, slots=True)
class ProcessorWebhook:
    """The webhook that a person must create at a payment processor, for these `events`.

    ``adapter`` is the configured name.
    """

    adapter: str
    events: tuple[str, ...]
    variable: str
    """The variable without which no event is accepted: the webhook's secret, or its id."""
    meaning: str

    def is_secret_set(self, settings: Settings) -> bool:
        """Return whether the adapter can verify the events."""
        option = self.variable.removeprefix(prefix(self.adapter)).lower()
        return bool(settings.adapter_options.get(self.adapter, {}).get(option))

    def instructions(self, dispatch_url: str | None) -> str:
        """Return what a person should do, given where Dispatch's own events are received."""
        folder, _, last = (dispatch_url or "").rstrip("/").rpartition("/")
        if last != "dispatch":
            folder = "https://.../webhooks"
        return (
            f"At {self.adapter.capitalize()}, add a webhook to {folder}/{self.adapter} for the"
            f" events {', '.join(self.events)}, and set {self.variable} to its {self.meaning}."
        )


def processor_webhooks(settings: Settings) -> list[ProcessorWebhook]:
    """Return the webhook of each adapter whose processor sends events.

    Raises `ConfigurationError` if there is no such adapter.
    """
    from dispatch_returns.plugins.options import variables
    from dispatch_returns.refunds.registry import load_adapter

    found: list[ProcessorWebhook] = []
    for name, plugin in settings.adapter_plugins.items():
        # From the class, because an instance may need settings that are not set yet.
        adapter = load_adapter(plugin)
        events: tuple[str, ...] = getattr(adapter, "webhook_events", ())
        named = variables(adapter.options_model, name)
        field = next((it for it in named if it.startswith(("webhook", "hmac"))), None)
        if events and field is not None:
            meaning = "id" if field.endswith("_id") else "signing secret"
            found.append(ProcessorWebhook(name, events, named[field], meaning))
    return found


def _step_document(step: ProvisionStep, settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    from dispatch_returns.connector.provision import Presence

    result, note = _RESULTS.get(step.finding), step.note
    if result is None:
        result = str(step.finding)
    elif dry_run:
        result = f"would be {result}"
    if step.kind == "webhook" and step.finding is Presence.EXISTS and not settings.webhook_secrets:
        note = (
            "its secret was shown when it was created, and DISPATCH_WEBHOOK_SECRET is not set: set"
            f" it, or run dispatch-returns webhooks delete {step.id}, then this again"
        )
    return {"kind": step.kind, "key": step.key, "result": result, "note": note}


def _parts(settings: Settings, document: dict[str, Any], webhook: Webhook | None) -> list[Part]:
    rows = [(step["kind"], step["key"], step["result"]) for step in document["steps"]]
    notes = [f"{step['key']}: {step['note']}." for step in document["steps"] if step["note"]]
    parts: list[Part] = [
        f"Workspace {settings.workspace}",
        "",
        Table(("what", "key", "result"), rows),
        *(part for note in notes for part in ("", note)),
    ]
    if document["settled_before"]:
        count = f"{document['settled_before']} tickets are {settings.refunded_status} already."
        parts += ["", f"{count} They are not paid: dispatch-returns refunds pay TICKET pays one."]
    for instructions in document["at_processor"]:
        parts += ["", instructions]
    if document["recommended"] is not None:
        parts += ["", document["recommended"]]
    if webhook is None:
        return parts
    if webhook.secret is None:
        return [*parts, "", "The API did not show the webhook's secret: look it up in Dispatch."]
    text = "The webhook's secret is shown now and never again."
    if settings.webhook_secrets:
        text += " Another one is set already: write both, separated by a comma."
    return [*parts, "", text, Verbatim([f"export DISPATCH_WEBHOOK_SECRET={webhook.secret}"])]
