"""The adapter: each method puts one question to Mollie and reads the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

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
    KnownRefund,
    Payment,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundUpdate,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.http import (
    JsonObject,
    Meaning,
    ProcessorAnswer,
    ProcessorHTTP,
    checked_server,
)
from dispatch_returns.refunds.adapters.mollie import events, objects
from dispatch_returns.refunds.adapters.own_refunds import find_own
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

SERVER = "https://api.mollie.com"
_KEY = re.compile(r"(live|test)_[A-Za-z0-9]{20,100}")
_PAGE = "250"
_MOST_PAGES = 4000
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Mollie refuses the request as it stands: look the payment up in Mollie's dashboard, and"
    " report this with its id.",
)
_AUTH = Meaning(
    ErrorKind.AUTH,
    "Mollie does not accept the API key for this: check MOLLIE_API_KEY, and that it is of the"
    " profile and mode (live or test) that took the payment.",
)
_EXCEEDS = Meaning(
    ErrorKind.EXCEEDS_REMAINING,
    "The amount is more than what can still be refunded of the payment: look at its earlier"
    " refunds in Mollie's dashboard, and correct the amount.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Mollie does not refund this payment: look at it in Mollie's dashboard, and pay the customer"
    " another way.",
)
_BY_STATUS: Mapping[int, Meaning] = {
    400: Meaning(
        ErrorKind.KEY_CONFLICT,
        "Mollie does not understand the request, or has another one under this idempotency key:"
        " look at the payment's refunds in Mollie's dashboard.",
    ),
    401: _AUTH,
    403: _AUTH,
    404: Meaning(
        ErrorKind.NOT_FOUND,
        "Mollie knows no such payment: check that its id starts with tr_, and that MOLLIE_API_KEY"
        " is of the profile and mode that took it.",
    ),
    409: Meaning(
        ErrorKind.IN_PROGRESS,
        "Mollie is working on this very refund, or has just made an equal one; ask again later.",
    ),
    410: _NOT_REFUNDABLE,
    422: _NOT_REFUNDABLE,
    429: Meaning(
        ErrorKind.RATE_LIMITED, "Mollie takes no more requests at this moment; ask again later."
    ),
}
_BY_FIELD: Mapping[str, Meaning] = {
    "amount": _EXCEEDS,
    "amount.value": _EXCEEDS,
    "amount.currency": _CONFIG,
    "description": _CONFIG,
    "metadata": _CONFIG,
}
"""What a 422 means, by the field that it names. One that names no field is about the payment."""


class MollieOptions(PluginOptions):
    """The options of `MollieAdapter`."""

    api_key: SecretStr = Field(
        description="the API key of the profile: Mollie's dashboard, Developers, API keys"
    )
    webhook_secret: Secrets = Field(
        default=(),
        description="the signing secret of the webhook in Mollie's dashboard; two, separated by a"
        " comma, while one is rotated",
    )
    base_url: str = Field(default=SERVER, description="another server, such as a test double")
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class MollieAdapter:
    """A `RefundAdapter` for payments (API v2), over httpx.

    ``api_key``: of the profile that takes the payments. ``webhook_secrets``: the signing secrets of
    its webhook, several during rotation. ``base_url``: another server. ``timeout``: seconds for
    each step of a call. ``http_client``: your own; the adapter does not close it.

    Unsigned deliveries, which Mollie sends to the payment's own ``webhookUrl``, prove nothing: they
    only make the service ask Mollie about a payment that the ledger has.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "mollie"
    options_model = MollieOptions
    capabilities = Capabilities(
        asynchronous=True,
        # 24 hours, less an hour.
        key_lifetime=timedelta(hours=23),
        lookup=True,
        currency_rule=objects.mollie_rule,
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        api_key: str,
        *,
        webhook_secrets: str | Sequence[str] = (),
        base_url: str = SERVER,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not _KEY.fullmatch(api_key):
            raise InvalidArgumentError(
                "api_key", "not a Mollie API key (live_... or test_...): copy it again"
            )
        self._secrets = [webhook_secrets] if isinstance(webhook_secrets, str) else webhook_secrets
        if not all(self._secrets):
            raise InvalidArgumentError("webhook_secrets", "a secret is empty")
        loopback = urlsplit(base_url).hostname in _LOOPBACK
        self._base_url = checked_server(base_url, plain_http=loopback)
        self._key = api_key
        self._http = ProcessorHTTP(
            "Mollie", self._base_url, timeout=timeout, http_client=http_client
        )

    @classmethod
    def from_options(cls, options: MollieOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.api_key.get_secret_value(),
            webhook_secrets=[it.get_secret_value() for it in options.webhook_secret],
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"MollieAdapter(mode={self.mode!r}, base_url={self._base_url!r})"

    def recognizes(self, payment_id: str) -> bool:
        """Whether this is the form of Mollie's payment ids."""
        return objects.PAYMENT_ID.fullmatch(payment_id) is not None

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the payment as Mollie describes it. Raises `AdapterError`."""
        answer = self._call("GET", f"/v2/payments/{_checked_id(ref)}")
        return self._understood(lambda: objects.payment_of(answer.data))

    def refund(self, request: RefundRequest) -> RefundResult:
        """Refund the payment under the request's key, with our ids in the refund's metadata."""
        payment, body = _checked_id(request.payment), objects.body_of(request)
        if len(request.idempotency_key) > self.capabilities.longest_key:
            raise UnsupportedFeatureError("this adapter's keys have at most 255 characters")
        answer = self._call(
            "POST",
            f"/v2/payments/{payment}/refunds",
            headers={"idempotency-key": request.idempotency_key},
            body=body,
        )
        return self._understood(lambda: objects.refund_result(answer.data))

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up by its metadata, among all refunds of the payment.

        Raises `AdapterError`.
        """
        found = find_own(self.refunds_of(request.payment), request, "Mollie")
        return None if found is None else found.result

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment, newest first."""
        return list(self._pages(f"/v2/payments/{_checked_id(ref)}/refunds"))

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the profile's refunds, newest first, one page of 250 at a time.

        Mollie lists them by their time, so it stops at the first that is too old.
        """
        for refund in self._pages("/v2/refunds"):
            if isinstance(refund, UnreadableRefund):
                yield refund
            elif since is not None and refund.created_at < since:
                return
            elif until is None or refund.created_at < until:
                yield refund

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of a signed event, or of a hint where the delivery is unsigned.

        Raises `SignatureError` and `EventError`.
        """
        if request.header(events.HEADER) is None:
            payment = events.hinted_payment(request)
            # Only the id is kept: what else is in the body is anybody's.
            body = f"id={payment}".encode()
            return (EventHead(payment, events.HINT, body=body, hint_of=payment),)
        events.verify(request, self._secrets)
        return (events.read_head(request.body),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Read the events in `webhook_events` and hints; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def check(self) -> str:
        """Read one refund, as the key must be allowed to; return that it may, and in which mode.

        ``dispatch-returns doctor`` uses it. Raises `AdapterError`.
        """
        self._call("GET", "/v2/refunds", params={"limit": "1"})
        said = f"lets the key in ({self.mode} mode)"
        if not self._secrets:
            said += (
                ". MOLLIE_WEBHOOK_SECRET is not set, so only unsigned deliveries are taken, and"
                " they only make us ask"
            )
        return said

    @property
    def mode(self) -> str:
        """``live`` or ``test``, from the key; ``sandbox`` for a test key at another server."""
        mode = self._key.partition("_")[0]
        return "sandbox" if mode == "test" and self._base_url != SERVER else mode

    def account(self) -> str | None:
        """Return the id of the key's profile, None where the key may not read it."""
        try:
            answer = self._call("GET", "/v2/profiles/me")
        except AdapterError as error:
            if error.kind in {ErrorKind.AUTH, ErrorKind.NOT_FOUND}:
                return None
            raise
        found = answer.data.get("id")
        return found if isinstance(found, str) and found.isprintable() and found else None

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _pages(self, path: str) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield a list of refunds page by page, newest first."""
        params = {"limit": _PAGE}
        for _ in range(_MOST_PAGES):
            page = self._call("GET", path, params=params).data
            listed, after = self._understood(partial(_read_page, page))
            yield from map(objects.listed_refund, listed)
            if after is None:
                return
            if after == params.get("from"):
                break
            params["from"] = after
        raise self._http.unknown("its pages repeat")

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> ProcessorAnswer:
        """Make one call; return the answer if it is 2xx. Raises `AdapterError`."""
        sent = {"authorization": f"Bearer {self._key}", **(headers or {})}
        answer = self._http.call(method, path, headers=sent, params=params, json_body=body)
        if answer.ok:
            return answer
        meaning = _BY_STATUS.get(answer.status)
        # A proxy's own answer is not Mollie's word, JSON or not: the request may have gone through.
        is_mollies = answer.data.get("status") == answer.status and "title" in answer.data
        if meaning is None or not (is_mollies or answer.status == 429):
            raise self._http.unknown(f"HTTP {answer.status}")
        field = answer.data.get("field")
        if answer.status == 422 and isinstance(field, str):
            meaning = _BY_FIELD.get(field, meaning)
        raise self._http.refused(meaning, answer, code=field if isinstance(field, str) else None)

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except objects.MISFITS:
            raise self._http.unknown("not as Mollie documents it") from None


def _checked_id(ref: PaymentRef) -> str:
    """Return the payment's id, which goes into a path."""
    if ref.kind != "reference":
        raise UnsupportedFeatureError(
            "Mollie refunds a payment of its own, and not one of Stripe's"
        )
    if not objects.PAYMENT_ID.fullmatch(ref.id):
        raise AdapterError(
            ErrorKind.NOT_FOUND, "The payment's id is not one of Mollie's: they start with tr_."
        )
    return ref.id


def _read_page(page: JsonObject) -> tuple[list[object], str | None]:
    """Return what a page lists, and where the next one begins, None on the last."""
    listed: object = page["_embedded"]["refunds"]
    if not isinstance(listed, list):
        raise TypeError("not a list")
    following = page["_links"].get("next")
    after = None if following is None else parse_qs(urlsplit(str(following["href"])).query)
    return cast("list[object]", listed), None if after is None else after["from"][0]
