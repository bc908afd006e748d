"""The types a user of the client sees, held by mypy and by pyright. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type

import httpx

from dispatch_returns import AsyncDispatchClient, Connector, Context, DispatchClient, RefundEvent
from dispatch_returns.client import (
    UNSET,
    Account,
    ApiKey,
    AsyncPortalClient,
    Attachment,
    BulkResult,
    CategoryStats,
    Comment,
    Customer,
    DeletePreview,
    Delivery,
    Field,
    FieldDefinitions,
    Hooks,
    JsonValue,
    Page,
    PortalClient,
    PortalComment,
    PortalTicket,
    PortalToken,
    RateLimit,
    RawResponse,
    RequestInfo,
    ResponseInfo,
    RetryInfo,
    Status,
    Style,
    Tag,
    Ticket,
    UploadTarget,
    Webhook,
    Workspace,
)
from dispatch_returns.errors import APIError
from dispatch_returns.webhooks import CommentCreated, TicketCreated, TicketUpdated, UnknownEvent


def a_client_is_made(style: Style, http: httpx.Client) -> None:
    DispatchClient("sk_test_1", "ws_1")
    DispatchClient(
        api_key="sk_test_1",
        workspace="ws_1",
        base_url="http://localhost:8000/v1",
        style=style,
        timeout=5,
        max_retries=0,
        http_client=http,
        hooks=Hooks(request=on_request, response=on_response, retry=on_retry),
    )
    DispatchClient("sk_test_1", "ws_1", style="camel")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DispatchClient("sk_test_1", "ws_1", http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DispatchClient("sk_test_1", "ws_1", hooks=Hooks(request=on_retry))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def on_request(info: RequestInfo) -> None:
    assert_type(info.attempt, int)
    assert_type(info.idempotency_key, str | None)


def on_response(info: ResponseInfo) -> None:
    assert_type(info.seconds, float)
    assert_type(info.request_id, str | None)


def on_retry(info: RetryInfo) -> None:
    assert_type(info.wait, float)
    assert_type(info.error, APIError)


def calls_block(dispatch: DispatchClient, at: datetime) -> None:
    with dispatch as same:
        assert_type(same, DispatchClient)
    ticket = dispatch.tickets.create(
        subject="Return Request - Order #1234",
        customer_email="jane@example.com",
        custom_fields={"order_id": "1234", "items": ["SKU-001"], "total": Decimal("149.00")},
    )
    assert_type(ticket, Ticket)
    assert_type(dispatch.tickets.get(ticket.id), Ticket)
    assert_type(
        dispatch.tickets.list(status=["open", "refunded"], created_after=at), Iterator[Ticket]
    )
    assert_type(dispatch.tickets.list_page(limit=10), Page[Ticket])
    assert_type(dispatch.tickets.update(ticket.id, assignee_id=None, subject=UNSET), Ticket)
    assert_type(dispatch.tickets.delete(ticket.id), None)
    assert_type(dispatch.comments.create(ticket.id, body="b", internal=True), Comment)
    assert_type(dispatch.comments.list(ticket.id), list[Comment])
    assert_type(dispatch.comments.update(ticket.id, "cmt_1", body="b"), Comment)
    assert_type(dispatch.webhooks.create(url="https://x", events=["*"]), Webhook)
    assert_type(dispatch.webhooks.list(), list[Webhook])
    assert_type(dispatch.webhooks.deliveries("whk_1"), list[Delivery])
    assert_type(dispatch.statuses.create(name="Approved", key="approved"), Status)
    assert_type(dispatch.fields.create(key="k", label="l", type="number"), Field)
    assert_type(dispatch.fields.list(entity="customer"), list[Field])
    assert_type(dispatch.customers.search("jane"), list[Customer])
    assert_type(dispatch.customers.list(), Iterator[Customer])
    assert_type(dispatch.customers.update("cus_1", name=None), Customer)
    assert_type(dispatch.workspaces.get(), Workspace)
    assert_type(dispatch.workspaces.list(), list[Workspace])


def the_other_rows_too(dispatch: DispatchClient) -> None:
    assert_type(dispatch.accounts.me(), Account)
    assert_type(dispatch.api_keys.create(name="n", workspace_ids=["ws_1"]), ApiKey)
    assert_type(dispatch.workspaces.preview_delete("ws_2"), DeletePreview)
    assert_type(dispatch.workspaces.delete("ws_2", confirm=True), None)
    assert_type(dispatch.tickets.bulk(action="close", ticket_ids=["t"]), BulkResult)
    assert_type(
        dispatch.attachments.create("t", filename="f", content_type="c", size=1), UploadTarget
    )
    assert_type(dispatch.attachments.upload("t", "photo.png", progress=on_progress), Attachment)
    assert_type(dispatch.attachments.download("t", "a", "photo.png"), Attachment)
    assert_type(dispatch.fields.all(), FieldDefinitions)
    assert_type(dispatch.contacts.list(), Iterator[Customer])
    assert_type(dispatch.categories.stats(), list[CategoryStats])
    assert_type(dispatch.tags.merge("tag_1", source_tag_ids=["tag_2"]), Tag)
    assert_type(dispatch.portal.create_token(email="e"), PortalToken)
    dispatch.tickets.bulk(action="archive", ticket_ids=["t"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dispatch.attachments.upload("t", b"bytes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def on_progress(done: int, of: int) -> None: ...


def options_and_raw_answers(dispatch: DispatchClient) -> None:
    assert_type(dispatch.rate_limit, RateLimit | None)
    assert_type(dispatch.with_options(timeout=5, max_retries=0), DispatchClient)
    assert_type(dispatch.tickets.with_options(timeout=5).get("t"), Ticket)
    raw = dispatch.tickets.with_raw_response.get("t")
    assert_type(raw, RawResponse[Ticket])
    assert_type(raw.value.subject, str)
    assert_type(raw.request_id, str | None)
    assert_type(dispatch.tickets.with_raw_response.list_page(limit=1).value, Page[Ticket])
    dispatch.tickets.with_raw_response.get()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    dispatch.tickets.with_options(tiemout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def options_and_raw_answers_are_awaited(dispatch: AsyncDispatchClient) -> None:
    assert_type(dispatch.with_options(timeout=5), AsyncDispatchClient)
    assert_type(await dispatch.tickets.with_options(timeout=5).get("t"), Ticket)
    assert_type(await dispatch.tickets.with_raw_response.get("t"), RawResponse[Ticket])
    assert_type(await dispatch.attachments.upload("t", "photo.png"), Attachment)
    assert_type(dispatch.contacts.list(), AsyncIterator[Customer])


def the_customers_side(token: PortalToken) -> None:
    with PortalClient(token) as portal:
        assert_type(portal, PortalClient)
        assert_type(portal.tickets.create(subject="s", attachment_ids=["a"]), PortalTicket)
        assert_type(portal.tickets.list(status="open"), Iterator[PortalTicket])
        assert_type(portal.tickets.comment("t", body="b"), PortalComment)
        assert_type(portal.attachments.upload("photo.png", ticket_id="t"), Attachment)
        assert_type(portal.refresh(), PortalToken)
    assert_type(PortalClient.verify("t"), PortalToken)


async def the_customers_side_is_awaited() -> None:
    async with AsyncPortalClient(await AsyncPortalClient.verify("t")) as portal:
        assert_type(await portal.tickets.get("t"), PortalTicket)
        assert_type(await portal.refresh(), PortalToken)


async def calls_are_awaited(dispatch: AsyncDispatchClient) -> None:
    async with dispatch as same:
        assert_type(same, AsyncDispatchClient)
    assert_type(await dispatch.tickets.create(subject="s"), Ticket)
    assert_type(await dispatch.tickets.list_page(), Page[Ticket])
    assert_type(await dispatch.comments.list("tkt_1"), list[Comment])
    assert_type(await dispatch.tickets.delete("tkt_1"), None)
    assert_type(dispatch.tickets.list(), AsyncIterator[Ticket])
    async for customer in dispatch.customers.list(limit=50):
        assert_type(customer, Customer)


def mistakes_are_seen(dispatch: DispatchClient) -> None:
    dispatch.tickets.create()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    dispatch.tickets.create(subject="s", subjekt="s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    dispatch.tickets.create(subject="s", priority="highest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dispatch.tickets.update("t", custom_fields={"refund_amount": 149.0})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    dispatch.tickets.update("t", status=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dispatch.tickets.list(sort="subject")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dispatch.comments.create("t", body="b", author_type="customer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def models_have_these_types(ticket: Ticket, comment: Comment, page: Page[Ticket]) -> None:
    assert_type(ticket.custom_fields, dict[str, Any])
    assert_type(ticket.ticket_number, int | str | None)
    assert_type(ticket.created_at, datetime | None)
    assert_type(ticket.customer, Customer | None)
    assert_type(comment.internal, bool)
    assert_type(page.data, list[Ticket])
    assert_type(page.cursor, str | None)
    ticket.status = "refunded"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def fields_are_typed_and_hold_no_float(amount: Decimal) -> None:
    fields: dict[str, JsonValue] = {"a": amount, "b": [1, None, {"c": True}]}
    fields["d"] = 1.5  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]


def handlers_are_typed_by_their_event(connector: Connector) -> None:
    @connector.on("refund.held")
    def held(event: RefundEvent, context: Context) -> None:
        assert_type(event.reason, str | None)

    @connector.on("ticket.updated")
    @connector.on("ticket.created")
    async def changed(event: TicketUpdated | TicketCreated, context: Context) -> None:
        assert_type(event.ticket_id, str)
        assert_type(event.data.status, str | None)

    @connector.on("ticket.updated")
    def updated(event: TicketUpdated, context: Context) -> None:
        assert_type(event.data.changes, tuple[str, ...])

    @connector.on("comment.created")
    def commented(event: CommentCreated, context: Context) -> None:
        assert_type(event.data.comment.body, str | None)

    @connector.on("ticket.deleted")
    def deleted(event: UnknownEvent, context: Context) -> None:
        assert_type(event.data, dict[str, Any])

    connector.on("refund.failed")(held)
    connector.on("refund.failed")(changed)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    connector.on("ticket.updated")(held)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    connector.on("refund.paid")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def a_misspelt_name_is_an_error() -> None:
    """The faces are lazy, and hide nothing from a type checker: these ignores are needed."""
    from dispatch_returns import Conector  # type: ignore[attr-defined]  # noqa: F401
    from dispatch_returns.client import Tikcet  # type: ignore[attr-defined]  # noqa: F401
    from dispatch_returns.refunds import RefundAdaptr  # type: ignore[attr-defined]  # noqa: F401
