"""The adapter: each method puts its question to Braintree's GraphQL API and reads the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    InvalidArgumentError,
    MoneyError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.plugins.options import PluginOptions
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
from dispatch_returns.refunds.adapters import own_refunds
from dispatch_returns.refunds.adapters.braintree import events, objects, queries
from dispatch_returns.refunds.adapters.braintree.objects import Transaction
from dispatch_returns.refunds.adapters.braintree.rejections import rejection
from dispatch_returns.refunds.adapters.http import ProcessorHTTP, checked_server, mapping
from dispatch_returns.refunds.adapters.references import reference_of
from dispatch_returns.refunds.capabilities import Capabilities

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

LIVE = "https://payments.braintree-api.com"
SANDBOX = "https://payments.sandbox.braintree-api.com"
_VERSION = "2019-01-01"
_NAME = "Braintree"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LONGEST = 255
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_SHORT_ID = re.compile(r"[a-z0-9]{6,36}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_=-]{1,255}", re.ASCII)


class BraintreeOptions(PluginOptions):
    """The options of `BraintreeAdapter`."""

    merchant_id: str = Field(description="the merchant id: Control Panel, Settings, API, API keys")
    public_key: str = Field(description="the public key, on the same page")
    private_key: SecretStr = Field(description="the private key, on the same page")
    base_url: str = Field(
        default=LIVE, description=f"`{SANDBOX}` for Braintree's sandbox, or a test double"
    )
    timeout: float = Field(default=30.0, gt=0, description="seconds for each step of a call")


class BraintreeAdapter:
    """A `RefundAdapter` for Braintree transactions, on its GraphQL API over httpx.

    A transaction is named by the id that people see, or by GraphQL's own; the ledger keeps the
    second. The whole of a transaction that is not settled yet is voided, and a part of it has to
    wait. GraphQL has no idempotency key, so the adapter looks at the transaction's refunds before
    each call, and finds its own by their ``orderId``.

    ``base_url``: another server, such as Braintree's sandbox. ``timeout``: seconds for each step of
    a call. ``http_client``: your own; the adapter does not close it. Raises `InvalidArgumentError`
    for a bad argument.
    """

    name = "braintree"
    options_model = BraintreeOptions
    capabilities = Capabilities(
        void=True,
        asynchronous=True,
        longest_key=_LONGEST,
        lookup=True,
        lookup_after=timedelta(minutes=2),
        currency_rule=objects.braintree_rule,
        unverified=frozenset({"lookup", "lookup_after", "refund_within", "most_refunds"}),
    )
    webhook_events = events.NEEDED

    def __init__(
        self,
        merchant_id: str,
        public_key: str,
        private_key: str,
        *,
        base_url: str = LIVE,
        timeout: float = 30.0,
        http_client: httpx.Client | None = None,
    ) -> None:
        keys = {"merchant_id": merchant_id, "public_key": public_key, "private_key": private_key}
        for argument, value in keys.items():
            if not _KEY.fullmatch(value):
                raise InvalidArgumentError(argument, "empty, or not complete: copy it again")
        host = urlsplit(base_url).hostname
        self._server = checked_server(base_url, plain_http=host in _LOOPBACK)
        self._merchant_id = merchant_id
        self._keys = (public_key, private_key)
        self._http = ProcessorHTTP(_NAME, self._server, timeout=timeout, http_client=http_client)

    @classmethod
    def from_options(cls, options: BraintreeOptions) -> Self:
        """Build it from its options. Raises as the class does."""
        return cls(
            options.merchant_id,
            options.public_key,
            options.private_key.get_secret_value(),
            base_url=options.base_url,
            timeout=options.timeout,
        )

    def __repr__(self) -> str:
        return f"BraintreeAdapter(merchant_id={self._merchant_id!r}, server={self._server!r})"

    def payment(self, ref: PaymentRef) -> Payment:
        """Return the transaction as Braintree describes it.

        Raises `AdapterError`, also with not_refundable where nothing was taken.
        """
        found = self._transaction(ref)
        if found.status not in objects.PAID:
            raise AdapterError(
                ErrorKind.NOT_REFUNDABLE,
                f"Nothing was taken with this transaction ({found.status.lower()}): correct its id"
                " on the ticket.",
            )
        _readable(found)
        charged = found.charged
        return Payment(
            currency=charged.currency,
            rule=objects.braintree_rule(charged.currency),
            charged=charged,
            refunded=Money(min(found.refunded, charged.minor), charged.currency, charged.decimals),
            order_id=found.order_id,
            names=found.names,
            ref=PaymentRef("reference", found.id),
            paid_at=found.created_at,
        )

    def refund(self, request: RefundRequest) -> RefundResult:
        """Look for the refund, and make it if it is not there, or void the whole transaction.

        Two calls at once would pay twice: the ledger's lease prevents them. Raises `AdapterError`.
        """
        if len(request.idempotency_key) > _LONGEST:
            raise UnsupportedFeatureError(f"order ids have at most {_LONGEST} characters")
        found = self._transaction(request.payment)
        known = _readable(found)
        made = own_refunds.repeated(own_refunds.find_own(known, request, _NAME), request, _NAME)
        if made is not None:
            return made.result
        if (voided := _voided(found, request)) is not None:
            return voided
        charged = found.charged
        left = Money(charged.minor - found.refunded, charged.currency, charged.decimals)
        own_refunds.check_left(request, left, _NAME)
        if found.status in objects.UNSETTLED and request.amount == found.charged:
            return self._void(found, request)
        body = {
            "amount": f"{request.amount.major:f}",
            "orderId": reference_of(request, _LONGEST),
        }
        data = self._ask(queries.REFUND, input={"transactionId": found.id, "refund": body})
        refund = mapping(mapping(data.get("refundTransaction")).get("refund"))
        return self._understood(lambda: objects.result_of(refund))

    def find(
        self,
        request: RefundRequest,
        processor_id: str | None = None,  # noqa: ARG002 - the list also shows a second one
    ) -> RefundResult | None:
        """Look the refund up among all refunds of its transaction.

        Raises `AdapterError` (key_conflict) when several of ours move money.
        """
        found = self._transaction(request.payment)
        ours = own_refunds.find_own(_readable(found), request, _NAME)
        return _voided(found, request) if ours is None else ours.result

    def refunds_of(self, ref: PaymentRef) -> list[KnownRefund | UnreadableRefund]:
        """Return all refunds of a transaction."""
        return list(self._transaction(ref).refunds)

    def refunds_between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterator[KnownRefund | UnreadableRefund]:
        """Yield the account's refunds, one page of 50 at a time."""
        bounds = {"greaterThanOrEqualTo": _second(since), "lessThanOrEqualTo": _second(until)}
        created = {name: at for name, at in bounds.items() if at is not None}
        after: str | None = None
        while True:
            criteria = {"createdAt": created} if created else {}
            data = self._ask(queries.SEARCH, input=criteria, after=after)
            page = mapping(mapping(data.get("search")).get("refunds"))
            edges: Any = page.get("edges")
            info = mapping(page.get("pageInfo"))
            for edge in self._understood(lambda: list(edges)):  # noqa: B023 - called at once
                refund = objects.listed(mapping(mapping(edge).get("node")))
                late = isinstance(refund, KnownRefund) and until and refund.created_at >= until
                if not late:
                    yield refund
            following = info.get("endCursor")
            if info.get("hasNextPage") is not True or not isinstance(following, str):
                return
            if following == after:
                raise self._http.unknown("its pages repeat")
            after = following

    def verify_webhook(self, request: WebhookRequest) -> Sequence[EventHead]:
        """Return the head of an event. Raises `SignatureError`, `EventError`."""
        return (events.verified(request, *self._keys),)

    def answer_challenge(self, request: WebhookRequest) -> bytes:
        """Answer the GET with which Braintree checks the webhook's URL. Raises `SignatureError`."""
        return events.answer(request, *self._keys)

    def parse_event(self, body: bytes) -> RefundUpdate | None:
        """Return whose refunds the events in `webhook_events` are about; None for others.

        Raises `EventError` for an event that cannot be understood.
        """
        return events.refund_update(body)

    def recognizes(self, payment_id: str) -> bool:
        """Whether `payment_id` has the form of GraphQL's own id, or of the short one."""
        return objects.is_global(payment_id) or _SHORT_ID.fullmatch(payment_id) is not None

    def check(self) -> str:
        """Ask for nothing but an answer; return that the keys may. Raises `AdapterError`."""
        self._ask(queries.PING)
        return (
            f"lets the keys in ({self.mode} mode); whether they may refund shows with the first"
            " refund"
        )

    @property
    def mode(self) -> str:
        """``live`` in production; ``sandbox`` in Braintree's sandbox or at any other server."""
        return "live" if self._server == LIVE else "sandbox"

    def account(self) -> str | None:
        """Return the merchant id."""
        return self._merchant_id

    def close(self) -> None:
        """Close the connections, unless the HTTP client is yours."""
        self._http.close()

    def _void(self, found: Transaction, request: RefundRequest) -> RefundResult:
        """Void a whole transaction; Braintree refunds it instead if it was settled meanwhile."""
        data = self._ask(queries.REVERSE, input={"transactionId": found.id})
        reversal = mapping(mapping(data.get("reverseTransaction")).get("reversal"))
        if reversal.get("__typename") == "Refund":
            return self._understood(lambda: objects.result_of(reversal))
        if reversal.get("status") != "VOIDED":
            raise self._http.unknown("an undocumented answer")
        return RefundResult(found.id, RefundStatus.VOIDED, request.amount)

    def _transaction(self, ref: PaymentRef) -> Transaction:
        if ref.kind != "reference":
            raise UnsupportedFeatureError("Braintree refunds a transaction, and this is Stripe's")
        if not _ID.fullmatch(ref.id):
            raise AdapterError(ErrorKind.NOT_FOUND, f"{_NAME} has no transaction with such an id.")
        wanted: Any = ref.id
        if not objects.is_global(ref.id):
            wanted = self._ask(queries.GLOBAL_ID, id=ref.id).get("idFromLegacyId")
        node = self._ask(queries.TRANSACTION, id=wanted).get("node")
        if not node:
            raise AdapterError(
                ErrorKind.NOT_FOUND, f"{_NAME} knows no such transaction: check its id."
            )
        return self._understood(lambda: objects.transaction_of(node))

    def _ask(self, query: str, **variables: Any) -> Mapping[str, Any]:
        """Make one call; return the data of an answer without errors. Raises `AdapterError`."""
        answer = self._http.call(
            "POST",
            "/graphql",
            headers={"braintree-version": _VERSION},
            auth=self._keys,
            json_body={"query": query, "variables": variables},
        )
        error = rejection(self._http, answer, changes=query.lstrip().startswith("mutation"))
        if error is not None:
            raise error
        data = answer.data.get("data")
        if not mapping(data):
            raise self._http.unknown("no data")
        return mapping(data)

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (ValueError, KeyError, TypeError, AttributeError, MoneyError, EventError) as error:
            raise self._http.unknown(f"an undocumented answer: {type(error).__name__}") from None


def _readable(found: Transaction) -> list[KnownRefund]:
    """Return the refunds of a transaction. Raises `AdapterError` if one of them can't be read."""
    unreadable: list[UnreadableRefund] = []
    known = list(readable_refunds(found.refunds, unreadable.append))
    if unreadable:
        raise unreadable_refunds(unreadable)
    return known


def _voided(found: Transaction, request: RefundRequest) -> RefundResult | None:
    """Return the void of a transaction, where it is what the request wants: all of it.

    Who has voided it is not told, and changes nothing: the customer keeps the whole amount.
    """
    if found.status != "VOIDED" or request.amount != found.charged:
        return None
    return RefundResult(found.id, RefundStatus.VOIDED, request.amount)


def _second(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
