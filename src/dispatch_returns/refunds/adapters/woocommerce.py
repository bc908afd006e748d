"""Refunds through WooCommerce, in the order's books: ``POST /orders/<id>/refunds``.

WooCommerce writes the refund down, has the order's payment gateway pay it, and deletes it where the
gateway refuses. It has no idempotency key, and a gateway that did not answer counts for it as one
that refused. So the adapter looks first, and takes every failure of the call for an unknown
outcome.

Source: https://woocommerce.github.io/woocommerce-rest-api-docs/#order-refunds
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import ErrorKind, EventError, MoneyError, UnsupportedFeatureError
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.plugins.options import CommaSeparated, PluginOptions, Secrets
from dispatch_returns.refunds.adapter import (
    EventHead,
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    RefundUpdate,
    UnreadableRefund,
    readable_refunds,
    unreadable_refunds,
)
from dispatch_returns.refunds.adapters import own_refunds, references, shop_notes
from dispatch_returns.refunds.adapters.shop_api import (
    ShopAnswer,
    ShopCalls,
    as_object,
    checked_secrets,
    checked_url,
    event_object,
    is_local,
    verify_signature,
)
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

_SHOP = "WooCommerce"
_REMEDY = "check WOOCOMMERCE_KEY and WOOCOMMERCE_SECRET, which must be allowed to read and to write"
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_PAGE = 100
_MOST_PAGES = 500
_LONGEST_KEY = 255


class WooCommerceOptions(PluginOptions):
    """The options of the order source, and a part of the adapter's."""

    url: str = Field(description="the shop's address: `https://shop.example.com`")
    key: str = Field(
        description="the consumer key (`ck_...`): WooCommerce, Settings, Advanced, REST API"
    )
    secret: SecretStr = Field(description="its consumer secret (`cs_...`)")


class WooCommerceRefundOptions(WooCommerceOptions):
    """The options of `WooCommerceAdapter`."""

    restock: CommaSeparated = Field(
        default=("new", "like_new"),
        description="the conditions in which returned goods go back into stock",
    )
    timeout: float = Field(
        default=40.0,
        gt=0,
        description="seconds for each step of a call; the shop calls its payment gateway within it",
    )
    webhook_secrets: Secrets = Field(
        default=(),
        validation_alias="webhook_secret",
        description="the secret of the webhook: WooCommerce, Settings, Advanced, Webhooks; several,"
        " separated by commas",
    )


class _Answer(BaseModel):
    """The base of what is read of an answer. Other fields are ignored."""

    model_config = ConfigDict(frozen=True)


class _Tax(_Answer):
    id: int
    total: str


class _Line(_Answer):
    id: int
    sku: str | None = None
    quantity: int
    total: str
    total_tax: str
    taxes: tuple[_Tax, ...] = ()


class _Order(_Answer):
    id: int
    currency: str
    total: str
    payment_method: str
    date_paid_gmt: str | None = None
    line_items: tuple[_Line, ...] = ()


class _Refund(_Answer):
    id: int
    reason: str | None
    amount: str
    date_created_gmt: datetime
    refunded_payment: bool


class _Refunds(_Answer):
    entries: tuple[_Refund, ...]


class _Orders(_Answer):
    entries: tuple[_Order, ...]


class _Gateway(_Answer):
    method_supports: tuple[str, ...]


class WooCommerceAdapter:
    """A `RefundAdapter` on WooCommerce's REST API v3. The order is the payment: its id is a number.

    ``restock``: the conditions in which goods go back into stock; the lines of a refund go back
    together or not at all. ``timeout``: seconds for each step of a call. ``http_client``: your own;
    the adapter does not close it. Raises `InvalidArgumentError` for a bad argument.
    """

    name = "woocommerce"
    options_model = WooCommerceRefundOptions
    capabilities = Capabilities(
        lookup=True,
        lookup_after=timedelta(minutes=2),
        longest_key=_LONGEST_KEY,
        unverified=frozenset({"lookup", "most_refunds"}),
    )
    webhook_events = ("order.updated",)

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        restock: Sequence[str] = ("new", "like_new"),
        timeout: float = 40.0,
        webhook_secrets: str | Sequence[str] = (),
        http_client: httpx.Client | None = None,
    ) -> None:
        url = checked_url("url", url)
        self._shown = url
        self._restock = frozenset(restock)
        self._secrets = checked_secrets(webhook_secrets)
        self._calls = ShopCalls(
            _SHOP,
            f"{url}/wp-json/wc/v3",
            remedy=_REMEDY,
            timeout=timeout,
            auth=(key, secret),
            http_client=http_client,
        )

    @classmethod
    def from_options(cls, options: WooCommerceRefundOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.url,
            options.key,
            options.secret.get_secret_value(),
            restock=options.restock,
            timeout=options.timeout,
            webhook_secrets=[secret.get_secret_value() for secret in options.webhook_secrets],
        )

    def __repr__(self) -> str:
        return f"WooCommerceAdapter(url={self._shown!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what was paid for the order, and what went back of it. Raises `AdapterError`.

        Raises `UnsupportedFeatureError` where the order's gateway makes no refunds: a person pays.
        """
        order = self._order(ref)
        gateway = self._calls.call("GET", f"/payment_gateways/{order.payment_method}")
        supports: tuple[str, ...] = ()
        if gateway.status < 400:
            supports = self._calls.read(_Gateway, gateway.data).method_supports
        if "refunds" not in supports:
            raise UnsupportedFeatureError(
                f"the order's payment method in WooCommerce ({order.payment_method}) makes no"
                " refunds: pay it by hand, and write it down there"
            )
        paid = self._money(order.total, order.currency)
        back = sum(it.result.amount.minor for it in self._known(order))
        return Payment(
            currency=paid.currency,
            rule=stripe_rule(paid.currency),
            charged=paid,
            refunded=Money(min(back, paid.minor), paid.currency, paid.decimals),
            names=frozenset({ref.id}),
        )

    def refund(self, request: RefundRequest) -> RefundResult:
        """Look for the refund, and create it if it is not there, with our ids in its reason.

        Two calls at once would pay twice: the ledger's lease prevents them. Raises `AdapterError`.
        """
        if len(request.idempotency_key) > _LONGEST_KEY:
            raise UnsupportedFeatureError(f"keys have at most {_LONGEST_KEY} characters")
        note = shop_notes.note_of(request)
        order = self._order(request.payment)
        listed = self._known(order)
        known = own_refunds.find_own(listed, request, _SHOP)
        if (made := own_refunds.repeated(known, request, _SHOP)) is not None:
            return self._paid(made).result
        paid = self._money(order.total, order.currency)
        back = sum(it.result.amount.minor for it in listed)
        left = Money(paid.minor - back, paid.currency, paid.decimals)
        own_refunds.check_left(request, left, _SHOP)
        lines = self._lines(request, order)
        wanted = request.details.lines
        given: dict[str, Any] = {
            "amount": f"{request.amount.major:f}",
            "reason": note,
            "api_refund": True,
            "api_restock": bool(wanted) and all(it.condition in self._restock for it in wanted),
        }
        if lines:
            given["line_items"] = lines
        answer = self._calls.call(
            "POST", f"/orders/{order.id}/refunds", json=given, may_have_paid=True
        )
        if answer.status >= 300:
            raise self._not_confirmed(answer)
        found = self._listed(self._calls.read(_Refund, answer.data), order)
        if isinstance(found, UnreadableRefund):
            raise self._calls.unknown(found.problem)
        return self._paid(found).result

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up by its reason, among all refunds of the order. Raises `AdapterError`.

        One that the gateway has not paid yet is in_progress: it is deleted if the gateway refuses.
        """
        found = own_refunds.find_own(self._known(self._order(request.payment)), request, _SHOP)
        return None if found is None else self._paid(found).result

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of an order as they stand now."""
        order = self._order(ref)
        return [self._listed(refund, order) for refund in self._refunds(order.id)]

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the shop's refunds. A refund changes its order, so the changed orders are read."""
        query = {"status": "any", "per_page": str(_PAGE), "dates_are_gmt": "true"}
        if since is not None:
            query["modified_after"] = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
        for page in range(1, _MOST_PAGES + 1):
            answer = self._calls.call("GET", "/orders", params=query | {"page": str(page)})
            entries = [it for it in self._entries(answer) if it.get("refunds")]
            for order in self._calls.read(_Orders, {"entries": entries}).entries:
                for refund in self._refunds(order.id):
                    found = self._listed(refund, order)
                    if isinstance(found, UnreadableRefund) or (
                        (since is None or found.created_at >= since)
                        and (until is None or found.created_at < until)
                    ):
                        yield found
            if page >= _pages(answer):
                return

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a webhook that the shop signed. Raises `SignatureError`."""
        verify_signature(request, "X-WC-Webhook-Signature", self._secrets)
        ids = (request.header("X-WC-Webhook-ID"), request.header("X-WC-Webhook-Delivery-ID"))
        topic = request.header("X-WC-Webhook-Topic")
        if not all(ids) or not topic:
            raise EventError("the webhook has no id or no topic")
        return [EventHead("-".join(filter(None, ids)), topic)]

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return whose refunds to ask for: an order that was changed and has refunds."""
        data = event_object(body)
        if not data.get("refunds"):
            return None
        order_id = data.get("id")
        if not isinstance(order_id, int):
            raise EventError("the event has no order id")
        return RefundUpdate((PaymentRef("reference", str(order_id)),), ())

    def recognizes(self, payment_id: str) -> bool:
        """Return whether `payment_id` is a number, as the ids of orders are."""
        return _ID.fullmatch(payment_id) is not None

    def check(self) -> str:
        """Read one order's refunds; return that the key lets us. Raises `AdapterError`."""
        answer = self._calls.call("GET", "/orders", params={"per_page": "1"})
        self._entries(answer)
        return "lets the key read; whether it may write shows with the first refund"

    @property
    def mode(self) -> str | None:
        """``sandbox`` for a test double on this machine; the key itself shows no mode."""
        return "sandbox" if is_local(self._shown) else None

    def account(self) -> str | None:
        """Return the shop's address: a shop has no other id."""
        return self._shown

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._calls.close()

    def _order(self, ref: PaymentRef) -> _Order:
        if ref.kind != "reference":
            raise UnsupportedFeatureError("WooCommerce refunds an order, not a payment of Stripe")
        if not _ID.fullmatch(ref.id):
            raise self._calls.error(ErrorKind.NOT_FOUND, "has no such order: its ids are numbers")
        answer = self._calls.call("GET", f"/orders/{ref.id}")
        if answer.status >= 400:
            raise self._refused(answer)
        order = self._calls.read(_Order, answer.data)
        if order.date_paid_gmt is None:
            raise self._calls.error(ErrorKind.NOT_REFUNDABLE, "has no payment for this order")
        return order

    def _known(self, order: _Order) -> list[KnownRefund]:
        """Return the order's refunds. Raises `AdapterError` if one of them can't be read."""
        unreadable: list[UnreadableRefund] = []
        listed = [self._listed(refund, order) for refund in self._refunds(order.id)]
        known = list(readable_refunds(listed, unreadable.append))
        if unreadable:
            raise unreadable_refunds(unreadable)
        return known

    def _refunds(self, order_id: int) -> Iterator[_Refund]:
        for page in range(1, _MOST_PAGES + 1):
            query = {"per_page": str(_PAGE), "page": str(page)}
            answer = self._calls.call("GET", f"/orders/{order_id}/refunds", params=query)
            yield from self._calls.read(_Refunds, {"entries": self._entries(answer)}).entries
            if page >= _pages(answer):
                return

    def _entries(self, answer: ShopAnswer) -> list[dict[str, Any]]:
        if answer.status >= 400:
            raise self._refused(answer)
        entries: object = answer.data
        if not isinstance(entries, list):
            raise self._calls.unknown("an undocumented answer")
        return cast("list[dict[str, Any]]", entries)

    def _listed(self, refund: _Refund, order: _Order) -> KnownRefund | UnreadableRefund:
        """Return a refund as the service knows it.

        Only ours is pending until the gateway has paid: a person may have paid another by hand.
        """
        ours = shop_notes.ours_in(refund.reason)
        try:
            amount = _exact(refund.amount, order.currency)
        except (InvalidOperation, MoneyError):
            return UnreadableRefund(str(refund.id), "amount")
        pending = ours is not None and not refund.refunded_payment
        at = refund.date_created_gmt
        result = RefundResult(
            processor_id=str(refund.id),
            status=RefundStatus.PENDING if pending else RefundStatus.SUCCEEDED,
            amount=amount,
        )
        created_at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        order_ref = PaymentRef("reference", str(order.id))
        return references.known_refund(result, (order_ref,), created_at, ours)

    def _paid(self, known: KnownRefund) -> KnownRefund:
        """Return our refund if its gateway has paid it. Raises `AdapterError` if it has not."""
        if known.result.status is RefundStatus.PENDING:
            raise self._calls.error(
                ErrorKind.IN_PROGRESS,
                "has written the refund down, and its payment gateway has not paid it yet. If that"
                " stays so, look at the order there",
            )
        return known

    def _lines(self, request: RefundRequest, order: _Order) -> list[dict[str, Any]]:
        """Return the lines that are refunded, each amount divided into net and taxes."""
        given: list[dict[str, Any]] = []
        for asked in request.details.lines:
            names = {asked.sku, asked.sku.removeprefix("line-")}
            line = next(
                (it for it in order.line_items if names & {(it.sku or "").strip(), str(it.id)}),
                None,
            )
            if line is None:
                continue
            entry: dict[str, Any] = {"id": line.id, "quantity": min(asked.quantity, line.quantity)}
            gross = Decimal(0) if asked.amount is None else asked.amount.major
            whole = _decimal(line.total) + _decimal(line.total_tax)
            unit = Decimal(1).scaleb(-request.amount.decimals)
            taxes = [
                {
                    "id": tax.id,
                    "refund_total": str(
                        (gross * _decimal(tax.total) / whole).quantize(unit, ROUND_DOWN)
                        if whole
                        else Decimal(0)
                    ),
                }
                for tax in line.taxes
            ]
            net = gross - sum((Decimal(str(it["refund_total"])) for it in taxes), Decimal(0))
            given.append(entry | {"refund_total": f"{net:f}", "refund_tax": taxes})
        return given

    def _money(self, amount: str, currency: str) -> Money:
        try:
            return _exact(amount, currency)
        except (InvalidOperation, MoneyError):
            raise self._calls.error(
                ErrorKind.UNREADABLE_REFUND, "gave an amount that is not one of its currency"
            ) from None

    def _not_confirmed(self, answer: ShopAnswer) -> Exception:
        """Return the error for a refund that the shop does not confirm.

        WooCommerce pays before it writes the rest of the refund, and may then delete it and answer
        with any error of a plugin's. Only these come before the payment (class
        WC_REST_Order_Refunds_Controller, its permission check and the look at the order).
        """
        code = as_object(answer.data).get("code")
        if code in {"woocommerce_rest_cannot_create", "woocommerce_rest_authentication_error"}:
            return self._calls.refused(f"{code}")
        if code == "woocommerce_rest_invalid_order_id":
            return self._calls.error(ErrorKind.NOT_FOUND, "has no such order", code=f"{code}")
        return self._calls.unknown(str(answer.status))

    def _refused(self, answer: ShopAnswer) -> Exception:
        """Return the error for a status below 500. The shop's own text is not repeated."""
        code = as_object(answer.data).get("code")
        said = code if isinstance(code, str) and code.replace("_", "").isalnum() else None
        kind = ErrorKind.NOT_FOUND if answer.status == 404 else ErrorKind.CONFIG
        what = "has no such order" if answer.status == 404 else "refused the request"
        return self._calls.error(kind, f"{what} ({said or answer.status})", code=said)


def _exact(amount: str, currency: str) -> Money:
    return Money.from_decimal(abs(Decimal(amount)), currency)


def _decimal(value: str) -> Decimal:
    try:
        return Decimal(value or "0")
    except InvalidOperation:
        return Decimal(0)


def _pages(answer: ShopAnswer) -> int:
    pages = answer.headers.get("X-WP-TotalPages", "1")
    return int(pages) if pages.isdecimal() else 1
