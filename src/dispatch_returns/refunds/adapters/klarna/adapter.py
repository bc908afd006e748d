"""The adapter: each method puts its question to Klarna's Order Management and reads the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Self, TypeVar
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, SecretStr

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.refunds.adapter import Payment, PaymentRef, RefundRequest, RefundResult
from dispatch_returns.refunds.adapters.http import (
    JsonObject,
    Meaning,
    ProcessorAnswer,
    ProcessorHTTP,
    checked_server,
)
from dispatch_returns.refunds.adapters.klarna import objects
from dispatch_returns.refunds.adapters.own_refunds import check_left, find_own
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Region = Literal["eu", "na", "oc"]

_NAME = "Klarna"
_HOSTS: Mapping[Region, str] = {"eu": "api", "na": "api-na", "oc": "api-oc"}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_USERNAME = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)
_NO_ORDER = "00000000-0000-0000-0000-000000000000"

_CONFIG = Meaning(
    ErrorKind.CONFIG,
    "Klarna refuses the request as it stands: look the order up in Klarna's Merchant Portal, and"
    " report this with its id.",
)
_AUTH = Meaning(
    ErrorKind.AUTH,
    "Klarna does not accept the credentials for this: check KLARNA_USERNAME and KLARNA_PASSWORD,"
    " and that KLARNA_REGION and KLARNA_TEST are those of the account.",
)
_NOT_REFUNDABLE = Meaning(
    ErrorKind.NOT_REFUNDABLE,
    "Klarna does not refund this order: look at it in Klarna's Merchant Portal, and pay the"
    " customer another way.",
)
_BY_STATUS: Mapping[int, Meaning] = {
    400: _CONFIG,
    401: _AUTH,
    403: _AUTH,
    404: Meaning(
        ErrorKind.NOT_FOUND,
        "Klarna knows no such order: check that it is Klarna's own order id, and that"
        " KLARNA_REGION, KLARNA_TEST and the credentials are of the account that took it.",
    ),
    409: Meaning(ErrorKind.IN_PROGRESS, "Klarna is working on this very order; ask again later."),
    422: _CONFIG,
    429: Meaning(
        ErrorKind.RATE_LIMITED, "Klarna takes no more requests at this moment; ask again later."
    ),
}
_FROM_ANYWHERE = {401, 429}
"""What these mean, they mean without Klarna's error object too: nothing was carried out."""


class KlarnaOptions(PluginOptions):
    """The options of `KlarnaAdapter`."""

    username: str = Field(
        description="the username (UID) of the API credentials: Klarna's Merchant Portal, Settings"
    )
    password: SecretStr = Field(description="the password, which is shown once with the username")
    region: Region = Field(default="eu", description="`eu`, `na` (North America) or `oc` (Oceania)")
    test: bool = Field(default=False, description="whether it is the playground's account")
    base_url: str | None = Field(
        default=None,
        description="another server than the region's, such as a test double",
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class KlarnaAdapter:
    """A `RefundAdapter` for Klarna orders (Order Management API), over httpx.

    A payment is named by Klarna's order id. The adapter looks at the order before each refund, as
    Klarna refuses for every cause with one code, and its answer names no amount.

    ``username``, ``password``: the API credentials. ``region``: ``eu``, ``na`` or ``oc``. ``test``:
    the playground. ``base_url``: another server. ``timeout``: seconds for each step of a call.
    ``http_client``: your own; the adapter does not close it.

    Raises `InvalidArgumentError` for a bad argument.
    """

    name = "klarna"
    options_model = KlarnaOptions
    capabilities = Capabilities(
        # 24 hours, less an hour.
        key_lifetime=timedelta(hours=23),
        longest_key=objects.LONGEST_KEY,
        lookup=True,
        # Klarna does not promise that an order shows a refund at once.
        lookup_after=timedelta(minutes=2),
        most_refunds=200,
        currency_rule=objects.klarna_rule,
        unverified=frozenset(
            {"lookup", "lookup_after", "refund_within", "currency_rule"},
        ),
    )

    def __init__(
        self,
        username: str,
        password: str,
        *,
        region: Region = "eu",
        test: bool = False,
        base_url: str | None = None,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        if not _USERNAME.fullmatch(username):
            raise InvalidArgumentError("username", "empty, or not complete: copy it again")
        if not password or not password.isascii() or not password.isprintable():
            raise InvalidArgumentError("password", "empty, or not complete: copy it again")
        if region not in _HOSTS:
            raise InvalidArgumentError("region", f"one of {', '.join(_HOSTS)}")
        where = "playground." if test else ""
        server = base_url or f"https://{_HOSTS[region]}.{where}klarna.com"
        loopback = urlsplit(server).hostname in _LOOPBACK
        self._base_url = checked_server(server, plain_http=loopback)
        self._mode = "sandbox" if base_url else "test" if test else "live"
        self._auth = (username, password)
        self._http = ProcessorHTTP(_NAME, self._base_url, timeout=timeout, http_client=http_client)

    @classmethod
    def from_options(cls, options: KlarnaOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.username,
            options.password.get_secret_value(),
            region=options.region,
            test=options.test,
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"KlarnaAdapter(username={self._auth[0]!r}, base_url={self._base_url!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the order as Klarna describes it.

        Raises `AdapterError`, also with not_refundable where nothing was captured.
        """
        order = self._order(ref)
        return self._understood(lambda: objects.payment_of(order))

    def refund(self, request: RefundRequest) -> RefundResult:
        """Look for the refund, and make it under the request's key if it is not there.

        Raises `AdapterError`.
        """
        if len(request.idempotency_key) > objects.LONGEST_KEY:
            raise UnsupportedFeatureError(
                f"this adapter's keys have at most {objects.LONGEST_KEY} characters"
            )
        body = objects.body_of(request)
        order = self._order(request.payment)
        known = self._understood(lambda: objects.refunds_of(order))
        found = find_own(known, request, _NAME)
        if found is not None:
            # Each of them moved money, whichever key made it: there must be no second one.
            if found.result.amount != request.amount:
                raise AdapterError(
                    ErrorKind.KEY_CONFLICT,
                    f"Klarna has this refund with another amount: {found.result.amount}.",
                )
            return found.result
        left = self._understood(lambda: objects.payment_of(order)).remaining
        assert left is not None
        # The request names no currency, so Klarna can't see that it is another.
        check_left(request, left, _NAME)
        answer = self._call(
            "POST",
            f"/ordermanagement/v1/orders/{request.payment.id}/refunds",
            # Klarna advises UUIDs; the same key always makes the same one.
            headers={"klarna-idempotency-key": f"{uuid5(NAMESPACE_URL, request.idempotency_key)}"},
            body=body,
        )
        return self._understood(lambda: objects.made(answer.headers.get("refund-id"), request))

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the order also shows a second one
    ) -> RefundResult | None:
        """Look the refund up by our reference, among all refunds of the order.

        Raises `AdapterError`.
        """
        order = self._order(request.payment)
        found = find_own(self._understood(lambda: objects.refunds_of(order)), request, _NAME)
        return None if found is None else found.result

    def check(self) -> str:
        """Ask for an order that does not exist, which tells whether the credentials are accepted.

        ``dispatch-returns doctor`` uses it. Raises `AdapterError`.
        """
        try:
            self._order(PaymentRef("reference", _NO_ORDER))
        except AdapterError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        return f"lets the credentials in ({self._mode} mode)"

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _order(self, ref: PaymentRef) -> JsonObject:
        if ref.kind != "reference":
            raise UnsupportedFeatureError(
                "Klarna refunds an order of its own, and not a payment of Stripe's"
            )
        if not _ID.fullmatch(ref.id):
            # It goes into a path.
            raise AdapterError(
                ErrorKind.NOT_FOUND, "The payment's id is not the id of a Klarna order."
            )
        return self._call("GET", f"/ordermanagement/v1/orders/{ref.id}").data

    def _call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
    ) -> ProcessorAnswer:
        """Make one call; return the answer if it is 2xx. Raises `AdapterError`."""
        answer = self._http.call(method, path, headers=headers, json_body=body, auth=self._auth)
        if answer.ok:
            return answer
        code, correlation = answer.data.get("error_code"), answer.data.get("correlation_id")
        meaning = _BY_STATUS.get(answer.status)
        # A proxy's own page is not Klarna's word.
        if meaning is None or not (isinstance(code, str) or answer.status in _FROM_ANYWHERE):
            raise self._http.unknown(f"HTTP {answer.status}")
        if answer.status == 403 and isinstance(code, str) and code.endswith("NOT_ALLOWED"):
            meaning = _NOT_REFUNDABLE
        raise self._http.refused(meaning, answer, code=code, request_id=correlation)

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except objects.MISFITS:
            raise self._http.unknown("not as Klarna documents it") from None
