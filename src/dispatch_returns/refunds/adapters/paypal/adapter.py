"""The adapter: each method puts one question to PayPal and reads the answer."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    MissingExtraError,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.refunds.adapter import (
    EventHead,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundUpdate,
)
from dispatch_returns.refunds.adapters.http import (
    JsonObject,
    ProcessorAnswer,
    ProcessorHTTP,
    checked_server,
)
from dispatch_returns.refunds.adapters.paypal import events, objects
from dispatch_returns.refunds.adapters.paypal.rejections import rejection
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

    from dispatch_returns.refunds.adapters.paypal.certificates import Certificates

T = TypeVar("T")

LIVE = "https://api-m.paypal.com"
SANDBOX = "https://api-m.sandbox.paypal.com"
_HOSTS = {
    LIVE: ("https://api.paypal.com", LIVE),
    SANDBOX: ("https://api.sandbox.paypal.com", SANDBOX),
}
"""Where the certificates of the webhooks are, by server."""
_PRINTABLE = re.compile(r"[!-~]{1,255}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CAPTURE = re.compile(r"[0-9A-Z]{17}")
"""As PayPal's documentation shows the ids of captures; it promises no form."""
_EARLY = timedelta(minutes=2)
"""A token this close to its end is not used any more."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class PayPalOptions(PluginOptions):
    """The options of `PayPalAdapter`."""

    client_id: str = Field(
        description="the client id of your app: developer.paypal.com, Apps & Credentials"
    )
    client_secret: SecretStr = Field(description="the app's secret, next to its client id")
    webhook_id: str = Field(
        default="", description="the id of the app's webhook, on the app's page once it is added"
    )
    base_url: str = Field(
        default=LIVE, description=f"`{SANDBOX}` for PayPal's sandbox, or a test double"
    )
    webhook_roots: Path | None = Field(
        default=None,
        description="a PEM file of the certificates to trust for webhooks, for a test double",
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class PayPalAdapter:
    """A `RefundAdapter` for captures (Payments v2), over httpx.

    ``client_id``, ``client_secret``: of a REST app of the account that takes the payments.
    ``webhook_id``: the id of the app's webhook; without it no webhook is accepted. ``base_url``:
    another server, such as PayPal's sandbox. ``webhook_roots``: the PEM of certificates to trust
    for webhooks, where that server is a test double. ``timeout``: seconds for each step of a call.
    ``http_client``: your own; the adapter does not close it.

    PayPal has no list of refunds and no look-up by our id: after an unknown outcome the same
    request with the same key is the look-up, because PayPal answers with the refund as it is now.

    Raises `MissingExtraError` without the extra, `InvalidArgumentError` for a bad argument.
    """

    name = "paypal"
    options_model = PayPalOptions
    capabilities = Capabilities(
        asynchronous=True,
        # 45 days, less a day.
        key_lifetime=timedelta(days=44),
        longest_key=108,
        lookup_by_id=True,
        refund_within=timedelta(days=180),
        currency_rule=objects.paypal_rule,
        unverified=frozenset({"longest_key", "refund_within"}),
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        *,
        webhook_id: str = "",
        base_url: str = LIVE,
        webhook_roots: bytes | None = None,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
        clock: Clock = utc_now,
    ) -> None:
        for argument, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not _PRINTABLE.fullmatch(value):
                raise InvalidArgumentError(argument, "empty, or not complete: copy it again")
        if webhook_id and not webhook_id.isalnum():
            raise InvalidArgumentError("webhook_id", "letters and digits: copy it from the app")
        host = urlsplit(base_url).hostname
        self._base_url = checked_server(base_url, plain_http=host in _LOOPBACK)
        self._client = (client_id, client_secret)
        self._webhook_id = webhook_id
        self._clock = clock
        self._http = ProcessorHTTP(
            "PayPal", self._base_url, timeout=timeout, http_client=http_client
        )
        self._certificates = _certificates(self._base_url, self._http, clock, webhook_roots)
        self._lock = threading.Lock()
        self._token: tuple[str, datetime] | None = None

    @classmethod
    def from_options(cls, options: PayPalOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        try:
            file = options.webhook_roots
            roots = None if file is None else file.read_bytes()
        except OSError as error:
            raise InvalidArgumentError(
                "webhook_roots", f"can't be read ({type(error).__name__})"
            ) from None
        return cls(
            options.client_id,
            options.client_secret.get_secret_value(),
            webhook_id=options.webhook_id,
            base_url=options.base_url,
            webhook_roots=roots,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"PayPalAdapter(mode={self.mode!r}, base_url={self._base_url!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the capture as PayPal describes it. Raises `AdapterError`."""
        answer = self._call("GET", f"/v2/payments/captures/{_checked_id(ref)}", ref.account)
        return self._understood(lambda: objects.payment_of(answer.data), answer)

    def refund(self, request: RefundRequest) -> RefundResult:
        """Refund the capture under the request's key, with our ids in its ``custom_id``."""
        capture, body = _checked_id(request.payment), objects.body_of(request)
        if len(request.idempotency_key) > self.capabilities.longest_key:
            raise UnsupportedFeatureError("PayPal's request ids have at most 108 characters")
        answer = self._call(
            "POST",
            f"/v2/payments/captures/{capture}/refund",
            request.payment.account,
            headers={
                "prefer": "return=representation",
                "paypal-request-id": request.idempotency_key,
            },
            body=body,
        )
        return self._result(answer)

    def find(self, request: RefundRequest, processor_id: str | None = None) -> RefundResult | None:
        """Return the refund with PayPal's own id.

        Raises `UnsupportedFeatureError` without one: PayPal finds nothing by ours.
        """
        if processor_id is None or not _ID.fullmatch(processor_id):
            raise UnsupportedFeatureError("PayPal looks a refund up by PayPal's own id only")
        account = request.payment.account
        answer = self._call("GET", f"/v2/payments/refunds/{processor_id}", account)
        return self._result(answer)

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a PayPal event.

        Raises `SignatureError`, `ReplayError`, `EventError`, and `NotVerifiableYetError` while the
        certificate that it is signed with is being fetched.
        """
        if not self._webhook_id:
            raise SignatureError("no PAYPAL_WEBHOOK_ID is configured, so nothing is accepted")
        signed = events.signed_of(request, self._webhook_id)
        self._certificates.verify(signed.certificate, signed.signature, signed.content)
        events.check_time(signed.sent_at, self._clock())
        return (events.read_head(request.body),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Read the events in `webhook_events`; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def recognizes(self, payment_id: str) -> bool:
        """Return whether `payment_id` looks like a capture's: 17 capital letters and digits.

        An id of another form is refunded as well, where its source names this adapter.
        """
        return _CAPTURE.fullmatch(payment_id) is not None

    def check(self) -> str:
        """Ask for a refund that there is none of; return that the app may, and in which mode.

        ``dispatch-returns doctor`` uses it. Raises `AdapterError`.
        """
        try:
            self._call("GET", "/v2/payments/refunds/0", None)
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        said = f"lets the app in ({self.mode} mode)"
        if not self._webhook_id:
            said += (
                ". PAYPAL_WEBHOOK_ID is not set, so no webhook is accepted: a refund that fails"
                " late is noticed only when it is looked up"
            )
        return said

    @property
    def mode(self) -> str:
        """``live`` at PayPal; ``sandbox`` at PayPal's sandbox or any other server."""
        return "live" if self._base_url == LIVE else "sandbox"

    def account(self) -> str | None:
        """Return the merchant id of the app's account, None where the app may not read it."""
        try:
            answer = self._call("GET", "/v1/identity/oauth2/userinfo?schema=paypalv1.1", None)
        except AdapterError as error:
            if error.kind in {ErrorKind.AUTH, ErrorKind.NOT_FOUND, ErrorKind.CONFIG}:
                return None
            raise
        found = answer.data.get("payer_id")
        return found if isinstance(found, str) and _ID.fullmatch(found) else None

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _call(
        self,
        method: str,
        path: str,
        account: str | None,
        *,
        headers: dict[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> ProcessorAnswer:
        """Make one call with a token; return the answer if it is 2xx. Raises `AdapterError`."""
        token = self._bearer()
        sent = {"authorization": f"Bearer {token}", **(headers or {})}
        if account is not None:
            sent["paypal-auth-assertion"] = self._assertion(account)
        answer = self._http.call(method, path, headers=sent, json_body=body)
        if answer.ok:
            return answer
        if answer.status == 401:
            with self._lock:  # it may have been revoked: the next attempt asks for a new one
                if self._token is not None and self._token[0] == token:
                    self._token = None
        raise rejection(self._http, answer)

    def _bearer(self) -> str:
        """Return an access token, from PayPal where none is kept. Nothing has been sent before it.

        Raises `AdapterError`, never with an unknown outcome.
        """
        with self._lock:
            now = self._clock()
            if self._token is not None and now < self._token[1]:
                return self._token[0]
            try:
                answer = self._http.call(
                    "POST",
                    "/v1/oauth2/token",
                    form={"grant_type": "client_credentials"},
                    auth=self._client,
                )
                if not answer.ok:
                    raise rejection(self._http, answer)
            except AdapterError as error:
                if error.kind in {ErrorKind.AUTH, ErrorKind.RATE_LIMITED, ErrorKind.NOT_SENT}:
                    raise
                raise self._http.not_sent(f"no access token: {error.code or error.kind}") from None
            token, lifetime = answer.data.get("access_token"), answer.data.get("expires_in")
            if not isinstance(token, str) or not isinstance(lifetime, int):
                raise self._http.not_sent("no access token in the answer")
            self._token = token, now + timedelta(seconds=lifetime) - _EARLY
            return token

    def _assertion(self, account: str) -> str:
        """Return the header with which a partner acts for a merchant's account."""
        parts = ({"alg": "none"}, {"iss": self._client[0], "payer_id": account})
        encoded = (base64.urlsafe_b64encode(json.dumps(it).encode()) for it in parts)
        return ".".join(it.rstrip(b"=").decode() for it in encoded) + "."

    def _result(self, answer: ProcessorAnswer) -> RefundResult:
        request_id = answer.headers.get("paypal-debug-id")
        found = self._understood(lambda: objects.refund_result(answer.data), answer)
        return replace(found, request_id=request_id)

    def _understood(self, read: Callable[[], T], answer: ProcessorAnswer) -> T:
        try:
            return read()
        except objects.MISFITS:
            request_id = answer.headers.get("paypal-debug-id")
            raise self._http.unknown("not as PayPal documents it", request_id) from None


def _checked_id(ref: PaymentRef) -> str:
    """Return the capture's id, which goes into a path."""
    if ref.kind != "reference":
        raise UnsupportedFeatureError("PayPal refunds a capture, and not a payment of Stripe's")
    if not _ID.fullmatch(ref.id):
        raise AdapterError(
            ErrorKind.NOT_FOUND, "The payment's id is not one of PayPal's: letters and digits."
        )
    return ref.id


def _certificates(
    base_url: str, http: ProcessorHTTP, clock: Clock, roots: bytes | None
) -> Certificates:
    try:
        from dispatch_returns.refunds.adapters.paypal import certificates
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("cryptography"):
            raise
        raise MissingExtraError("paypal", "PayPalAdapter") from None
    if roots is not None and base_url in _HOSTS:
        raise InvalidArgumentError("webhook_roots", "only for a test double, not at PayPal")
    try:
        trusted = None if roots is None else certificates.read_roots(roots)
    except ValueError:
        raise InvalidArgumentError("webhook_roots", "not a PEM file of certificates") from None
    servers = _HOSTS.get(base_url, (base_url,))
    return certificates.Certificates(servers, http.fetch, clock, trusted)
