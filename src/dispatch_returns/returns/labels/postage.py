"""The base of all providers that sell postage: draft a shipment, choose a rate, buy it once.

A draft costs nothing and has the request's key. It is looked for before a new one is made, and a
label is bought for it once. After a lost answer the draft still exists, with or without its
label.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, SecretStr

from dispatch_returns.client.connections import proxies
from dispatch_returns.errors import (
    ConfigurationError,
    InvalidArgumentError,
    LabelError,
    MissingExtraError,
    MoneyError,
)
from dispatch_returns.money import Money
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.returns.labels.provider import Label, LabelRequest

if TYPE_CHECKING:
    import requests

CLOCK_SKEW = timedelta(hours=1)
"""How far the provider's clock may differ from ours when shipments are looked up by time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """An offer: ``service`` is the provider's name for it with its carrier: ``USPS/Priority``."""

    id: str
    service: str
    price: Money


@dataclass(frozen=True, slots=True)
class Postage:
    """A label that was bought. ``voided``: it was voided."""

    id: str
    pdf_url: str = field(repr=False)
    bought_at: datetime
    price: Money
    carrier: str
    tracking_number: str | None
    tracking_url: str | None
    voided: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A shipment with our key. ``pending``: a purchase is under way; its outcome is unknown."""

    id: str
    rates: Sequence[Rate]
    postage: Postage | None = None
    pending: bool = False


class PostageOptions(PluginOptions):
    """The options of every provider that sells postage."""

    api_key: SecretStr = Field(description="the API key, from the provider's dashboard")
    base_url: str | None = Field(default=None, description="another server")
    service: str | None = Field(
        default=None,
        description="what to buy: `USPS/GroundAdvantage`; by default the cheapest",
    )
    weight: int | None = Field(
        default=None,
        ge=1,
        description="grams, where the order does not give the weight of each line; without either,"
        " no label is bought",
    )
    length: float = Field(default=30, gt=0, description="of the package, in centimetres")
    width: float = Field(default=20, gt=0, description="of the package, in centimetres")
    height: float = Field(default=10, gt=0, description="of the package, in centimetres")
    timeout: float = Field(default=30, gt=0, description="seconds for each step of a call")
    valid_days: int = Field(default=28, ge=1, description="after which an unused label expires")
    check_addresses: bool = Field(
        default=True, description="have the provider check the addresses before it sells a label"
    )


class BoughtLabels(abc.ABC):
    """A `LabelProvider` that sells postage.

    ``service`` is what to buy, such as ``USPS/GroundAdvantage``; the default is the cheapest.
    ``weight`` (grams) is for requests without one; ``length``, ``width`` and ``height`` are those
    of the package (centimetres). ``timeout`` is in seconds, for each step of a call.
    ``valid_days`` is when an unused label expires.

    No call is repeated here or in the SDK. At DEBUG, ``urllib3`` logs the addresses of labels,
    with which anyone can fetch them: keep its level above DEBUG.
    """

    name: str
    options_model = PostageOptions

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str | None = None,
        service: str | None = None,
        weight: int | None = None,
        size: tuple[float, float, float] = (30, 20, 10),
        timeout: float = 30.0,
        valid_days: int = 28,
        check_addresses: bool = True,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise InvalidArgumentError("api_key", "is empty, or has characters that no key has")
        if not timeout > 0 or valid_days < 1 or (weight is not None and weight < 1):
            raise InvalidArgumentError("timeout, valid_days, weight", "must be more than 0")
        if not all(side > 0 for side in size):
            raise InvalidArgumentError("length, width, height", "must be more than 0 centimetres")
        self._service = service
        self._weight = weight
        self._size = size
        self._valid = timedelta(days=valid_days)
        self._check_addresses = check_addresses
        self._http = _session(self.name, timeout)
        self._connect(api_key, base_url, timeout)

    @classmethod
    def from_options(cls, options: PostageOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        return cls(
            options.api_key.get_secret_value(),
            base_url=options.base_url,
            service=options.service,
            weight=options.weight,
            size=(options.length, options.width, options.height),
            timeout=options.timeout,
            valid_days=options.valid_days,
            check_addresses=options.check_addresses,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(service={self._service!r})"

    def buy(self, request: LabelRequest) -> Label:
        """Buy the label, or return the one that was bought for the key."""
        if request.sender is None:
            raise LabelError(
                f"{self.name} needs the customer's address to sell a label, and the order has"
                " none: add it in the shop system"
            )
        self._weight_of(request)
        drafts = self._drafts(request)
        if found := self._bought(drafts):
            return self._label(found)
        draft = drafts[0] if drafts else self._draft(request)
        return self._label(self._purchase(draft, self._chosen(draft), request))

    def find(self, request: LabelRequest) -> Label | None:
        """Look for the key among the shipments since the request was made."""
        found = self._bought(self._drafts(request))
        return None if found is None else self._label(found)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @abc.abstractmethod
    def void(self, label_id: str) -> bool:
        """Void a label; return whether its cost is refunded."""

    # What differs between providers.

    @abc.abstractmethod
    def _connect(self, api_key: str, base_url: str | None, timeout: float) -> None: ...

    @abc.abstractmethod
    def _drafts(self, request: LabelRequest) -> Sequence[Draft]:
        """Return all shipments with the request's key."""

    @abc.abstractmethod
    def _draft(self, request: LabelRequest) -> Draft:
        """Make a shipment with the request's key."""

    @abc.abstractmethod
    def _purchase(self, draft: Draft, rate: Rate, request: LabelRequest) -> Postage: ...

    # What is the same for all providers.

    def _weight_of(self, request: LabelRequest) -> int:
        weight = request.weight or self._weight
        if weight is None:
            raise LabelError(
                f"the package's weight is not known: set {self.name.upper()}_WEIGHT, in grams"
            )
        return weight

    def _bought(self, drafts: Sequence[Draft]) -> Postage | None:
        found = [draft.postage for draft in drafts if draft.postage is not None]
        if len(found) > 1:
            raise LabelError(
                f"{len(found)} labels were bought for one return: check them in {self.name}"
            )
        if found and found[0].voided:
            raise LabelError("the label of this key was voided: request one with a new key")
        if not found and any(draft.pending for draft in drafts):
            raise LabelError("the purchase is under way", retryable=True, unknown=True)
        if not found and len(drafts) > 1:
            # A purchase may be under way for each, so none can be chosen.
            raise LabelError(
                f"there are {len(drafts)} shipments for one return: check them in {self.name}",
                unknown=True,
            )
        return found[0] if found else None

    def _chosen(self, draft: Draft) -> Rate:
        wanted = [
            rate
            for rate in draft.rates
            if self._service is None or rate.service.lower() == self._service.lower()
        ]
        if not wanted:
            offered = ", ".join(sorted(rate.service for rate in draft.rates)) or "nothing"
            raise LabelError(
                f"{self.name} does not offer {self._service or 'anything'} for this package"
                f" (it offers {offered})"
            )
        if len({rate.price.currency for rate in wanted}) > 1:
            raise LabelError(
                f"the rates are in several currencies: set {self.name.upper()}_SERVICE"
            )
        return min(wanted, key=lambda rate: (rate.price.minor, rate.service, rate.id))

    def _label(self, postage: Postage) -> Label:
        import requests

        try:
            answer = self._http.get(postage.pdf_url)
            answer.raise_for_status()
            pdf, why = answer.content, "it is not a PDF"
        except requests.RequestException as error:
            pdf, why = b"", type(error).__name__
        if not pdf.startswith(b"%PDF-"):
            # Unknown: the label is found by its key and fetched again, not bought again.
            raise LabelError(
                f"the label was bought but could not be fetched ({why})",
                retryable=True,
                unknown=True,
            ) from None
        return Label(
            provider=self.name,
            id=postage.id,
            pdf=pdf,
            tracking_number=postage.tracking_number,
            tracking_url=postage.tracking_url,
            carrier=postage.carrier,
            cost=postage.price,
            expires_at=postage.bought_at + self._valid,
        )


def since(request: LabelRequest) -> datetime:
    """Return the moment (UTC) before which no shipment of the request was made."""
    return request.created_at.astimezone(UTC) - CLOCK_SKEW


def price_of(amount: object, currency: object) -> Money:
    """Return a rate's price. Raises `LabelError` if it is not an exact amount."""
    try:
        return Money.from_decimal(Decimal(str(amount)), str(currency))
    except (InvalidOperation, MoneyError):
        raise LabelError("a rate's price is not an amount of its currency") from None


def failed(seller: str, status: int | None, code: str | None, *, buying: bool) -> LabelError:
    """Return the error for a failed call. `status` is None if no answer came."""
    if status is not None and status < 400:
        status = None  # the answer could not be read, so its outcome is not known
    answered = f"{seller} answered {status}{f' ({code})' if code else ''}" if status else None
    if status == 429:
        return LabelError(f"{answered}: too many calls", retryable=True)
    if status is None or status == 408 or status >= 500:
        return LabelError(answered or f"{seller} did not answer", retryable=True, unknown=buying)
    if status in {401, 403}:
        return LabelError(f"{answered}: check {seller.upper()}_API_KEY")
    return LabelError(f"{answered}: the label was refused")


def _session(seller: str, timeout: float) -> requests.Session:
    try:
        import requests
        from requests.adapters import HTTPAdapter
    except ImportError:
        raise MissingExtraError(seller, f"labels of {seller}") from None

    class Patient(HTTPAdapter):
        """Has a timeout for every call, and repeats none."""

        def send(self, request: Any, **options: Any) -> requests.Response:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            options["timeout"] = options.get("timeout") or timeout
            return super().send(request, **options)

    # requests itself would report this only with the first label.
    if any(url.startswith("socks") for url in proxies().values()) and not find_spec("socks"):
        raise ConfigurationError(
            f"ALL_PROXY: a SOCKS proxy needs one more package for labels of {seller}. Install it"
            " with pip install 'requests[socks]', or name a proxy that begins with http://"
        )
    session = requests.Session()
    # Proxies and certificates come from the environment. A .netrc must not: its password would
    # replace the key.
    session.auth = _with_the_key
    for scheme in ("https://", "http://"):
        session.mount(scheme, Patient(max_retries=0))
    return session


def _with_the_key(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request  # each SDK has set it already
