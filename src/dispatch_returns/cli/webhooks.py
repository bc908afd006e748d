"""``webhooks list|delete|rotate``: where Dispatch delivers the workspace's events."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated

import typer

from dispatch_returns.cli.common import WriteEnv, append_env
from dispatch_returns.cli.output import Json, Table, Verbatim, show, working

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.client.models import Webhook
    from dispatch_returns.connector.settings import Settings

app = typer.Typer(
    help="List, delete and rotate the webhooks of the workspace.\n\n"
    "They are Dispatch's own. The processor's are in its dashboard.",
    no_args_is_help=True,
)

_Which = Annotated[
    str, typer.Argument(metavar="ID", help="The webhook's id, or its URL if only one has it.")
]


@app.command("list")
def list_webhooks(*, json: Json = False) -> None:
    """List the webhooks, and how their deliveries go."""
    with _opened() as (_, client), working("Reading the webhooks"):
        found = client.webhooks.list()
    rows = [
        (
            hook.id,
            hook.url,
            ", ".join(hook.events),
            "on" if hook.enabled else "off",
            hook.failure_count or None,
            hook.last_triggered,
        )
        for hook in found
    ]
    table = Table(
        ("webhook", "url", "events", "state", "failures", "last delivery"),
        rows,
        empty="There are no webhooks: dispatch-returns setup --webhook-url URL creates one.",
        whole={"webhook"},
    )
    show({"webhooks": [_document(hook) for hook in found]}, table, as_json=json)


@app.command()
def delete(which: _Which, *, json: Json = False) -> None:
    """Delete a webhook: nothing is delivered to it any more.

    Events that happen while a workspace has no webhook are not delivered later.
    """
    with _opened() as (_, client):
        hook = _found(client, which)
        client.webhooks.delete(hook.id)
    show({"webhook": _document(hook)}, f"{hook.id} ({hook.url}) is deleted.", as_json=json)


@app.command()
def rotate(which: _Which, *, write_env: WriteEnv = None, json: Json = False) -> None:
    """Give a webhook a new secret.

    The API can't change a webhook, so this creates a second one for the same URL. Set both
    secrets, restart, then delete the first: no delivery is refused or lost in between, and one
    that arrives twice is processed once.
    """
    with _opened() as (settings, client):
        old = _found(client, which)
        new = client.webhooks.create(url=old.url, events=old.events)
    before = [secret.get_secret_value() for secret in settings.webhook_secrets]
    secrets = ",".join([new.secret or "", *before]).strip(",")
    if write_env is not None:
        append_env(write_env, {"DISPATCH_WEBHOOK_SECRET": secrets})
    document = {"created": _document(new), "to_delete": old.id, "webhook_secret": new.secret}
    show(
        document,
        f"{new.id} is created for {new.url}. Its secret is shown now and never again.",
        "",
        "1. Set both secrets, and restart what receives:",
        Verbatim([f"export DISPATCH_WEBHOOK_SECRET={secrets}"]),
        "2. Then delete the webhook with the old secret:",
        Verbatim([f"dispatch-returns webhooks delete {old.id}"]),
        "3. Then set the new secret alone.",
        as_json=json,
    )


@contextlib.contextmanager
def _opened() -> Generator[tuple[Settings, DispatchClient]]:
    from dispatch_returns.cli.setup import client_for
    from dispatch_returns.connector.settings import Settings

    settings = Settings.from_env()
    with client_for(settings) as client:
        yield settings, client


def _found(client: DispatchClient, which: str) -> Webhook:
    """Return the webhook with this id, or the only one with this URL."""
    from dispatch_returns.connector.provision import same_url

    hooks = client.webhooks.list()
    found = [hook for hook in hooks if hook.id == which] or [
        hook for hook in hooks if same_url(hook.url, which)
    ]
    if len(found) > 1:
        ids = ", ".join(hook.id for hook in found)
        raise typer.BadParameter(f"several webhooks have this URL: give the id of one ({ids})")
    if not found:
        raise typer.BadParameter(f"there is no webhook {which}: see dispatch-returns webhooks list")
    return found[0]


def _document(hook: Webhook) -> dict[str, object]:
    """Return a webhook without its secret, which has its own place in a document."""
    return hook.model_dump(mode="json", exclude={"secret"})
