"""The adapter: one call, which Adyen only acknowledges, and the notifications that say the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.plugins.options import PluginOptions, Secrets
from dispatch_returns.refunds.adapter import (
    EventHead,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    RefundUpdate,
)
from dispatch_returns.refunds.adapters.adyen import events, objects
from dispatch_returns.refunds.adapters.adyen.rejections import rejection
from dispatch_returns.refunds.adapters.http import (
    JsonObject,
    ProcessorAnswer,
    ProcessorHTTP,
    checked_server,
    mapping,
    plain,
)
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

TEST = "https://checkout-test.adyen.com"
_LIVE = "https://{prefix}-checkout-live.adyenpayments.com"
_VERSION = "v72"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LONGEST_KEY = 64
_PRINTABLE = re.compile(r"[!-~]{1,1000}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{1,80}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9-]{1,60}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_PSP_REFERENCE = re.compile(r"[A-Z0-9]{16}", re.ASCII)


class AdyenOptions(PluginOptions):
    """The options of `AdyenAdapter`."""

    api_key: SecretStr = Field(
        description="the API key of an API credential: Customer Area, Developers, API credentials"
    )
    merchant_account: str = Field(
        description="the name of the merchant account, such as `AcmeECOM`"
    )
    hmac_keys: Secrets = Field(
        validation_alias="hmac_key",
        description="the HMAC key of the standard webhook (hexadecimal); several, separated by"
        " commas, while it is rotated",
    )
    live_prefix: str | None = Field(
        default=None,
        description="the prefix of your live endpoint (Developers, API URLs); without it, Adyen's"
        " test environment is used",
    )
    currency: str | None = Field(
        default=None,
        description="the currency of all payments, if there is only one; otherwise the order or"
        " the ticket names it",
    )
    base_url: str | None = Field(default=None, description="another server, without `/v72`")
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class AdyenAdapter:
    """A `RefundAdapter` for payments that Adyen took, over httpx (Checkout API v72).

    A payment is named by its pspReference, that of the authorisation. Adyen can look up neither a
    payment nor a refund, so `payment` knows nothing but ``currency``, and a refund's outcome comes
    by webhook only, matched by our reference. ``hmac_keys`` are hexadecimal. ``live_prefix``: the
    merchant's own part of the live address; without it, the test environment. ``base_url``: another
    server. ``timeout``: seconds for each step of a call. ``http_client``: your own; the adapter
    does not close it.

    ``/reversals`` is not used: it decides by itself between a void and a refund, and only for the
    whole payment. Adyen's own SDK is not used: it verifies only the first item of a notification.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "adyen"
    options_model = AdyenOptions
    capabilities = Capabilities(
        asynchronous=True,
        # "At least 7 days", less a day.
        key_lifetime=timedelta(days=6),
        longest_key=_LONGEST_KEY,
        currency_rule=objects.adyen_rule,
        unverified=frozenset({"refund_within", "most_refunds"}),
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        api_key: str,
        merchant_account: str,
        hmac_keys: Sequence[str],
        *,
        live_prefix: str | None = None,
        currency: str | None = None,
        base_url: str | None = None,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not _PRINTABLE.fullmatch(api_key):
            raise InvalidArgumentError("api_key", "empty, or not a key: copy it from Adyen again")
        if not _ACCOUNT.fullmatch(merchant_account):
            raise InvalidArgumentError(
                "merchant_account", "not the name of a merchant account, such as AcmeECOM"
            )
        if live_prefix is not None and not _PREFIX.fullmatch(live_prefix):
            raise InvalidArgumentError(
                "live_prefix", "only the part before -checkout-live, such as 1797a841fbb37ca7-Acme"
            )
        if currency is not None and not re.fullmatch("[A-Z]{3}", currency):
            raise InvalidArgumentError("currency", "three capital letters, such as EUR")
        self._keys = [_key(it) for it in hmac_keys]
        if not self._keys:
            raise InvalidArgumentError(
                "hmac_keys", "the webhook is how refunds end, so it needs a key: switch HMAC on"
            )
        server = TEST if live_prefix is None else _LIVE.format(prefix=live_prefix)
        # The live address has one more part in its path.
        self._path = f"/{_VERSION}" if live_prefix is None else f"/checkout/{_VERSION}"
        if base_url is not None:
            local = urlsplit(base_url).hostname in _LOOPBACK
            server, self._path = checked_server(base_url, plain_http=local), f"/{_VERSION}"
        self._mode = _mode(live_prefix, base_url)
        self._server = server
        self._account = merchant_account
        self._currency = currency
        self._headers = {"x-api-key": api_key}
        self._http = ProcessorHTTP("Adyen", server, timeout=timeout, http_client=http_client)

    @classmethod
    def from_options(cls, options: AdyenOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.api_key.get_secret_value(),
            options.merchant_account,
            [key.get_secret_value() for key in options.hmac_keys],
            live_prefix=options.live_prefix,
            currency=options.currency,
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"AdyenAdapter(merchant_account={self._account!r}, server={self._server!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return what is known without asking, since Adyen has no look-up: perhaps the currency.

        Raises `AdapterError` (not_found) for what is no pspReference.
        """
        rule = None if self._currency is None else objects.adyen_rule(self._currency)
        psp_reference = _checked_id(ref)
        return Payment(currency=self._currency, rule=rule, names=frozenset({psp_reference}))

    def refund(self, request: RefundRequest) -> RefundResult:
        """Request the refund; Adyen answers that it has received it, and never more.

        Raises `AdapterError`.
        """
        psp_reference = _checked_id(request.payment)
        if len(request.idempotency_key) > _LONGEST_KEY:
            raise UnsupportedFeatureError(f"Adyen's keys have at most {_LONGEST_KEY} characters")
        body = objects.body_of(request, self._account)
        answer = self._call(f"/payments/{psp_reference}/refunds", body, request.idempotency_key)
        processor_id = plain(answer.data.get("pspReference"))
        if processor_id is None or answer.data.get("status") != "received":
            raise self._http.unknown("an undocumented answer")
        _check_echo(body, answer.data, processor_id)
        return RefundResult(
            processor_id=processor_id, status=RefundStatus.PENDING, amount=request.amount
        )

    def find(
        self,
        request: RefundRequest,  # noqa: ARG002 - there is nothing to ask
        processor_id: str | None = None,  # noqa: ARG002
    ) -> RefundResult | None:
        """Raise `UnsupportedFeatureError`: Adyen looks up no refund, and says all by webhook."""
        raise UnsupportedFeatureError("Adyen looks up no refund: the webhook is the only outcome")

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the heads of a notification's items. One item that is not signed refuses them all.

        Raises `SignatureError`, and `EventError` for an authentic item without its ids.
        """
        return events.verified(request.body, self._keys)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Read the events in `webhook_events`; None for others, and for other merchant accounts.

        Raises `EventError` for an item that cannot be understood.
        """
        return events.refund_update(body, self._account)

    def recognizes(self, payment_id: str) -> bool:
        """Whether `payment_id` has the form of a pspReference: 16 capitals and digits."""
        return _PSP_REFERENCE.fullmatch(payment_id) is not None

    def check(self) -> str:
        """Ask which payment methods there are; return that the key may, and where.

        ``dispatch-returns doctor`` uses it. Whether the key may also refund shows with the first
        refund: Adyen has no call that only asks. Raises `AdapterError`.
        """
        self._call("/paymentMethods", {"merchantAccount": self._account})
        return (
            f"lets the key in ({self._mode}); whether it may refund shows with the first refund."
            " Each refund ends by webhook: check that one for standard notifications is active"
        )

    @property
    def mode(self) -> str:
        """``live`` or ``test`` at Adyen; ``sandbox`` at any other server."""
        return self._mode

    def account(self) -> str | None:
        """Return the name of the merchant account."""
        return self._account

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _call(self, path: str, body: JsonObject, key: str | None = None) -> ProcessorAnswer:
        """Make one call; return the answer if it is 2xx. Raises `AdapterError`."""
        headers = self._headers if key is None else {**self._headers, "idempotency-key": key}
        answer = self._http.call("POST", self._path + path, headers=headers, json_body=body)
        if answer.ok:
            return answer
        raise rejection(self._http, answer)


def _check_echo(sent: JsonObject, answered: JsonObject, processor_id: str) -> None:
    """Raise `AdapterError` (key_conflict) where the answer is that of another request.

    What a key does with another body is not documented, so a stored answer may come back.
    """
    reference, amount = answered.get("reference"), mapping(answered.get("amount"))
    same = reference in {None, sent["reference"]} and (not amount or amount == sent["amount"])
    if not same:
        raise AdapterError(
            ErrorKind.KEY_CONFLICT,
            f"Adyen answers with another refund ({processor_id}) under this key: look in the"
            " Customer Area what was refunded.",
        )


def _checked_id(ref: PaymentRef) -> str:
    if ref.kind != "reference":
        raise UnsupportedFeatureError("Adyen refunds its own payments, and this is one of Stripe's")
    if not _ID.fullmatch(ref.id):
        raise AdapterError(
            ErrorKind.NOT_FOUND,
            "Adyen has no such payment: its ids (pspReference) are 16 capitals and digits.",
        )
    return ref.id


def _key(written: str) -> bytes:
    try:
        key = bytes.fromhex(written)
    except ValueError:
        key = b""
    if not key:
        raise InvalidArgumentError(
            "hmac_keys", "not hexadecimal: copy the HMAC key from the webhook's page again"
        )
    return key


def _mode(live_prefix: str | None, base_url: str | None) -> str:
    if base_url is not None:
        return "sandbox"
    return "test" if live_prefix is None else "live"
