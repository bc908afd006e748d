"""Each cell of the idempotency table, observed through the adapter on every stand-in with keys.

For a further processor: a `Keyed` here, and its column in `tests.support.idempotency_table`.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds import (
    PaymentRef,
    RefundAdapter,
    RefundRequest,
    ShopifyAdapter,
    StripeAdapter,
)
from dispatch_returns.refunds.adapters.checkout_com import CheckoutComAdapter
from dispatch_returns.refunds.adapters.klarna import KlarnaAdapter
from dispatch_returns.refunds.adapters.mollie import MollieAdapter
from dispatch_returns.refunds.adapters.paypal import PayPalAdapter
from dispatch_returns.refunds.adapters.square import SquareAdapter
from dispatch_returns.refunds.registry import available, load_adapter
from dispatch_sandbox import klarna, stripe
from dispatch_sandbox.checkout_com import SECRET_KEY as CHECKOUT_KEY
from dispatch_sandbox.checkout_com import CheckoutComStandIn
from dispatch_sandbox.mollie import API_KEY as MOLLIE_KEY
from dispatch_sandbox.mollie import MollieStandIn
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET
from dispatch_sandbox.processors.server import app_of
from dispatch_sandbox.shops import SHOPIFY_TOKEN, ShopFault, ShopifyState, shopify_routes
from dispatch_sandbox.square import ACCESS_TOKEN
from tests.support import idempotency_table, processor_table
from tests.support.adyen_sandbox import adapter_at as adyen_at
from tests.support.adyen_sandbox import serving_adyen
from tests.support.idempotency_table import CASES, DOCUMENTED, Case, Observed
from tests.support.paypal_sandbox import serving_paypal
from tests.support.square_sandbox import serving_square
from tests.support.stripe_sandbox import serving

PART = Money(1000, "USD")
DAY = 86_400.0


class Keyed(ABC):
    """A stand-in with keys: what the cases need of it, and its adapter."""

    adapter: RefundAdapter

    @abstractmethod
    def pay(self) -> PaymentRef:
        """Have a customer pay 149.00 USD."""

    @abstractmethod
    def forget_keys(self) -> None:
        """Let so much time pass that every key is forgotten."""

    @abstractmethod
    def be_busy(self, ref: PaymentRef) -> None:
        """Answer the next refund as one whose key is being worked on."""

    @abstractmethod
    def act_and_fail(self, ref: PaymentRef) -> None:
        """Carry the next refund out, and answer 5xx."""

    @abstractmethod
    def refuse(self, ref: PaymentRef) -> None:
        """Refuse the next refund, for a cause that is mended afterwards."""


class KeyedStripe(Keyed):
    def __init__(self, url: str, state: stripe.StripeState) -> None:
        self.adapter = StripeAdapter(stripe.API_KEY, base_url=url)
        self._state, self._url = state, url

    def pay(self) -> PaymentRef:
        form = {
            "amount": "14900",
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = httpx.post(
            f"{self._url}/v1/payment_intents", data=form, auth=(stripe.API_KEY, "")
        ).raise_for_status()
        return PaymentRef("payment_intent", made.json()["id"])

    def forget_keys(self) -> None:
        self._state.advance(2 * DAY)

    def be_busy(self, ref: PaymentRef) -> None:
        self._state.faults.add(stripe.Fault(kind="conflict_409", payment_intent=ref.id))

    def act_and_fail(self, ref: PaymentRef) -> None:
        self._state.faults.add(stripe.Fault(kind="stored_500", payment_intent=ref.id))

    def refuse(self, ref: PaymentRef) -> None:
        self._state.faults.add(stripe.Fault(kind="refused", payment_intent=ref.id))


@contextmanager
def keyed_stripe() -> Iterator[Keyed]:
    state = stripe.StripeState()
    with serving(Starlette(routes=stripe.routes(state))) as url:
        yield KeyedStripe(url, state)


@contextmanager
def keyed_paypal() -> Iterator[Keyed]:
    with serving_paypal() as (paypal, url):

        class KeyedPayPal(Keyed):
            adapter = PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", paypal.pay("149.00"))

            def forget_keys(self) -> None:
                paypal.advance(46 * DAY)
                self.adapter.close()
                self.adapter = PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=url)

            def be_busy(self, ref: PaymentRef) -> None:
                paypal.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                paypal.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                paypal.fail("refused", payment=ref.id, code="REFUND_FAILED_INSUFFICIENT_FUNDS")

        yield KeyedPayPal()


@contextmanager
def keyed_adyen() -> Iterator[Keyed]:
    with serving_adyen() as (adyen, url):

        class KeyedAdyen(Keyed):
            adapter = adyen_at(url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", adyen.pay("149.00", "USD"))

            def forget_keys(self) -> None:
                adyen.advance(8 * DAY)

            def be_busy(self, ref: PaymentRef) -> None:
                adyen.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                adyen.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                adyen.fail("refused", payment=ref.id)

        yield KeyedAdyen()


@contextmanager
def keyed_mollie() -> Iterator[Keyed]:
    mollie = MollieStandIn()
    with serving(app_of(mollie)) as url:

        class KeyedMollie(Keyed):
            adapter = MollieAdapter(MOLLIE_KEY, base_url=url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", mollie.pay("149.00", "USD"))

            def forget_keys(self) -> None:
                mollie.advance(2 * DAY)

            def be_busy(self, ref: PaymentRef) -> None:
                mollie.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                mollie.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                mollie.fail("refused", payment=ref.id)

        yield KeyedMollie()


@contextmanager
def keyed_square() -> Iterator[Keyed]:
    with serving_square() as (square, url):

        class KeyedSquare(Keyed):
            adapter = SquareAdapter(ACCESS_TOKEN, base_url=url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", square.pay("149.00"))

            def forget_keys(self) -> None:
                square.advance(2 * DAY)

            def be_busy(self, ref: PaymentRef) -> None:
                square.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                square.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                square.fail("refused", payment=ref.id)

        yield KeyedSquare()


@contextmanager
def keyed_klarna() -> Iterator[Keyed]:
    double = klarna.KlarnaStandIn()
    with serving(app_of(double)) as url:

        class KeyedKlarna(Keyed):
            adapter = KlarnaAdapter(klarna.USERNAME, klarna.PASSWORD, base_url=url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", double.pay("149.00", "USD"))

            def forget_keys(self) -> None:
                double.advance(2 * DAY)

            def be_busy(self, ref: PaymentRef) -> None:
                double.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                double.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                double.fail("refused", payment=ref.id)

        yield KeyedKlarna()


@contextmanager
def keyed_checkout_com() -> Iterator[Keyed]:
    checkout = CheckoutComStandIn()
    with serving(app_of(checkout)) as url:

        class KeyedCheckoutCom(Keyed):
            adapter = CheckoutComAdapter(CHECKOUT_KEY, base_url=url)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", checkout.pay("149.00", "USD"))

            def forget_keys(self) -> None:
                checkout.advance(2 * DAY)

            def be_busy(self, ref: PaymentRef) -> None:
                checkout.fail("in_flight", payment=ref.id)

            def act_and_fail(self, ref: PaymentRef) -> None:
                checkout.fail("server_error", payment=ref.id, acted=True)

            def refuse(self, ref: PaymentRef) -> None:
                checkout.fail("refused", payment=ref.id)

        yield KeyedCheckoutCom()


@contextmanager
def keyed_shopify() -> Iterator[Keyed]:
    ahead = [0.0]
    shop = ShopifyState(clock=lambda: 1_760_000_000.0 + ahead[0])
    with serving(Starlette(routes=shopify_routes(shop))) as url:

        class KeyedShopify(Keyed):
            adapter = ShopifyAdapter(url, SHOPIFY_TOKEN)

            def pay(self) -> PaymentRef:
                return PaymentRef("reference", shop.pay("149.00", "USD"))

            def forget_keys(self) -> None:
                ahead[0] += 3 * DAY

            def be_busy(self, ref: PaymentRef) -> None:
                shop.faults.add(ShopFault("in_progress"))

            def act_and_fail(self, ref: PaymentRef) -> None:
                shop.faults.add(ShopFault("broken_answer"))

            def refuse(self, ref: PaymentRef) -> None:
                shop.faults.add(ShopFault("refused", "Refund amount exceeds the available amount"))

        yield KeyedShopify()


MAKERS = {
    "stripe": keyed_stripe,
    "paypal": keyed_paypal,
    "adyen": keyed_adyen,
    "mollie": keyed_mollie,
    "checkout_com": keyed_checkout_com,
    "klarna": keyed_klarna,
    "square": keyed_square,
    "shopify": keyed_shopify,
}
WITHOUT_KEYS = {"braintree", "manual", "woocommerce"}


@pytest.fixture(scope="module", params=MAKERS)
def named(request: pytest.FixtureRequest) -> Iterator[tuple[str, Keyed]]:
    with MAKERS[request.param]() as keyed:
        yield request.param, keyed
        keyed.adapter.close()


def observe(keyed: Keyed, case: Case) -> Observed:
    """What a repeat of a key gets in this case."""
    refund_id = f"rfd_{uuid.uuid4().hex}"
    request = RefundRequest(
        refund_id=refund_id,
        idempotency_key=f"{refund_id}-g1",
        payment=keyed.pay(),
        amount=PART,
        workspace_id="ws_1",
        ticket_id="tkt_1",
    )
    refused = pytest.raises(AdapterError) if case in {"5xx", "4xx"} else nullcontext()
    if case == "5xx":
        keyed.act_and_fail(request.payment)
    if case == "4xx":
        keyed.refuse(request.payment)
    first: str | None = None
    if case == "in flight":
        keyed.be_busy(request.payment)  # as if another call had this key
    else:
        with refused:
            first = keyed.adapter.refund(request).processor_id
    if case == "expired":
        keyed.forget_keys()
    if case == "other body":
        request = replace(request, amount=replace(PART, minor=2000))
    try:
        again = keyed.adapter.refund(request)
    except AdapterError as error:
        said: dict[ErrorKind, Observed] = {
            ErrorKind.IN_PROGRESS: "asked to wait",
            ErrorKind.KEY_CONFLICT: "refused",
            ErrorKind.UNKNOWN_OUTCOME: "the same 5xx",
        }
        return said.get(error.kind, "the same refusal")
    if case == "5xx":
        # One refund of 10.00 was made, so what is left says whether this was another.
        other = f"rfd_{uuid.uuid4().hex}"
        rest = keyed.adapter.refund(
            replace(
                request,
                refund_id=other,
                idempotency_key=f"{other}-g1",
                amount=Money(13900, "USD"),
            )
        )
        assert rest.processor_id != again.processor_id
        return "the same refund"
    return "the same refund" if again.processor_id == first else "a second refund"


@pytest.mark.parametrize("case", CASES)
def test_a_repeated_key_gets_what_the_table_says(named: tuple[str, Keyed], case: Case) -> None:
    name, keyed = named
    assert observe(keyed, case) == DOCUMENTED[name][case].observed


def test_every_adapter_with_keys_has_its_column() -> None:
    assert set(DOCUMENTED) == set(MAKERS) == set(available()) - WITHOUT_KEYS
    assert all(set(cells) == set(CASES) for cells in DOCUMENTED.values())
    without = {name for name in WITHOUT_KEYS if load_adapter(name).capabilities.manual}  # type: ignore[attr-defined]
    assert without == {"manual"}


def test_the_docs_show_the_table_as_it_is() -> None:
    shown = processor_table.PAGE.read_text(encoding="utf-8")
    assert shown == idempotency_table.page(), "run: python -m tests.support.idempotency_table"
