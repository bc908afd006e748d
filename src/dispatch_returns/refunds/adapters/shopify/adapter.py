"""The adapter: refunds an order of the shop through the gateway that took its payment.

The order is the payment: its id, ``gid://shopify/Order/...``, is the `PaymentRef`'s. Shopify then
keeps its books and its stock itself, whichever gateway was used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    EventHead,
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundUpdate,
    UnreadableRefund,
    readable_refunds,
    unreadable_refunds,
)
from dispatch_returns.refunds.adapters import own_refunds, shop_notes
from dispatch_returns.refunds.adapters.shop_api import (
    ShopCalls,
    as_object,
    checked_secrets,
    checked_url,
    event_object,
    is_local,
    verify_signature,
)
from dispatch_returns.refunds.adapters.shopify import documents, money
from dispatch_returns.refunds.adapters.shopify.options import (
    API_VERSION,
    ShopifyRefundOptions,
    graphql_path,
    shop_url,
)
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

_SHOP = "Shopify"
_REMEDY = "check SHOPIFY_ACCESS_TOKEN and its scopes (read_orders, write_orders, read_all_orders)"
_GID = re.compile(r"gid://shopify/Order/[0-9]{1,20}", re.ASCII)
_LOCATION = re.compile(r"(gid://shopify/Location/)?([0-9]{1,20})", re.ASCII)
_LONGEST_KEY = 255


class ShopifyAdapter:
    """A `RefundAdapter` on `refundCreate` of Shopify's GraphQL Admin API.

    ``location`` is where goods go back into stock if their condition is one of ``restock``; without
    it, the stock stays as it is. ``notify``: Shopify mails the customer. ``timeout``: seconds for
    each step of a call. ``webhook_secrets``: what Shopify signs with. ``http_client``: your own;
    the adapter does not close it.

    An order that was paid with several payments is refused: a person divides its refund in the
    shop. A gift card and store credit are left out: only the other payment is refunded.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "shopify"
    options_model = ShopifyRefundOptions
    capabilities = Capabilities(
        key_lifetime=timedelta(hours=23),
        longest_key=_LONGEST_KEY,
        lookup=True,
        asynchronous=True,
        unverified=frozenset({"key_lifetime", "longest_key", "lookup", "most_refunds"}),
    )
    webhook_events = ("refunds/create",)

    def __init__(
        self,
        shop: str,
        access_token: str,
        *,
        api_version: str = API_VERSION,
        location: str | None = None,
        restock: Sequence[str] = ("new", "like_new"),
        notify: bool = False,
        timeout: float = 30.0,
        webhook_secrets: str | Sequence[str] = (),
        http_client: httpx.Client | None = None,
    ) -> None:
        where = None if location is None else _LOCATION.fullmatch(location)
        if location is not None and where is None:
            raise InvalidArgumentError("location", "write it as gid://shopify/Location/1")
        url = checked_url("shop", shop_url(shop))
        self._location = where and f"gid://shopify/Location/{where[2]}"
        self._restock = frozenset(restock)
        self._notify = notify
        self._secrets = checked_secrets(webhook_secrets)
        self._local = is_local(url)
        self._path = graphql_path(api_version)
        self._calls = ShopCalls(
            _SHOP,
            url,
            remedy=_REMEDY,
            timeout=timeout,
            headers={"X-Shopify-Access-Token": access_token},
            http_client=http_client,
        )

    @classmethod
    def from_options(cls, options: ShopifyRefundOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.shop,
            options.access_token.get_secret_value(),
            api_version=options.api_version,
            location=options.location,
            restock=options.restock,
            notify=options.notify,
            timeout=options.timeout,
            webhook_secrets=[secret.get_secret_value() for secret in options.webhook_secrets],
        )

    def __repr__(self) -> str:
        return f"ShopifyAdapter(path={self._path!r}, location={self._location!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what was paid for the order, and what went back of it. Raises `AdapterError`."""
        order = self._order(ref)
        return money.payment_of(order, money.captures_of(order))

    def refund(self, request: RefundRequest) -> RefundResult:
        """Create the refund under the request's key, with our ids in its note.

        The order is read first: the call names the transactions to refund, which must be the same
        in a repeated call. What the key made already is returned without another call.
        """
        if len(request.idempotency_key) > _LONGEST_KEY:
            raise UnsupportedFeatureError(f"Shopify's keys have at most {_LONGEST_KEY} characters")
        note = shop_notes.note_of(request)
        order = self._order(request.payment)
        known = own_refunds.find_own(self._known(order), request, _SHOP)
        if (made := own_refunds.repeated(known, request, _SHOP)) is not None:
            return made.result
        if money.is_disputed(order):
            raise self._calls.error(ErrorKind.DISPUTED, "says that the payment is disputed")
        captures = money.captures_of(order)
        asked = request.amount
        # The call names the currency, and Shopify refuses another.
        left = Money(sum(it for _, it in captures), asked.currency, asked.decimals)
        own_refunds.check_left(request, left, _SHOP)
        given: dict[str, Any] = {
            "orderId": order.id,
            "currency": request.amount.currency,
            "note": note,
            "notify": self._notify,
            "transactions": money.shares_of(request.amount, captures, order.id),
        }
        if lines := self._lines(request):
            given["refundLineItems"] = lines
        shipping = request.details.shipping
        if shipping is not None and shipping.minor:
            given["shipping"] = {"amount": f"{shipping.major:f}"}
        data = self._ask(documents.REFUND, input=given, key=request.idempotency_key)
        created = self._calls.read(documents.RefundCreated, data).refund_create
        if created is None or (created.refund is None and not created.user_errors):
            raise self._calls.unknown("an answer without a refund")
        if created.refund is None:
            raise money.rejection(created.user_errors)
        found = money.listed_refund(created.refund, order)
        if isinstance(found, UnreadableRefund):
            raise self._calls.unknown(found.problem)
        return found.result

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up by its note, among all refunds of the order. Raises `AdapterError`."""
        found = own_refunds.find_own(self._known(self._order(request.payment)), request, _SHOP)
        return None if found is None else found.result

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of an order as they stand now."""
        order = self._order(ref)
        return [money.listed_refund(refund, order) for refund in order.refunds]

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the shop's refunds, one page of orders at a time.

        A refund changes its order, so the orders that were changed since are searched.
        """
        search = "(financial_status:refunded OR financial_status:partially_refunded)"
        if since is not None:
            search += f" updated_at:>='{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"
        after: str | None = None
        while True:
            data = self._ask(documents.REFUNDED, query=search, after=after)
            page = self._calls.read(documents.OrdersFound, data).orders
            for order in page.nodes:
                whole = order
                counts = (len(it.transactions.nodes) for it in order.refunds)
                if max(len(order.refunds), *counts, 0) >= documents.MOST_LISTED:
                    try:
                        whole = self._order(PaymentRef("reference", order.id))
                    except AdapterError as error:
                        if error.kind is not ErrorKind.UNREADABLE_REFUND:
                            raise
                        yield UnreadableRefund(None, f"{order.id} has more than are listed")
                for refund in whole.refunds:
                    found = money.listed_refund(refund, whole)
                    if isinstance(found, UnreadableRefund) or _is_between(found, since, until):
                        yield found
            if not page.page_info.has_next_page or page.page_info.end_cursor == after:
                return
            after = page.page_info.end_cursor

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a webhook that Shopify signed. Raises `SignatureError`."""
        verify_signature(request, "X-Shopify-Hmac-Sha256", self._secrets)
        event_id = request.header("X-Shopify-Event-Id") or request.header("X-Shopify-Webhook-Id")
        topic = request.header("X-Shopify-Topic")
        if not event_id or not topic:
            raise EventError("the webhook has no id or no topic")
        return [EventHead(event_id, topic)]

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return whose refunds changed: the service asks for them. Raises `EventError`."""
        order_id = event_object(body).get("order_id")
        if not isinstance(order_id, int):
            return None
        return RefundUpdate((PaymentRef("reference", f"gid://shopify/Order/{order_id}"),), ())

    def recognizes(self, payment_id: str) -> bool:
        """Return whether `payment_id` is that of a Shopify order."""
        return _GID.fullmatch(payment_id) is not None

    def check(self) -> str:
        """Read the token's scopes; return what it may do. Raises `AdapterError`."""
        info = self._calls.read(documents.TokenInfo, self._ask(documents.SHOP))
        scopes = {it.handle for it in info.current_app_installation.access_scopes}
        if "write_orders" not in scopes:  # it includes reading them
            raise self._calls.error(
                ErrorKind.CONFIG,
                "gave the token no write_orders: add it to the app's scopes, and install the app"
                " again",
            )
        said = "lets the token in"
        if "read_all_orders" not in scopes:
            said += ". Without the scope read_all_orders, orders older than 60 days are not found"
        if self._location is None:
            said += ". SHOPIFY_LOCATION is not set, so refunds put nothing back into stock"
        return said

    @property
    def mode(self) -> str | None:
        """``sandbox`` for a test double on this machine; the token itself shows no mode."""
        return "sandbox" if self._local else None

    def account(self) -> str | None:
        """Return the shop's id. Raises `AdapterError`."""
        return self._calls.read(documents.TokenInfo, self._ask(documents.SHOP)).shop.id

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._calls.close()

    def _order(self, ref: PaymentRef) -> documents.PaidOrder:
        if ref.kind != "reference":
            raise UnsupportedFeatureError(
                "Shopify refunds an order (gid://shopify/Order/...), not a payment of Stripe"
            )
        if not _GID.fullmatch(ref.id):
            raise self._calls.error(
                ErrorKind.NOT_FOUND, "has no such order: its ids are gid://shopify/Order/..."
            )
        data = self._ask(documents.ORDER, id=ref.id)
        order = self._calls.read(documents.OrderFound, data).order
        if order is None:
            raise self._calls.error(ErrorKind.NOT_FOUND, "has no such order")
        many = len(order.refunds) >= documents.MOST_REFUNDS
        if many or len(order.transactions) >= documents.MOST_TRANSACTIONS:
            raise self._calls.error(
                ErrorKind.UNREADABLE_REFUND, "has more refunds of the order than it lists at once"
            )
        return order

    def _known(self, order: documents.PaidOrder) -> list[KnownRefund]:
        """Return the order's refunds. Raises `AdapterError` if one of them can't be read."""
        unreadable: list[UnreadableRefund] = []
        listed = [money.listed_refund(refund, order) for refund in order.refunds]
        known = list(readable_refunds(listed, unreadable.append))
        if unreadable:
            raise unreadable_refunds(unreadable)
        return known

    def _lines(self, request: RefundRequest) -> list[Mapping[str, Any]]:
        """Return the lines that are refunded, as far as the order still has them.

        They say nothing about the amount: the transactions do.
        """
        wanted = request.details.lines
        if not wanted:
            return []
        lines = list(self._order_lines(request.payment.id))
        left = {line.id: line.refundable_quantity for line in lines}
        given: list[Mapping[str, Any]] = []
        for asked in wanted:
            missing = asked.quantity
            back = self._location is not None and asked.condition in self._restock
            for line in lines:
                count = min(missing, left[line.id])
                if count > 0 and asked.sku in {(line.sku or "").strip() or line.id, line.id}:
                    left[line.id] -= count
                    missing -= count
                    entry: dict[str, Any] = {
                        "lineItemId": line.id,
                        "quantity": count,
                        "restockType": "RETURN" if back else "NO_RESTOCK",
                    }
                    given.append(entry | ({"locationId": self._location} if back else {}))
        return given

    def _order_lines(self, order_id: str) -> Iterator[documents.Line]:
        after: str | None = None
        while True:
            data = self._ask(documents.LINES, id=order_id, after=after)
            order = self._calls.read(documents.LinesFound, data).order
            if order is None:
                return
            yield from order.line_items.nodes
            info = order.line_items.page_info
            if not info.has_next_page or info.end_cursor == after:
                return
            after = info.end_cursor

    def _ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """Return the data of an answer. Raises `AdapterError`."""
        body = {"query": document, "variables": variables}
        changes = document.lstrip().startswith("mutation")
        answer = self._calls.call("POST", self._path, json=body, may_have_paid=changes)
        if changes and answer.status >= 300 and "errors" not in as_object(answer.data):
            raise self._calls.unknown(str(answer.status))  # not Shopify's word: a proxy's
        if answer.status in {401, 403}:
            raise self._calls.refused(str(answer.status))
        if answer.status >= 300:
            raise self._calls.error(
                ErrorKind.CONFIG,
                f"answered {answer.status}: check SHOPIFY_SHOP and SHOPIFY_API_VERSION",
                code=str(answer.status),
            )
        content = self._calls.read(documents.GraphQL, answer.data)
        if changes and any(value is not None for value in (content.data or {}).values()):
            return content.data or {}  # errors beside a result do not undo it
        codes = [it.extensions.code for it in content.errors if it.extensions]
        for code, kind in _CODES.items():
            if code in codes:
                if kind is ErrorKind.AUTH:
                    raise self._calls.refused(code)
                raise self._calls.error(kind, f"answered {code}", code=code)
        if content.errors and changes and not set(codes) & _NOT_BEGUN:
            raise self._calls.unknown("an error without a known code")
        if content.errors:
            raise self._calls.error(
                ErrorKind.CONFIG, "did not accept the request: check SHOPIFY_API_VERSION"
            )
        if content.data is None:
            raise self._calls.unknown("an answer without data")
        return content.data


_NOT_BEGUN = {
    "BAD_REQUEST",
    "INVALID_VARIABLE",
    "argumentLiteralsIncompatible",
    "argumentNotAccepted",
    "missingRequiredArguments",
    "undefinedField",
    "undefinedType",
    "variableMismatch",
}
"""Errors that come before anything is carried out: the document does not fit Shopify's schema."""

_CODES: Mapping[str, ErrorKind] = {
    "INTERNAL_SERVER_ERROR": ErrorKind.UNKNOWN_OUTCOME,
    "IDEMPOTENCY_CONCURRENT_REQUEST": ErrorKind.IN_PROGRESS,
    "IDEMPOTENCY_KEY_PARAMETER_MISMATCH": ErrorKind.KEY_CONFLICT,
    "THROTTLED": ErrorKind.RATE_LIMITED,
    "ACCESS_DENIED": ErrorKind.AUTH,
    "SHOP_INACTIVE": ErrorKind.CONFIG,
    "MAX_COST_EXCEEDED": ErrorKind.CONFIG,
}
"""Errors of a whole request. The first one that occurs counts: what may have been carried out."""


def _is_between(refund: KnownRefund, since: datetime | None, until: datetime | None) -> bool:
    at = refund.created_at
    return (since is None or at >= since) and (until is None or at < until)
