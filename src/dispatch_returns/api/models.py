"""What the API answers with.

Every model reads both wire styles, whatever was sent, is frozen, and keeps fields it does not
know under the name they came with. A ``repr`` shows only what may stand in a log: ids and
states, never a customer's data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
)
from pydantic import Field as _field  # noqa: N813 - one of our models is called Field

from dispatch_returns.api.operation import Page
from dispatch_returns.api.scope import camel

__all__ = [
    "Comment",
    "Customer",
    "Delivery",
    "Field",
    "Model",
    "Page",
    "Status",
    "Ticket",
    "Webhook",
    "Workspace",
]


def _both_spellings(name: str) -> AliasChoices:
    return AliasChoices(name, camel(name))


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


_WORKSPACE = AliasChoices("workspace_id", "workspaceId", "brand_id", "brandId")

Properties = Annotated[dict[str, Any], BeforeValidator(_none_is_empty)]
"""A map whose keys are the merchant's own: they are never renamed. Amounts are `Decimal`."""


class Model(BaseModel, frozen=True):
    """The base of all answers."""

    model_config = ConfigDict(
        extra="allow",
        defer_build=True,
        alias_generator=AliasGenerator(validation_alias=_both_spellings),
    )
    shown: ClassVar[tuple[str, ...]] = ("id",)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, getattr(self, name)) for name in self.shown]


class Customer(Model, frozen=True):
    """A person who opens tickets."""

    id: str
    workspace_id: str | None = _field(default=None, validation_alias=_WORKSPACE)
    email: str | None = None
    name: str | None = None
    company_id: str | None = None
    metadata: Properties = {}
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class Ticket(Model, frozen=True):
    """A ticket; of a return, when it carries the workflow's custom fields."""

    shown = ("id", "ticket_number", "status")

    id: str
    workspace_id: str = _field(validation_alias=_WORKSPACE)
    subject: str = _field(validation_alias=AliasChoices("subject", "title"))
    status: str
    ticket_number: int | str | None = None
    body: str | None = None
    priority: str | None = None
    customer_email: str | None = _field(
        default=None,
        validation_alias=AliasChoices(
            "customer_email", "customerEmail", AliasPath("customer", "email")
        ),
    )
    customer_name: str | None = _field(
        default=None,
        validation_alias=AliasChoices(
            "customer_name", "customerName", AliasPath("customer", "name")
        ),
    )
    customer_id: str | None = None
    customer: Customer | None = None
    assignee_id: str | None = None
    category_id: str | None = None
    tags: list[Any] | None = None
    links: list[Any] | None = None
    custom_fields: Properties = {}
    metadata: Properties = {}
    source: str | None = None
    source_id: str | None = None
    comment_count: int | None = None
    attachment_count: int | None = None
    is_spam: bool | None = None
    close_reason: str | None = None
    due_at: AwareDatetime | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    deleted_at: AwareDatetime | None = None


class Comment(Model, frozen=True):
    """A message on a ticket, or an internal note."""

    shown = ("id", "ticket_id", "author_type")

    id: str
    body: str
    ticket_id: str | None = None
    author_id: str | None = None
    author_name: str | None = None
    author_type: str | None = None
    parent_id: str | None = None
    metadata: Properties = {}
    source: str | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    deleted_at: AwareDatetime | None = None

    @property
    def internal(self) -> bool:
        """Whether the customer does not see it: ``metadata.isInternal``."""
        return self.metadata.get("isInternal") is True


class Webhook(Model, frozen=True):
    """Where the API delivers events. ``secret`` is there only in the answer of create."""

    shown = ("id", "events", "enabled")

    id: str
    url: str
    workspace_id: str | None = _field(default=None, validation_alias=_WORKSPACE)
    events: list[str] = []
    enabled: bool = _field(default=True, validation_alias=AliasChoices("enabled", "active"))
    secret: str | None = None
    failure_count: int | None = None
    last_triggered: AwareDatetime | None = None
    last_failure: AwareDatetime | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class Delivery(Model, frozen=True):
    """One event on its way to one webhook: PENDING, SUCCESS, FAILED or RETRYING."""

    shown = ("id", "event", "status", "attempts", "response_code")

    id: str
    event: str
    status: str
    webhook_id: str | None = None
    payload: Any = None
    attempts: int = 0
    last_attempt: AwareDatetime | None = None
    response_code: int | None = None
    response_body: str | None = None
    error: str | None = None
    created_at: AwareDatetime | None = None


class Status(Model, frozen=True):
    """A status a ticket can have: data of the workspace, found by ``key``."""

    shown = ("id", "key", "is_system", "is_active")

    id: str
    key: str
    name: str
    workspace_id: str | None = _field(default=None, validation_alias=_WORKSPACE)
    color: str | None = None
    description: str | None = None
    is_system: bool = False
    is_active: bool = True
    sort_order: int | None = None


class Field(Model, frozen=True):
    """The definition of a custom field."""

    shown = ("key", "type", "required")

    key: str
    label: str
    type: str
    required: bool = False
    description: str | None = None
    placeholder: str | None = None
    default_value: Any = None
    options: list[Any] | None = None
    sort_order: int | None = None


class Workspace(Model, frozen=True):
    """A workspace, called a brand in the other style."""

    shown = ("id", "slug")

    id: str
    name: str
    slug: str | None = None
    ticket_prefix: str | None = None
    url: str | None = None
    metadata: Properties = {}
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
