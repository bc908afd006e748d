"""The adapter: each method puts its question to Square and reads the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
    ProcessorHTTP,
    checked_server,
    mapping,
)
from dispatch_returns.refunds.adapters.own_refunds import find_own
from dispatch_returns.refunds.adapters.square import events, objects
from dispatch_returns.refunds.adapters.square.rejections import rejection
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

LIVE = "https://connect.squareup.com"
SANDBOX = "https://connect.squareupsandbox.com"
_VERSION = "2025-08-20"
_TOKEN = re.compile(r"[!-~]{10,1024}", re.ASCII)
_PAGE = "100"
_BEGINNING = datetime(2009, 1, 1, tzinfo=UTC)
"""Square is no older. Without a beginning it lists one year."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class SquareOptions(PluginOptions):
    """The options of `SquareAdapter`."""

    access_token: SecretStr = Field(
        description="the access token: Square's Developer Console, your application, Credentials"
    )
    signature_key: Secrets = Field(
        default=(),
        description="the signature key of the webhook subscription; two, separated by a comma,"
        " while one is rotated",
    )
    webhook_url: str = Field(
        default="",
        description="the notification URL, letter for letter as in Square: the signature covers it",
    )
    base_url: str = Field(
        default=LIVE, description=f"`{SANDBOX}` for Square's Sandbox, or a test double"
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class SquareAdapter:
    """A `RefundAdapter` for Square payments, over httpx.

    ``signature_keys`` (several during rotation) and ``webhook_url`` belong to the webhook
    subscription: Square signs the notification URL together with the body. ``base_url``: another
    server, such as Square's Sandbox. ``timeout``: seconds for each step of a call.
    ``http_client``: your own; the adapter does not close it.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "square"
    options_model = SquareOptions
    capabilities = Capabilities(
        asynchronous=True,
        # Square does not say how long it remembers a key, so the look-up comes first (D-240).
        key_lifetime=timedelta(hours=23),
        longest_key=objects.LONGEST_KEY,
        lookup=True,
        lookup_after=timedelta(minutes=2),
        refund_within=timedelta(days=365),
        most_refunds=20,
        currency_rule=objects.square_rule,
        unverified=frozenset({"key_lifetime", "lookup", "lookup_after"}),
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        access_token: str,
        *,
        signature_keys: str | Sequence[str] = (),
        webhook_url: str = "",
        base_url: str = LIVE,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not _TOKEN.fullmatch(access_token):
            raise InvalidArgumentError("access_token", "empty, or not complete: copy it again")
        self._keys = [signature_keys] if isinstance(signature_keys, str) else signature_keys
        if not all(self._keys):
            raise InvalidArgumentError("signature_keys", "a key is empty")
        if self._keys and not urlsplit(webhook_url).hostname:
            raise InvalidArgumentError(
                "webhook_url", "Square signs the notification URL: copy it from the subscription"
            )
        loopback = urlsplit(base_url).hostname in _LOOPBACK
        self._server = checked_server(base_url, plain_http=loopback)
        self._webhook_url = webhook_url
        self._token = access_token
        self._http = ProcessorHTTP("Square", self._server, timeout=timeout, http_client=http_client)

    @classmethod
    def from_options(cls, options: SquareOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.access_token.get_secret_value(),
            signature_keys=[it.get_secret_value() for it in options.signature_key],
            webhook_url=options.webhook_url,
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"SquareAdapter(mode={self.mode!r}, server={self._server!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the payment as Square describes it. Raises `AdapterError`.

        Square does not say here that it is disputed: it refuses the refund.
        """
        found = self._payment(ref)
        return self._understood(lambda: objects.payment_of(found))

    def refund(self, request: RefundRequest) -> RefundResult:
        """Refund the payment under the request's key, with our reference as the reason.

        Raises `AdapterError`, `UnsupportedFeatureError`.
        """
        _checked_id(request.payment)
        data = self._call("POST", "/v2/refunds", body=objects.body_of(request))
        return self._understood(lambda: objects.refund_result(data["refund"]))

    def find(self, request: RefundRequest, processor_id: str | None = None) -> RefundResult | None:
        """Look the refund up among all that the payment names, and by its own id if it is known.

        Raises `AdapterError`.
        """
        refunds = self._refunds(request.payment, () if processor_id is None else (processor_id,))
        found = find_own(refunds, request, "Square")
        return None if found is None else found.result

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of a payment: at most 20, each of them a call."""
        return self._refunds(ref)

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the account's refunds, one page of 100 at a time. New ones come seconds late."""
        params = {"begin_time": _time(since or _BEGINNING), "limit": _PAGE, "sort_order": "ASC"}
        while True:
            page = self._call("GET", "/v2/refunds", params=params)
            listed = page.get("refunds", [])
            if not isinstance(listed, list):
                raise self._http.unknown("no list of refunds")
            for refund in map(objects.listed_refund, cast("list[object]", listed)):
                if isinstance(refund, UnreadableRefund) or (
                    (since is None or refund.created_at >= since)
                    and (until is None or refund.created_at < until)
                ):
                    yield refund
                elif until is not None and refund.created_at >= until:
                    return
            cursor = page.get("cursor")
            if not cursor:
                return
            if not isinstance(cursor, str) or cursor == params.get("cursor"):
                raise self._http.unknown("its pages repeat")
            params["cursor"] = cursor

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of an event. Raises `SignatureError`, `EventError`."""
        events.verify(request, self._webhook_url, self._keys)
        return (events.read_head(request.body),)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return what the events in `webhook_events` say about refunds; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def check(self) -> str:
        """List one refund, as the token must be allowed to; return that it may, and in which mode.

        ``dispatch-returns doctor`` uses it. Raises `AdapterError`.
        """
        self._call("GET", "/v2/refunds", params={"limit": "1"})
        said = f"lets the token in ({self.mode} mode)"
        if not self._keys:
            said += ". SQUARE_SIGNATURE_KEY is not set, so no webhook is accepted"
        return said

    @property
    def mode(self) -> str:
        """``live`` in production; ``sandbox`` in Square's Sandbox or at any other server."""
        return "live" if self._server == LIVE else "sandbox"

    def account(self) -> str | None:
        """Return the merchant's id, None where the token may not read it."""
        try:
            data = self._call("GET", "/v2/merchants/me")
        except AdapterError as error:
            if error.kind in {ErrorKind.AUTH, ErrorKind.NOT_FOUND}:
                return None
            raise
        found = mapping(data.get("merchant")).get("id")
        return found if isinstance(found, str) and objects.ID.fullmatch(found) else None

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _payment(self, ref: PaymentRef) -> JsonObject:
        found = mapping(self._call("GET", f"/v2/payments/{_checked_id(ref)}").get("payment"))
        if not found:
            raise self._http.unknown("no payment")
        return found

    def _refunds(
        self, ref: PaymentRef, known: Sequence[str] = ()
    ) -> list[KnownRefund | UnreadableRefund]:
        """Return the refunds that the payment names, and those with the `known` ids."""
        named = self._payment(ref).get("refund_ids", [])
        if not isinstance(named, list):
            raise self._http.unknown("no list of refunds")
        ids = cast("list[object]", named)
        found: list[KnownRefund | UnreadableRefund] = []
        for refund_id in [*ids, *(it for it in known if it not in ids)]:
            if not isinstance(refund_id, str) or not objects.ID.fullmatch(refund_id):
                found.append(UnreadableRefund(None, "its id is not as Square describes it"))
                continue
            try:
                data = self._call("GET", f"/v2/refunds/{refund_id}")
            except AdapterError as error:
                if error.kind is not ErrorKind.NOT_FOUND:
                    raise
                # It exists, so it is only not shown yet: never as if there were none.
                raise self._http.unknown("a refund of the payment is not shown") from None
            found.append(objects.listed_refund(data.get("refund")))
        return found

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> JsonObject:
        """Make one call; return the object of an answer that is 2xx. Raises `AdapterError`."""
        headers = {"authorization": f"Bearer {self._token}", "square-version": _VERSION}
        answer = self._http.call(method, path, headers=headers, params=params, json_body=body)
        if not answer.ok:
            raise rejection(self._http, answer)
        return answer.data

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except objects.MISFITS:
            raise self._http.unknown("not as Square describes it") from None


def _checked_id(ref: PaymentRef) -> str:
    """Return the payment's id, which goes into a path."""
    if ref.kind != "reference":
        raise UnsupportedFeatureError(
            "Square refunds a payment of its own, and not one of Stripe's"
        )
    if not objects.ID.fullmatch(ref.id):
        raise AdapterError(ErrorKind.NOT_FOUND, "The payment's id is not one of Square's.")
    return ref.id


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
