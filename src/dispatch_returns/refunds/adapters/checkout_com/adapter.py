"""The adapter: each method puts its questions to Checkout.com and reads the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
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
from dispatch_returns.refunds.adapters import own_refunds
from dispatch_returns.refunds.adapters.checkout_com import events, objects
from dispatch_returns.refunds.adapters.http import (
    JsonObject,
    Meaning,
    ProcessorAnswer,
    ProcessorHTTP,
    checked_server,
)
from dispatch_returns.refunds.adapters.references import reference_of
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

SERVER = "https://api.checkout.com"
_NAME = "Checkout.com"
_KEY = re.compile(r"sk_(sbox_)?[a-z2-7]{26}[a-z2-7*#$=]", re.ASCII)
_LONGEST_REFERENCE = 80
_NO_PAYMENT = f"pay_{'a' * 26}"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_AUTH = Meaning(
    ErrorKind.AUTH,
    "Checkout.com does not accept the secret key: check CHECKOUT_COM_SECRET_KEY, and that"
    " CHECKOUT_COM_BASE_URL is the server of its account (live or sandbox).",
)
_EXCEEDS = Meaning(
    ErrorKind.EXCEEDS_REMAINING,
    "The amount is more than what can still be refunded of the payment: look at its earlier"
    " refunds in Checkout.com's dashboard, and correct the amount.",
)
_BY_STATUS: Mapping[int, Meaning] = {
    401: _AUTH,
    403: Meaning(
        ErrorKind.NOT_REFUNDABLE,
        "Checkout.com does not allow this: look the payment up in Checkout.com's dashboard, and"
        " check that the secret key may refund payments.",
    ),
    404: Meaning(
        ErrorKind.NOT_FOUND,
        "Checkout.com knows no such payment: check that its id starts with pay_, and that"
        " CHECKOUT_COM_SECRET_KEY is of the account that took it.",
    ),
    409: Meaning(
        ErrorKind.IN_PROGRESS, "Checkout.com is working on this very refund; ask again later."
    ),
    422: Meaning(
        ErrorKind.CONFIG,
        "Checkout.com refuses the request as it stands: look the payment up in Checkout.com's"
        " dashboard, and report this with its id.",
    ),
    429: Meaning(
        ErrorKind.RATE_LIMITED,
        "Checkout.com takes no more requests at this moment; ask again later.",
    ),
}


class CheckoutComOptions(PluginOptions):
    """The options of `CheckoutComAdapter`."""

    secret_key: SecretStr = Field(
        description="a secret key (sk_...): Checkout.com's dashboard, Developers, Keys"
    )
    webhook_secret: Secrets = Field(
        default=(),
        description="the signature key of the webhook in Checkout.com's dashboard; two, separated"
        " by a comma, while one is changed",
    )
    base_url: str = Field(
        default=SERVER,
        description="your account's own server (`https://PREFIX.api.checkout.com`, or"
        " `https://PREFIX.api.sandbox.checkout.com` for the sandbox), or a test double",
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class CheckoutComAdapter:
    """A `RefundAdapter` for Checkout.com's payments, over httpx.

    ``secret_key``: of the account that takes the payments. ``webhook_secrets``: the signature keys
    of its webhook, several while one is changed. ``base_url``: the account's server. ``timeout``:
    seconds for each step of a call. ``http_client``: your own; the adapter does not close it.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "checkout_com"
    options_model = CheckoutComOptions
    capabilities = Capabilities(
        asynchronous=True,
        # 24 hours, less an hour.
        key_lifetime=timedelta(hours=23),
        lookup=True,
        lookup_by_id=True,
        # A 5xx leaves nothing under the key, so a look-up that comes too early would pay twice.
        lookup_after=timedelta(minutes=2),
        currency_rule=objects.checkout_com_rule,
        unverified=frozenset(
            {"longest_key", "lookup", "lookup_after", "refund_within", "most_refunds"}
        ),
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        secret_key: str,
        *,
        webhook_secrets: str | Sequence[str] = (),
        base_url: str = SERVER,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not _KEY.fullmatch(secret_key):
            raise InvalidArgumentError(
                "secret_key",
                "not a secret key of Checkout.com (sk_... or sk_sbox_...): copy it again. A key"
                " with four hyphens is of an older kind, which this adapter does not use",
            )
        self._secrets = [webhook_secrets] if isinstance(webhook_secrets, str) else webhook_secrets
        if not all(self._secrets):
            raise InvalidArgumentError("webhook_secrets", "a secret is empty")
        loopback = urlsplit(base_url).hostname in _LOOPBACK
        self._base_url = checked_server(base_url, plain_http=loopback)
        self._key = secret_key
        self._http = ProcessorHTTP(_NAME, self._base_url, timeout=timeout, http_client=http_client)

    @classmethod
    def from_options(cls, options: CheckoutComOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.secret_key.get_secret_value(),
            webhook_secrets=[it.get_secret_value() for it in options.webhook_secret],
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"CheckoutComAdapter(base_url={self._base_url!r})"

    def recognizes(self, payment_id: str) -> bool:
        """Whether this is the form of Checkout.com's payment ids."""
        return objects.PAYMENT_ID.fullmatch(payment_id) is not None

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the payment as Checkout.com describes it. Raises `AdapterError`."""
        return self._payment(ref).as_payment()

    def refund(self, request: RefundRequest) -> RefundResult:
        """Look for the refund, and make it if it is not there.

        Checkout.com keeps only its 2xx answers under a key, and the request names no currency: so
        the payment and its refunds are read first. Raises `AdapterError`.
        """
        if len(request.idempotency_key) > self.capabilities.longest_key:
            raise UnsupportedFeatureError("this adapter's keys have at most 255 characters")
        if not request.amount.minor:
            raise UnsupportedFeatureError("Checkout.com refunds at least one minor unit")
        payment = self._payment(request.payment)
        made = own_refunds.find_own(self._refunds(payment), request, _NAME)
        if (again := own_refunds.repeated(made, request, _NAME)) is not None:
            return again.result
        charged = payment.charged
        left = Money(charged.minor - payment.refunded.minor, charged.currency, charged.decimals)
        # The request names no currency, so Checkout.com can't see that it is another.
        own_refunds.check_left(request, left, _NAME)
        reference = reference_of(request, _LONGEST_REFERENCE)
        answer = self._call(
            "POST",
            f"/payments/{payment.id}/refunds",
            headers={"cko-idempotency-key": request.idempotency_key},
            body={"amount": request.amount.minor, "reference": reference},
        )
        return self._understood(lambda: objects.accepted(answer.data, reference, request.amount))

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up by our reference, among all actions of the payment.

        Raises `AdapterError`.
        """
        payment = self._payment(request.payment)
        found = own_refunds.find_own(self._refunds(payment), request, _NAME)
        return None if found is None else found.result

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a signed event. Raises `SignatureError` and `EventError`."""
        events.verify(request, self._secrets)
        return (events.read_head(request.body),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Read the events in `webhook_events`; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def check(self) -> str:
        """Ask for a payment that there is not, as only a good key is told; return that it is one.

        ``dispatch-returns doctor`` uses it. Raises `AdapterError`.
        """
        try:
            self._call("GET", f"/payments/{_NO_PAYMENT}")
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        said = "lets the key in"
        if not self._secrets:
            said += ". CHECKOUT_COM_WEBHOOK_SECRET is not set, so its events are refused"
        return said

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _payment(self, ref: PaymentRef) -> objects.PaymentState:
        if ref.kind != "reference" or ref.account or ref.reverse_transfer:
            raise UnsupportedFeatureError(
                "Checkout.com refunds payments of its own account, and none of Stripe's"
            )
        if not objects.PAYMENT_ID.fullmatch(ref.id):
            raise AdapterError(
                ErrorKind.NOT_FOUND,
                "The payment's id is not one of Checkout.com's: they start with pay_.",
            )
        answer = self._call("GET", f"/payments/{ref.id}")
        return self._understood(lambda: objects.payment_of(answer.data))

    def _refunds(self, payment: objects.PaymentState) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment."""
        answer = self._call("GET", f"/payments/{payment.id}/actions")
        return self._understood(lambda: objects.listed_refunds(answer.items, payment))

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> ProcessorAnswer:
        """Make one call; return the answer if it is 2xx. Raises `AdapterError`."""
        sent = {"authorization": f"Bearer {self._key}", **(headers or {})}
        answer = self._http.call(method, path, headers=sent, json_body=body)
        if answer.ok:
            return answer
        request_id = answer.headers.get("cko-request-id")
        meaning = _BY_STATUS.get(answer.status)
        # A proxy's own page is not Checkout.com's word, but for those that mean the same anywhere.
        theirs = answer.data or request_id or answer.status in {401, 429}
        if meaning is None or not theirs:
            raise self._http.unknown(f"HTTP {answer.status}", request_id)
        codes = answer.data.get("error_codes")
        code = cast("list[object]", codes)[0] if isinstance(codes, list) and codes else None
        if code == "refund_amount_exceeds_balance":
            meaning = _EXCEEDS
        raise self._http.refused(
            meaning, answer, code=code if isinstance(code, str) else None, request_id=request_id
        )

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except objects.MISFITS:
            raise self._http.unknown("not as Checkout.com documents it") from None
