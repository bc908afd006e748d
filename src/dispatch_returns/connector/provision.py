"""What a workspace needs for the returns workflow: which of it is missing, and how it is made.

`plan` compares lists with what is wanted and touches nothing; `apply` makes one missing thing.
Both may be repeated at any time.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dispatch_returns.errors import ConflictError
from dispatch_returns.returns.steps.assignment import find_category
from dispatch_returns.returns.steps.statuses import STEPS, Statuses

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient
    from dispatch_returns.client.models import Category, Field, Status, Webhook
    from dispatch_returns.client.operations.fields import FieldType

EVENTS = ("ticket.created", "ticket.updated", "ticket.deleted")
"""What the webhook is asked for. A return whose ticket is deleted ends at once, not when its ticket
is read the next time."""

# Reasons and conditions are texts: which ones there are is the merchant's to say.
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
"""The ticket's custom fields, with their types: the guide's, and what we read and write."""


class Finding(enum.StrEnum):
    """How something that is wanted stands in the workspace."""

    EXISTS = "exists"
    MISSING = "missing"
    INACTIVE = "inactive"
    """A status that is there and switched off."""
    DIFFERS = "differs"
    """It is there, is not as wanted, and cannot be changed from here: ``note`` says what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is wanted.

    ``key`` is a webhook's URL, or a queue's name; ``id`` is the API's, where known.
    """

    kind: Literal["status", "field", "queue", "webhook"]
    key: str
    finding: Finding
    id: str | None = None
    type: FieldType | None = None
    note: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether `apply` would change something."""
        return self.finding in {Finding.MISSING, Finding.INACTIVE}


def status_keys(renamed: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the workflow's statuses, in their order; `renamed` are called otherwise.

    Raises `ConfigurationError` where two steps would have one status.
    """
    statuses = Statuses(renamed or {})
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
) -> list[Step]:
    """Return how each thing stands that is wanted.

    That is: `keys`, `FIELDS` and `fields_too`, a category for each of the `queues`, and a
    webhook for `url`. The webhook comes last: its secret is shown once, and nothing may go
    wrong after that.
    """
    known_statuses = {status.key: status for status in statuses}
    known_fields = {field.key: field for field in fields}
    steps = [_status(key, known_statuses.get(key)) for key in keys]
    steps += [_field(key, kind, known_fields.get(key)) for key, kind in (*FIELDS, *fields_too)]
    known_categories = tuple(categories)
    steps += [_queue(name, find_category(known_categories, name)) for name in queues]
    if url is not None:
        steps.append(_webhook(url, [hook for hook in webhooks if hook.url == url]))
    return steps


def apply(client: DispatchClient, step: Step) -> Webhook | None:
    """Do what `step` says is to do; return the webhook, with its secret, if it made one.

    What somebody else has made meanwhile is left as it is. Raises `APIError`.
    """
    try:
        return _apply(client, step)
    except ConflictError:
        return None


def listens(webhook: Webhook) -> bool:
    """Return whether this webhook is sent what a refund starts from."""
    return bool({"ticket.updated", "*"}.intersection(webhook.events))


def _apply(client: DispatchClient, step: Step) -> Webhook | None:
    if step.kind == "webhook":
        return client.webhooks.create(url=step.key, events=EVENTS)
    if step.kind == "queue":
        client.categories.create(name=step.key)
    elif step.kind == "field":
        assert step.type is not None
        client.fields.create(key=step.key, label=_label(step.key), type=step.type)
    elif step.id is not None:
        client.statuses.update(step.id, is_active=True)
    else:
        client.statuses.create(key=step.key, name=_label(step.key))
    return None


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _status(key: str, known: Status | None) -> Step:
    if known is None:
        return Step("status", key, Finding.MISSING)
    finding = Finding.EXISTS if known.is_active else Finding.INACTIVE
    return Step("status", key, finding, id=known.id)


def _field(key: str, kind: FieldType, known: Field | None) -> Step:
    if known is None:
        return Step("field", key, Finding.MISSING, type=kind)
    if known.type == kind:
        return Step("field", key, Finding.EXISTS, type=kind)
    note = f"it is of the type {known.type}, wanted is {kind}: if you can, delete it and run again"
    return Step("field", key, Finding.DIFFERS, type=kind, note=note)


def _queue(name: str, known: Category | None) -> Step:
    if known is None:
        return Step("queue", name, Finding.MISSING)
    return Step("queue", name, Finding.EXISTS, id=known.id)


def _webhook(url: str, known: Sequence[Webhook]) -> Step:
    if not known:
        return Step("webhook", url, Finding.MISSING)
    # The API cannot change a webhook, so only a new one helps.
    faults = [fault for hook in known if (fault := _fault(hook)) is not None]
    if len(faults) < len(known):
        return Step("webhook", url, Finding.EXISTS, id=known[0].id)
    note = f"{faults[0]}: delete it and run again"
    return Step("webhook", url, Finding.DIFFERS, id=known[0].id, note=note)


def _fault(hook: Webhook) -> str | None:
    if not hook.enabled:
        return "it is switched off"
    if missing := {*EVENTS}.difference(hook.events) if "*" not in hook.events else ():
        return f"it is not sent {', '.join(sorted(missing))}"
    return None
