from __future__ import annotations

import pytest
import stripe

from tests.support.stripe_sandbox import NOW, Sandbox


def test_refunds_are_listed_newest_first_and_page_by_page(sandbox: Sandbox) -> None:
    intent = sandbox.pay(10_000)
    made = [sandbox.refund(intent, amount=n + 1).id for n in range(25)]
    sandbox.refund(sandbox.pay())

    page = sandbox.sdk.v1.refunds.list(params={"payment_intent": intent.id, "limit": 10})
    assert page.has_more
    assert [refund.id for refund in page.data] == made[:14:-1]
    assert [refund.id for refund in page.auto_paging_iter()] == made[::-1]


def test_a_list_is_ten_long_unless_told_otherwise(sandbox: Sandbox) -> None:
    intent = sandbox.pay(10_000)
    for n in range(11):
        sandbox.refund(intent, amount=n + 1)
    listing = sandbox.sdk.v1.refunds.list()
    assert len(listing.data) == 10
    assert listing.has_more
    assert listing.url == "/v1/refunds"


def test_a_refund_is_listed_by_its_charge_right_after_it_was_made(sandbox: Sandbox) -> None:
    intent, other = sandbox.pay(), sandbox.pay()
    made = sandbox.refund(intent, amount=5)
    refunds = sandbox.sdk.v1.refunds
    assert isinstance(intent.latest_charge, str)
    assert isinstance(other.latest_charge, str)
    assert [entry.id for entry in refunds.list(params={"charge": intent.latest_charge})] == [
        made.id
    ]
    assert refunds.list(params={"charge": other.latest_charge}).data == []
    assert refunds.list(params={"payment_intent": sandbox.pay(confirm=False).id}).data == []
    mismatched = {"charge": other.latest_charge, "payment_intent": intent.id}
    assert sandbox.http.get("/v1/refunds", params=mismatched).json()["data"] == []


def test_a_list_of_an_unknown_payment_is_missing(sandbox: Sandbox) -> None:
    for params in ({"payment_intent": "pi_none"}, {"charge": "ch_none"}):
        answer = sandbox.http.get("/v1/refunds", params=params)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "resource_missing"


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"created[gte]": str(int(NOW) + 100)}, [2]),
        ({"created[gt]": str(int(NOW))}, [2]),
        ({"created[lte]": str(int(NOW))}, [1]),
        ({"created[lt]": str(int(NOW))}, []),
        ({"created": str(int(NOW))}, [1]),
        ({"created[gte]": str(int(NOW)), "created[lte]": str(int(NOW) + 100)}, [2, 1]),
    ],
)
def test_a_list_is_bounded_in_time(
    sandbox: Sandbox, params: dict[str, str], found: list[int]
) -> None:
    intent = sandbox.pay()
    sandbox.refund(intent, amount=1)
    sandbox.state.advance(100)
    sandbox.refund(intent, amount=2)
    answer = sandbox.http.get("/v1/refunds", params=params)
    assert [refund["amount"] for refund in answer.json()["data"]] == found


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"starting_after": "re_none"},
        {"created[eq]": "5"},
        {"created": "today"},
        {"ending_before": "re_none"},
        {"expand[]": "charge"},
        {"expand[]": "data.customer"},
    ],
)
def test_a_malformed_list_is_refused(sandbox: Sandbox, params: dict[str, str]) -> None:
    answer = sandbox.http.get("/v1/refunds", params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_ids_are_expanded_to_the_objects_behind_them(sandbox: Sandbox) -> None:
    intent = sandbox.pay()
    refund = sandbox.refund(intent, amount=1, expand=["charge.payment_intent", "payment_intent"])
    assert isinstance(refund.charge, stripe.Charge)
    assert isinstance(refund.charge.payment_intent, stripe.PaymentIntent)
    assert refund.charge.payment_intent.id == intent.id
    assert isinstance(refund.payment_intent, stripe.PaymentIntent)

    stored = sandbox.sdk.v1.refunds.retrieve(refund.id)
    assert stored.charge == intent.latest_charge
    listed = sandbox.sdk.v1.refunds.list(params={"expand": ["data.charge"]})
    assert isinstance(listed.data[0].charge, stripe.Charge)


def test_what_is_not_there_expands_to_nothing(sandbox: Sandbox) -> None:
    unpaid = sandbox.pay(confirm=False)
    intents = sandbox.sdk.v1.payment_intents
    found = intents.retrieve(unpaid.id, params={"expand": ["latest_charge"]})
    assert found.latest_charge is None


def test_a_payment_is_searched_by_its_metadata(sandbox: Sandbox) -> None:
    intents = sandbox.sdk.v1.payment_intents
    wanted = sandbox.pay(metadata={"order_id": "1'2"})
    sandbox.pay(metadata={"order_id": "12"})
    for query in (r"metadata['order_id']:'1\'2'", """ metadata["order_id"] : "1'2" """):
        found = intents.search(params={"query": query, "expand": ["data.latest_charge"]})
        assert [intent.id for intent in found.data] == [wanted.id]
        assert isinstance(found.data[0].latest_charge, stripe.Charge)
    assert intents.search(params={"query": "metadata['order_id']:'none'"}).data == []


def test_a_search_joins_terms_and_negates_them(sandbox: Sandbox) -> None:
    one = sandbox.pay(metadata={"order_id": "1 AND 2", "shop": "de"})
    other = sandbox.pay(metadata={"order_id": "1 AND 2", "shop": "us"})
    third = sandbox.pay(confirm=False)

    def found(query: str) -> list[str]:
        page = sandbox.sdk.v1.payment_intents.search(params={"query": query})
        return [intent.id for intent in page.data]

    assert found("metadata['order_id']:'1 AND 2'") == [other.id, one.id]
    assert found("metadata['order_id']:'1 AND 2' AND metadata['shop']:'de'") == [one.id]
    assert found("status:'succeeded' AND -metadata['shop']:'de'") == [other.id]
    assert found("-status:'succeeded'") == [third.id]


def test_search_results_come_in_pages(sandbox: Sandbox) -> None:
    made = [sandbox.pay(metadata={"k": "v"}).id for _ in range(5)]
    found = sandbox.sdk.v1.payment_intents.search(params={"query": "metadata['k']:'v'", "limit": 2})
    assert found.has_more
    assert [intent.id for intent in found.auto_paging_iter()] == made[::-1]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"query": ""},
        {"query": "amount>100"},
        {"query": "status:'succeeded' OR status:'canceled'"},
        {"query": "metadata['a']:'b' AND"},
        {"query": "metadata['a']:'b' AND metadata['c']:'d'x"},
        {"query": "metadata['a']:'b'", "page": "next"},
    ],
)
def test_any_other_search_is_refused(sandbox: Sandbox, params: dict[str, str]) -> None:
    answer = sandbox.http.get("/v1/payment_intents/search", params=params)
    assert answer.status_code == 400


def test_payments_and_charges_are_listed(sandbox: Sandbox) -> None:
    one, other = sandbox.pay(), sandbox.pay()
    listed = sandbox.sdk.v1.payment_intents.list()
    assert [intent.id for intent in listed.data] == [other.id, one.id]
    charges = sandbox.sdk.v1.charges
    assert [entry.payment_intent for entry in charges.list()] == [other.id, one.id]
    only = charges.list(params={"payment_intent": one.id})
    assert [entry.id for entry in only] == [one.latest_charge]


def test_the_balance_is_what_was_taken_less_what_was_paid_back(sandbox: Sandbox) -> None:
    balance = sandbox.sdk.v1.balance
    assert [(funds.amount, funds.currency) for funds in balance.retrieve().available] == [
        (0, "usd")
    ]
    sandbox.refund(sandbox.pay(1000), amount=300)
    sandbox.pay(500, currency="eur")
    sandbox.pay(900, capture_method="manual")
    assert [(funds.amount, funds.currency) for funds in balance.retrieve().available] == [
        (500, "eur"),
        (700, "usd"),
    ]


def test_the_account_is_the_sandbox(sandbox: Sandbox) -> None:
    account = sandbox.sdk.v1.accounts.retrieve_current()
    assert account.id == "acct_sandbox"
    assert account.charges_enabled
