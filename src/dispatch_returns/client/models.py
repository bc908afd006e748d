"""What the API answers with.

Every model reads both wire styles, whatever was sent, is frozen, and keeps fields it does not
know under the name they came with. A ``repr`` shows only what may stand in a log: ids and
states, never a customer's data.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    model_validator,
)
from pydantic import Field as _field  # noqa: N813 - one of our models is called Field

from dispatch_returns.client.arguments import moment
from dispatch_returns.client.operation import Page, Style, brands_name, camel

__all__ = [
    "Account",
    "AccountPlan",
    "ApiKey",
    "Attachment",
    "BulkResult",
    "Category",
    "CategoryStats",
    "Comment",
    "Customer",
    "DeletePreview",
    "Delivery",
    "Field",
    "FieldDefinitions",
    "Model",
    "Page",
    "PortalComment",
    "PortalTicket",
    "PortalToken",
    "Status",
    "Tag",
    "Ticket",
    "UploadTarget",
    "Usage",
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

    def to_wire(self, style: Style = "workspaces") -> dict[str, Any]:
        """Return the object as the API writes it in `style`: what it came with, no more.

        Amounts stay `Decimal`; times become text. ``model_dump()`` has the names of Python.
        """
        rename = brands_name if style == "brands" else str
        known = type(self).model_fields
        return {
            rename(name) if name in known else name: _wire(getattr(self, name), style)
            for name in self.model_fields_set
        }

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, getattr(self, name)) for name in self.shown]


def _wire(value: Any, style: Style) -> Any:
    if isinstance(value, Model):
        return value.to_wire(style)
    if isinstance(value, list):
        return [_wire(item, style) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return moment("time", value) if isinstance(value, datetime) else value


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
    merged_into_id: str | None = None


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
    ticket_count: int | None = None
    """How many tickets have it; only `stats` says so."""


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
    from_name: str | None = None
    from_email: str | None = None
    portal_origins: list[str] | None = None
    metadata: Properties = {}
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class DeletePreview(Model, frozen=True):
    """How much would go with a workspace."""

    shown = ("ticket_count",)

    ticket_count: int | None = None
    webhook_count: int | None = None
    category_count: int | None = None
    tag_count: int | None = None


class FieldDefinitions(Model, frozen=True):
    """The definitions of custom fields, by what has them."""

    shown = ()

    ticket: list[Field] = []
    customer: list[Field] = []

    @model_validator(mode="before")
    @classmethod
    def _by_entity(cls, value: Any) -> Any:
        # Some lists of the API are bare arrays, and then each item says what it is of.
        if not isinstance(value, list):
            return value
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        names = ("ticket", "customer")
        return {name: [it for it in items if _entity(it) == name] for name in names}


def _entity(item: Any) -> Any:
    return item.get("entity", "ticket") if isinstance(item, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


class Account(Model, frozen=True):
    """The account a key belongs to."""

    id: str
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class AccountPlan(Model, frozen=True):
    """What an account has paid for; None: without a limit."""

    shown = ("name", "ticket_limit")

    name: str
    ticket_limit: int | None = None
    workspace_limit: int | None = _field(
        default=None,
        validation_alias=AliasChoices(
            "workspace_limit", "workspaceLimit", "brand_limit", "brandLimit"
        ),
    )


class Usage(Model, frozen=True):
    """How much an account uses."""

    shown = ("tickets_this_month", "tickets_total", "workspaces_count")

    tickets_this_month: int
    tickets_total: int
    workspaces_count: int = _field(
        validation_alias=AliasChoices(
            "workspaces_count", "workspacesCount", "brands_count", "brandsCount"
        )
    )
    plan: AccountPlan | None = None


class ApiKey(Model, frozen=True):
    """A key of the account. ``key`` is there only in the answer of create."""

    id: str
    name: str
    key: str | None = None
    key_preview: str | None = None
    all_workspaces: bool | None = _field(
        default=None,
        validation_alias=AliasChoices("all_workspaces", "allWorkspaces", "all_brands", "allBrands"),
    )
    workspace_ids: list[str] = _field(
        default=[],
        validation_alias=AliasChoices("workspace_ids", "workspaceIds", "brand_ids", "brandIds"),
    )
    last_used_at: AwareDatetime | None = None
    created_at: AwareDatetime | None = None


class BulkResult(Model, frozen=True):
    """What became of a bulk action: ``count`` tickets were changed, ``failed`` were not."""

    shown = ("success", "count", "failed")

    success: bool
    count: int | None = None
    failed: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        # The vendor's SDK reads {success: true, count}, its UI {success: 2, failed: 0}.
        counted = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if type(counted.get("success")) is not int:
            return value  # pyright: ignore[reportUnknownVariableType]
        return {**counted, "success": not counted.get("failed"), "count": counted["success"]}


class Category(Model, frozen=True):
    """A category tickets can be in."""

    id: str
    name: str
    workspace_id: str | None = _field(default=None, validation_alias=_WORKSPACE)
    color: str | None = None
    description: str | None = None
    sort_order: int | None = None
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None


class CategoryStats(Model, frozen=True):
    """How many tickets a category has."""

    shown = ("id", "ticket_count")

    id: str
    ticket_count: int
    name: str | None = None
    color: str | None = None


class Tag(Model, frozen=True):
    """A tag tickets can have."""

    id: str
    name: str
    workspace_id: str | None = _field(default=None, validation_alias=_WORKSPACE)
    color: str | None = None
    created_at: AwareDatetime | None = None


class Attachment(Model, frozen=True):
    """A file on a ticket. ``download_url`` is there where one attachment was asked for."""

    shown = ("id", "size", "status")

    id: str
    filename: str
    content_type: str | None = None
    size: int | None = None
    status: str | None = None
    ticket_id: str | None = None
    comment_id: str | None = None
    uploaded_by: str | None = None
    download_url: str | None = None
    metadata: Properties = {}
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None


class UploadTarget(Model, frozen=True):
    """Where the bytes of an attachment are to be PUT. Whoever has ``upload_url`` may."""

    shown = ("attachment_id",)

    attachment_id: str = _field(
        validation_alias=AliasChoices(
            "attachment_id", "attachmentId", AliasPath("attachment", "id"), "id"
        )
    )
    upload_url: str
    expires_in: int | None = None
    expires_at: AwareDatetime | None = None


class PortalToken(Model, frozen=True):
    """A customer's key to the portal, for an hour."""

    shown = ("customer_id", "expires_at")

    token: str
    expires_at: AwareDatetime | None = None
    customer_id: str | None = None
    email: str | None = None
    name: str | None = None


class PortalComment(Model, frozen=True):
    """A comment as the customer sees it: by CUSTOMER or STAFF."""

    shown = ("id", "author_type")

    id: str
    body: str
    author_type: str | None = None
    author_name: str | None = None
    created_at: AwareDatetime | None = None


class PortalTicket(Model, frozen=True):
    """A ticket as the customer sees it. ``comments`` are there where one ticket was asked for."""

    shown = ("id", "ticket_number", "status")

    id: str
    subject: str = _field(validation_alias=AliasChoices("subject", "title"))
    status: str
    ticket_number: int | str | None = None
    priority: str | None = None
    body: str | None = None
    comment_count: int | None = None
    comments: list[PortalComment] = []
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
