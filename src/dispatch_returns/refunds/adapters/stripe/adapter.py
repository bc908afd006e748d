"""The adapter: each method puts one question to Stripe and reads the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    MissingExtraError,
    UnsupportedFeatureError,
)
from dispatch_returns.plugins.options import PluginOptions, Secrets
from dispatch_returns.refunds.adapter import (
    EventHead,
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundUpdate,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.stripe import events, objects
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

    from dispatch_returns.refunds.adapters.stripe.wire import StripeAnswer, Wire

T = TypeVar("T")

_KEY_LIFETIME = timedelta(hours=24)
_PAGE = 100
_NOT_SHOWN = frozenset({ErrorKind.AUTH, ErrorKind.CONFIG, ErrorKind.NOT_FOUND})
_LONGEST_METADATA = 500
_PAYMENT_IDS = ("pi_", "ch_", "py_", "cs_", "in_")
_PRINTABLE = re.compile(r"[!-~]{1,255}")
_ID = re.compile(r"[A-Za-z0-9_]{1,255}")


class StripeOptions(PluginOptions):
    """The options of `StripeAdapter`."""

    api_key: SecretStr = Field(
        description="a secret or restricted key (`sk_...`, `rk_...`): Developers, API keys"
    )
    base_url: str | None = Field(default=None, description="another server, without `/v1`")
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")
    webhook_secrets: Secrets = Field(
        default=(),
        validation_alias="webhook_secret",
        description="the signing secret of the webhook (`whsec_...`); several, separated by"
        " commas, while it is rotated",
    )


class StripeAdapter:
    """A `RefundAdapter` for PaymentIntents and Charges, on Stripe's own SDK.

    ``timeout``: seconds for each step of a call (connecting takes at most 10 of them). A refund's
    lease must outlast three calls, so the default is far below the SDK's 80. ``webhook_secrets``:
    the secrets that Stripe signs its events with; several during rotation. ``http_client``: your
    own, with your proxies and certificates; the adapter does not close it. ``base_url``: another
    server, without ``/v1``.

    The SDK does not retry here, because the refund service knows more, and sends no telemetry. That
    switch applies to the whole process (``stripe.enable_telemetry``). The SDK's logger, ``stripe``,
    shows Stripe's messages at INFO and request bodies at DEBUG, with a customer's email in them:
    leave it at WARNING.

    Raises `MissingExtraError` without the SDK, `InvalidArgumentError` for a bad argument.
    """

    name = "stripe"
    options_model = StripeOptions
    capabilities = Capabilities(key_lifetime=_KEY_LIFETIME, lookup=True, asynchronous=True)
    webhook_events = events.NEEDED

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        timeout: float = 30.0,
        webhook_secrets: str | Sequence[str] = (),
        http_client: httpx.Client | None = None,
        clock: Clock = utc_now,
    ) -> None:
        if not _PRINTABLE.fullmatch(api_key):
            raise InvalidArgumentError("api_key", "empty, or not a key: copy it from Stripe again")
        if api_key.startswith("pk_"):
            raise InvalidArgumentError(
                "api_key",
                "this is the publishable key; refunds need the secret or a restricted one",
            )
        if base_url is not None:
            base_url = _checked_url(base_url, api_key)
        if not timeout > 0:
            raise InvalidArgumentError("timeout", "must be more than 0 seconds")
        self._secrets = [webhook_secrets] if isinstance(webhook_secrets, str) else webhook_secrets
        if not all(self._secrets):
            raise InvalidArgumentError("webhook_secrets", "a secret is empty")
        self._mode = _mode(api_key)
        self._at_stripe = base_url is None
        self._shown = f"mode={self._mode!r}, base_url={base_url!r}"
        self._clock = clock
        self._wire = _new_wire(api_key, base_url, timeout, http_client)

    @classmethod
    def from_options(cls, options: StripeOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.api_key.get_secret_value(),
            base_url=options.base_url,
            timeout=options.timeout,
            webhook_secrets=[secret.get_secret_value() for secret in options.webhook_secrets],
        )

    def __repr__(self) -> str:
        return f"StripeAdapter({self._shown})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the payment as Stripe describes it, in one call; in two where it was disputed.

        A Checkout Session or an invoice takes one more call, to find its payment. Raises
        `AdapterError`, also with not_refundable where nothing was captured.
        """
        if ref.kind in {"checkout_session", "invoice"}:
            paid_with = self._intent_of(ref)
            payment = self.payment(paid_with)
            return replace(payment, ref=paid_with, names=payment.names | {ref.id})
        kind = _stripe_kind(ref)
        path = f"/v1/{kind}s/{_checked_id(ref)}"
        if kind == "charge":
            answer = self._wire.get(path, ref.account)
            found = _understood(lambda: objects.payment_of_charge(answer.data), answer)
        else:
            answer = self._wire.get(path, ref.account, expand=["latest_charge"])
            found = _understood(lambda: objects.payment_of_intent(answer.data), answer)
        return replace(found, disputed=False) if found.disputed and self._is_over(ref) else found

    def refund(self, request: RefundRequest) -> RefundResult:
        """Create the refund under the request's key, with our ids in its metadata."""
        params = _params(request)
        answer = self._wire.post(
            "/v1/refunds", request.payment.account, request.idempotency_key, **params
        )
        return _understood(
            lambda: objects.refund_result(answer.data, request_id=answer.request_id), answer
        )

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up among all refunds of its payment (a consistent list, not a search).

        Raises `AdapterError` (key_conflict) when several of ours move money.
        """
        return _understood(lambda: self._find(request))

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a Stripe event.

        Raises `SignatureError` for what Stripe did not sign, `ReplayError` for what it did not sign
        in the last 5 minutes, and `EventError` for what cannot be understood.
        """
        events.verify(request.body, request.header(events.HEADER), self._secrets, self._clock())
        return (events.read_head(request.body),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Read ``refund.*``, ``charge.refund.updated`` and ``charge.refunded``; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment, newest first, from a consistent list."""
        listed = _understood(lambda: self._refunds(ref))
        return [objects.listed_refund(it, ref.account) for it in listed]

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the account's refunds, newest first, one page of 100 at a time.

        Refunds of connected accounts (direct charges) are not in this list.
        """
        created = {"gte": _second(since), "lt": _second(until)}
        bounds = {name: second for name, second in created.items() if second is not None}
        pages = self._pages(None, {"created": bounds} if bounds else {})
        while (page := _understood(lambda: next(pages, None))) is not None:
            yield from (objects.listed_refund(it, None) for it in page)

    def recognizes(self, payment_id: str) -> bool:
        """Return whether an id is a PaymentIntent's, a Charge's or another of Stripe's payments."""
        return payment_id.startswith(_PAYMENT_IDS)

    def find_payment(self, order_id: str) -> PaymentRef | None:
        """Search for the one PaymentIntent with ``metadata["order_id"]``; None if not exactly one.

        Use it to find a payment, never to check whether it was refunded: search lags behind
        (https://docs.stripe.com/search#data-freshness). Raises `AdapterError`.
        """
        escaped = order_id.replace("\\", "\\\\").replace("'", "\\'")
        query = f"metadata['order_id']:'{escaped}'"
        page = self._wire.get("/v1/payment_intents/search", None, query=query, limit=_PAGE)
        found = _understood(lambda: objects.payments_found(page.data), page)
        return found[0] if len(found) == 1 and not page.data.get("has_more") else None

    def intent(self, intent_id: str) -> Mapping[str, Any] | None:
        """Return a PaymentIntent in Stripe's own form, or None if there is none with that id.

        It is for what a shop stores in the metadata. Raises `AdapterError`.
        """
        path = f"/v1/payment_intents/{_checked_id(PaymentRef('payment_intent', intent_id))}"
        try:
            answer = self._wire.get(path, None, expand=["latest_charge"])
        except AdapterError as error:
            if error.kind is ErrorKind.NOT_FOUND:
                return None
            raise
        return answer.data

    def check(self) -> str:
        """Read one refund, as the key must be allowed to; return that it may, and in which mode.

        ``dispatch-returns doctor`` uses it, so it also says if the key may not read disputes.
        Raises `AdapterError`.
        """
        self._wire.get("/v1/refunds", None, limit=1)
        said = f"lets the key in ({self._mode} mode)"
        try:
            self._wire.get("/v1/disputes", None, limit=1)
        except AdapterError as error:
            if error.kind not in _NOT_SHOWN:
                raise
            said += (
                ". The key may not read disputes, so a payment whose dispute you won waits for"
                " refunds approve: give the key the right to read disputes"
            )
        return said

    @property
    def mode(self) -> str | None:
        """``live`` or ``test``, from the key; ``sandbox`` for a test key at another server."""
        if self._mode != "live" and not self._at_stripe:
            return "sandbox"
        return None if self._mode == "unknown" else self._mode

    def account(self) -> str | None:
        """Return the key's account, or None for a restricted key that may not read it."""
        try:
            answer = self._wire.get("/v1/account", None)
        except AdapterError as error:
            if error.kind in {ErrorKind.AUTH, ErrorKind.NOT_FOUND}:
                return None
            raise
        return str(answer.data["id"]) if "id" in answer.data else None

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._wire.close()

    def _find(self, request: RefundRequest) -> RefundResult | None:
        ours = objects.our_refund(self._refunds(request.payment), request)
        return None if ours is None else objects.refund_result(ours)

    def _intent_of(self, ref: PaymentRef) -> PaymentRef:
        """Return the one PaymentIntent that a Checkout Session or an invoice was paid with.

        Raises `AdapterError`. Source: https://docs.stripe.com/api/invoice-payment.
        """
        if ref.kind == "checkout_session":
            answer = self._wire.get(f"/v1/checkout/sessions/{_checked_id(ref)}", ref.account)
            kind, found = _understood(lambda: objects.payment_of_session(answer.data), answer)
            paid_with = replace(ref, kind=kind, id=found)
            return paid_with if kind == "payment_intent" else self._intent_of(paid_with)
        which = {"invoice": _checked_id(ref), "status": "paid", "limit": 2}
        page = self._wire.get("/v1/invoice_payments", ref.account, **which)
        found = _understood(lambda: objects.payment_of_invoice(page.data), page)
        return replace(ref, kind="payment_intent", id=found)

    def _is_over(self, ref: PaymentRef) -> bool:
        """Whether every dispute of a payment was won, or was an inquiry that was closed.

        A charge stays ``disputed`` forever. If the key may not read disputes, the answer is no.
        """
        which = {_stripe_kind(ref): _checked_id(ref), "limit": _PAGE}
        try:
            page = self._wire.get("/v1/disputes", ref.account, **which)
        except AdapterError as error:
            if error.kind in _NOT_SHOWN:
                return False
            raise
        return _understood(lambda: objects.disputes_are_over(page.data), page)

    def _refunds(self, ref: PaymentRef) -> list[object]:
        """Return all refunds of a payment, newest first."""
        pages = self._pages(ref.account, {_stripe_kind(ref): _checked_id(ref)})
        return [refund for page in pages for refund in page]

    def _pages(self, account: str | None, which: Mapping[str, Any]) -> Iterator[list[object]]:
        """Yield a list of refunds page by page, newest first."""
        params: dict[str, Any] = {**which, "limit": _PAGE}
        while True:
            page = self._wire.get("/v1/refunds", account, **params).data
            yield list(page["data"])
            if not page["has_more"]:
                return
            last = objects.last_id(page["data"])
            if last == params.get("starting_after"):
                raise ValueError("the pages repeat")
            params["starting_after"] = last


def _second(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _understood(read: Callable[[], T], answer: StripeAnswer | None = None) -> T:
    """Return what `read` makes of Stripe's answer. Raises `AdapterError` where it can't be read."""
    try:
        return read()
    except objects.MISFITS:
        raise AdapterError(
            ErrorKind.UNKNOWN_OUTCOME,
            "Stripe's answer is not as Stripe documents it: it may have been carried out.",
            request_id=answer.request_id if answer else None,
        ) from None


def _params(request: RefundRequest) -> dict[str, Any]:
    """Return the form data of ``POST /v1/refunds``. Raises `UnsupportedFeatureError`."""
    ref = request.payment
    if not request.amount.minor:
        raise UnsupportedFeatureError("Stripe refunds at least one minor unit")
    if not _PRINTABLE.fullmatch(request.idempotency_key):
        raise UnsupportedFeatureError("Stripe's keys are 1 to 255 printable characters")
    metadata = {
        objects.REFUND_ID: request.refund_id,
        objects.IDEMPOTENCY_KEY: request.idempotency_key,
        objects.WORKSPACE_ID: request.workspace_id,
        objects.TICKET_ID: request.ticket_id,
    }
    if request.order_id:
        metadata["order_id"] = request.order_id
    for name, value in metadata.items():
        if len(value) > _LONGEST_METADATA:
            raise UnsupportedFeatureError(
                f"{name}: Stripe's metadata holds at most {_LONGEST_METADATA} characters"
            )
    params: dict[str, Any] = {
        _stripe_kind(ref): _checked_id(ref),
        "amount": request.amount.minor,
        # Never "fraudulent": Stripe then blocks the customer's card and email.
        "reason": "requested_by_customer",
        "metadata": metadata,
    }
    if ref.reverse_transfer:
        params["reverse_transfer"] = True
    if ref.refund_application_fee:
        params["refund_application_fee"] = True
    if request.instructions_email:
        params["instructions_email"] = request.instructions_email
    return params


def _stripe_kind(ref: PaymentRef) -> str:
    if ref.kind not in {"payment_intent", "charge"}:
        raise UnsupportedFeatureError(
            "Stripe refunds a PaymentIntent (pi_...) or a charge (ch_...), not another reference"
        )
    return ref.kind


def _checked_id(ref: PaymentRef) -> str:
    """Return the payment's id. It goes into a path, and an empty one would list all payments."""
    if not _ID.fullmatch(ref.id) or (ref.account is not None and not _ID.fullmatch(ref.account)):
        raise AdapterError(
            ErrorKind.NOT_FOUND,
            "The payment's id is not one of Stripe's: letters, digits and underscores.",
        )
    return ref.id


def _new_wire(
    api_key: str, base_url: str | None, timeout: float, http_client: httpx.Client | None
) -> Wire:
    try:
        from dispatch_returns.refunds.adapters.stripe.wire import Wire
    except ModuleNotFoundError as error:
        if error.name != "stripe":
            raise
        raise MissingExtraError("stripe", "StripeAdapter") from None
    return Wire(api_key, base_url, timeout, http_client)


def _mode(api_key: str) -> str:
    return next((mode for mode in ("live", "test") if f"_{mode}_" in api_key), "unknown")


def _checked_url(base_url: str, api_key: str) -> str:
    """Return the URL in the form that the SDK expects. Raises `InvalidArgumentError`."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InvalidArgumentError("base_url", "not a plain http or https address")
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise InvalidArgumentError("base_url", "only the server: /v1 is added to it")
    if parts.scheme == "http" and _mode(api_key) == "live":
        raise InvalidArgumentError("base_url", "a live key goes over https only")
    return base_url.rstrip("/")
