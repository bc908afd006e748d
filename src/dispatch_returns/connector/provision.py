"""What a workspace needs for the returns workflow, what of it is missing, and how to create it.

`plan` compares lists with what is needed and changes nothing; `apply` creates one missing thing.
Both may be repeated at any time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from dispatch_returns.errors import ConflictError
from dispatch_returns.returns.steps.assignment import find_category
from dispatch_returns.returns.steps.statuses import STEPS, StatusNames

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.client.models import Category, Field, Status, Webhook
    from dispatch_returns.client.operations.fields import FieldType

EVENTS = ("ticket.created", "ticket.updated", "ticket.deleted")
"""The events of the webhook. With ``ticket.deleted``, a return ends as soon as its ticket is
deleted, instead of when the ticket is next read."""

# Reasons and conditions are texts, because the merchant decides which ones there are.
FIELDS: tuple[tuple[str, FieldType], ...] = (
    ("order_id", "text"),
    ("order_proof", "text"),
    ("return_reason", "text"),
    ("items_to_return", "array"),
    ("original_order_total", "number"),
    ("received_date", "date"),
    ("condition", "text"),
    ("refund_amount", "number"),
    ("currency", "text"),
    ("payment_intent", "text"),
    ("charge_id", "text"),
    ("payment_reference", "text"),
    ("refund_id", "text"),
    ("refund_status", "text"),
    ("refund_reason", "text"),
    ("refund_arn", "text"),
    ("return_number", "text"),
    ("tracking_number", "text"),
)
"""The ticket's custom fields, with their types: the guide's, and others that we read or write."""

PAYMENT_ADAPTER: tuple[str, FieldType] = ("payment_adapter", "text")
"""The field with which a person says who took a payment, where there are several adapters."""


class Presence(enum.StrEnum):
    """The state of something that the workspace needs."""

    EXISTS = "exists"
    MISSING = "missing"
    INACTIVE = "inactive"
    """A status that exists and is switched off."""
    DIFFERS = "differs"
    """It exists, is not as needed, and can't be changed from here: ``note`` says what to do."""


@dataclass(frozen=True, slots=True)
class ProvisionStep:
    """One thing that the workspace needs.

    ``key`` of a webhook is its URL, of a queue its name; ``id`` is the API's, if known.
    """

    kind: Literal["status", "field", "queue", "webhook"]
    key: str
    finding: Presence
    id: str | None = None
    type: FieldType | None = None
    note: str | None = None

    @property
    def to_do(self) -> bool:
        """Return whether `apply` would change something."""
        return self.finding in {Presence.MISSING, Presence.INACTIVE}


def status_keys(renamed: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the workflow's statuses, in their order, with the names in `renamed`.

    Raises `ConfigurationError` if two steps would have the same status.
    """
    statuses = StatusNames(renamed or {})
    statuses.check()
    return tuple(statuses.name(step) for step in STEPS)


def plan(
    statuses: Iterable[Status],
    fields: Iterable[Field],
    webhooks: Iterable[Webhook],
    *,
    keys: Sequence[str] = STEPS,
    fields_too: Iterable[tuple[str, FieldType]] = (),
    queues: Iterable[str] = (),
    categories: Iterable[Category] = (),
    url: str | None = None,
) -> list[ProvisionStep]:
    """Return the state of each thing that is needed.

    Those are: `keys`, `FIELDS` and `fields_too`, a category for each of the `queues`, and a
    webhook for `url`. The webhook comes last: its secret is shown once, so nothing may fail
    after it.
    """
    known_statuses = {status.key: status for status in statuses}
    known_fields = {field.key: field for field in fields}
    known_categories = tuple(categories)
    steps: list[ProvisionStep] = []
    for key in keys:
        status = known_statuses.get(key)
        if status is None:
            steps.append(ProvisionStep("status", key, Presence.MISSING))
        else:
            finding = Presence.EXISTS if status.is_active else Presence.INACTIVE
            steps.append(ProvisionStep("status", key, finding, id=status.id))
    steps += [_field(key, kind, known_fields.get(key)) for key, kind in (*FIELDS, *fields_too)]
    for name in queues:
        category = find_category(known_categories, name)
        finding = Presence.MISSING if category is None else Presence.EXISTS
        steps.append(
            ProvisionStep("queue", name, finding, id=None if category is None else category.id)
        )
    if url is not None:
        steps.append(_webhook(url, [hook for hook in webhooks if same_url(hook.url, url)]))
    return steps


def apply(client: DispatchClient, step: ProvisionStep) -> Webhook | None:
    """Create what `step` needs; return the webhook, with its secret, if it created one.

    What has been created elsewhere meanwhile is left as it is. Raises `APIError`.
    """
    label = step.key.replace("_", " ").capitalize()
    try:
        if step.kind == "webhook":
            return client.webhooks.create(url=step.key, events=EVENTS)
        if step.kind == "queue":
            client.categories.create(name=step.key)
        elif step.kind == "field":
            assert step.type is not None
            client.fields.create(key=step.key, label=label, type=step.type)
        elif step.id is not None:
            client.statuses.update(step.id, is_active=True)
        else:
            client.statuses.create(key=step.key, name=label)
    except ConflictError:
        pass
    return None


def same_url(first: str, second: str) -> bool:
    """Return whether two URLs lead to the same receiver: a trailing slash makes no difference."""
    one, other = urlsplit(first), urlsplit(second)
    return (one.scheme.lower(), one.netloc.lower(), one.path.rstrip("/"), one.query) == (
        other.scheme.lower(),
        other.netloc.lower(),
        other.path.rstrip("/"),
        other.query,
    )


def listens(webhook: Webhook) -> bool:
    """Return whether this webhook is sent the event that starts a refund."""
    return bool({"ticket.updated", "*"}.intersection(webhook.events))


def _field(key: str, kind: FieldType, known: Field | None) -> ProvisionStep:
    if known is None:
        return ProvisionStep("field", key, Presence.MISSING, type=kind)
    if known.type == kind:
        return ProvisionStep("field", key, Presence.EXISTS, type=kind)
    note = f"its type is {known.type} instead of {kind}: if you can, delete it and run again"
    return ProvisionStep("field", key, Presence.DIFFERS, type=kind, note=note)


def _webhook(url: str, known: Sequence[Webhook]) -> ProvisionStep:
    if not known:
        return ProvisionStep("webhook", url, Presence.MISSING)
    # The API can't change a webhook, so only a new one helps.
    notes: list[str] = []
    for hook in known:
        missing = set[str]() if "*" in hook.events else {*EVENTS}.difference(hook.events)
        if not hook.enabled:
            notes.append(f"it is switched off: {_delete(hook)}")
        elif missing:
            notes.append(f"it is not sent {', '.join(sorted(missing))}: {_delete(hook)}")
        else:
            return ProvisionStep("webhook", url, Presence.EXISTS, id=known[0].id)
    return ProvisionStep("webhook", url, Presence.DIFFERS, id=known[0].id, note=notes[0])


def _delete(hook: Webhook) -> str:
    return f"run dispatch-returns webhooks delete {hook.id}, then this again"
