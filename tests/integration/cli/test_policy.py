"""``policy check|test|show|explain``, as a merchant runs them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.returns import records
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import History, Item
from dispatch_returns.returns.records import NewDecision
from dispatch_returns.returns.steps.eligibility import breakdown_json
from dispatch_returns.returns.transitions import Step
from tests.support.cli import Said, Shop, run
from tests.support.purchases import line, order, request
from tests.support.stores import overwrite_return

EXAMPLES = Path(__file__).parents[3] / "examples"
POLICY, CASES = str(EXAMPLES / "policy.toml"), str(EXAMPLES / "policy-cases.toml")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "policy.toml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_the_example_policy_is_without_findings_and_says_what_its_cases_want() -> None:
    assert run("policy", "check", POLICY).code == 0
    said = run("policy", "test", POLICY, CASES)
    assert (said.code, said.out) == (0, "9 of 9 cases match.\n")


def test_the_examples_are_those_of_the_docs() -> None:
    page = (EXAMPLES.parent / "docs" / "policy.md").read_text(encoding="utf-8")
    example = (EXAMPLES / "policy.toml").read_text(encoding="utf-8")
    assert example.split("\n\n", 1)[1] in page


def test_findings_end_with_1_and_say_where(write: Any) -> None:
    path = write("version = '1'\nlabel_days = 5")
    said = run("policy", "check", path)
    assert said.code == 1
    assert "1, label_days: contradiction" in said.out
    document = run("policy", "check", path, "--json")
    assert document.code == 1
    assert document.json["findings"][0]["where"] == "label_days"


def test_the_policy_may_be_named_by_the_setting(write: Any) -> None:
    path = write("version = '1'\nlabel_days = 5")
    setting = {"DISPATCH_RETURNS_POLICY": path}
    assert run("policy", "check", environment=setting).code == 1
    assert run("policy", "show", environment=setting).code == 0
    nothing = run("policy", "check", environment={"DISPATCH_RETURNS_POLICY": ""})
    assert nothing.code == 3
    assert "DISPATCH_RETURNS_POLICY" in nothing.err


def test_a_mistake_in_the_file_is_one_sentence(write: Any) -> None:
    said = run("policy", "check", write("version = '1'\nwindw_days = 5"))
    assert said.code == 3
    assert "did you mean window_days?" in said.text
    assert "Traceback" not in said.text
    as_json = run("policy", "check", write("version = 1"), "--json")
    assert as_json.json["error"]["type"] == "ConfigurationError"


CASE = """
[[cases]]
name = "one"
requested_at = 2026-01-05
items = [{ sku = "A" }]
expect = { %s }
[cases.order]
placed_at = 2026-01-01
delivered_at = 2026-01-02
currency = "EUR"
lines = [{ sku = "A", price = "10", final_sale = true }]
"""


@pytest.mark.parametrize(
    ("expect", "expected", "got"),
    [
        ('outcome = "approve"', "approve", "reject"),
        ('total = "9.99"', "9.99 EUR", "10.00 EUR"),
        ("returnless = true", "yes", "no"),
        ('assignee = "joe"', "joe", "nothing"),
        ('version = "2"', "2", "1"),
        ('results = ["window"]', "window", "final_sale, window"),
    ],
)
def test_a_difference_ends_with_1_and_says_what_came_and_why(
    write: Any, expect: str, expected: str, got: str
) -> None:
    policy, cases = write("version = '1'"), write(CASE % expect, "cases.toml")
    said = run("policy", "test", policy, cases)
    assert said.code == 1
    for words in (expected, got, "A was a final sale.", "0 of 1 cases"):
        assert words in said.text
    result = run("policy", "test", policy, cases, "--json").json["results"][0]
    assert result["differences"][0]["expected"] == expected
    assert result["differences"][0]["got"] == got


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CASE % 'outcom = "x"', "expect.outcom: there is no such key: did you mean outcome?"),
        (CASE.replace("reque", "requ") % "", "requsted_at: there is no such key"),
        (CASE.replace('"10"', '"ten"') % "", "case 'one': order case: line 1: price"),
        (CASE.replace("price", "prize") % "", "case 'one': order case: line 1: price: is missing"),
        (CASE % 'total = "1.234"', "case 'one': order case: expect.total: "),
        ("cases = []", "cases: tuple should have at least 1 item"),
        ("cases = ", "not TOML"),
    ],
)
def test_a_mistake_in_a_case_is_named(write: Any, text: str, words: str) -> None:
    said = run("policy", "test", write("version = '1'"), write(text, "cases.toml"))
    assert said.code == 3
    assert words in said.text
    assert run("policy", "test", write("version = '1'"), "none.toml").code == 3


def test_show_says_what_holds_and_no_customer() -> None:
    said = run("policy", "show", POLICY)
    assert said.code == 0
    for words in ("2026-03@", "1 customers", "swiss customs", "60%", "4.90 EUR"):
        assert words in said.text
    assert "cus_4711" not in said.text
    document = run("policy", "show", POLICY, "--json").json
    assert [it["version"] for it in document["versions"]] == ["2025", "2026-03"]
    assert document["versions"][1]["rules"][0]["name"] == "faulty"


def decide(shop: Shop, ticket: str) -> None:
    """Have a decision in the store, as the workflow writes it."""
    now = datetime(2026, 1, 20, tzinfo=UTC)
    policy = ReturnPolicy.of(
        version="2026", restocking_fee="10%", max_value="5 EUR", assignee="joe"
    )
    asked = request(Item("A", 2), at=now, reason="Wrong size")
    verdict = policy.evaluate(asked, order(line("A", 3)), History(), now)
    assert verdict.expected is not None
    data = verdict.to_json() | {"expected": breakdown_json(verdict.expected)}
    decision = NewDecision("eligibility", str(verdict.outcome), "policy", data=data)

    def write(conn: Any) -> None:
        records.enter(
            conn,
            "ws_sandbox",
            ticket,
            now,
            step=Step.CHECK,
            status="x",
            items=[],
            requested_at=now,
        )
        row = records.matching(conn, ticket, limit=1)[0]
        records.record(conn, row, decision, now)

    with shop.store() as store:
        store.write("return.enter", write)


def test_explain_prints_the_stored_decision_and_needs_no_setting_but_the_database(
    shop: Shop,
) -> None:
    decide(shop, "tkt_1")
    said = shop.offline("policy", "explain", "tkt_1")
    assert said.code == 0
    for words in (
        "The stored decision:",
        "review",
        "2026@",
        "joe",
        "20.00 EUR requested, more than the limit of 5.00 EUR.",
        "restocking fee -2.00 EUR",
        "refund amount 18.00 EUR",
        "2 x A",
        "wrong_size",
    ):
        assert words in said.text, words
    document = shop.offline("policy", "explain", "tkt_1", "--json").json
    assert (document["stored"], document["decision"]["outcome"]) == (True, "review")
    assert document["decision"]["facts"]["items"][0]["sku"] == "A"


LINES = [{"sku": "SKU-001", "quantity": 1, "price": "30.00"}]


def ask(shop: Shop, write: Any, *arguments: str, **fields: Any) -> Said:
    values: dict[str, Any] = {"items_to_return": ["SKU-001"], "currency": "EUR"}
    ticket = shop.ticket(**values | fields)
    setting = {"DISPATCH_RETURNS_POLICY": write("version = 'live'\nmax_value = '20 EUR'")}
    return shop.run("policy", "explain", ticket, *arguments, **setting)


def test_explain_evaluates_now_what_was_not_decided_and_says_so(shop: Shop, write: Any) -> None:
    said = ask(shop, write, order_lines=LINES, delivered_date="2026-01-01")
    assert said.code == 0
    assert "No decision is stored. Evaluated now, with the returns in the database:" in said.text
    assert "30.00 EUR requested, more than the limit of 20.00 EUR." in said.text
    document = ask(shop, write, "--json").json
    assert document["stored"] is False
    assert [it["rule"] for it in document["decision"]["results"]] == ["unknown_order"]
    assert ask(shop, write, order_id=None).code == 0


def test_explain_says_what_is_wrong_with_an_order(shop: Shop, write: Any) -> None:
    said = ask(shop, write, order_lines=[{"sku": "A"}])
    assert said.code == 1
    assert "line 1: price: is missing" in said.text


def test_explain_of_an_unknown_ticket_ends_with_1(shop: Shop, write: Any) -> None:
    setting = {"DISPATCH_RETURNS_POLICY": write("version = 'live'")}
    said = shop.run("policy", "explain", "tkt_none", **setting)
    assert (said.code, said.err) == (
        1,
        "Error: there is no ticket tkt_none in the workspace ws_sandbox\n",
    )


def _earlier(shop: Shop, ticket: str, step: str, **values: Any) -> None:
    """Have another return of the same customer, or order, in the store."""
    now = datetime(2026, 1, 20, tzinfo=UTC)
    given: dict[str, Any] = {"items": [], "status": step, "requested_at": now} | values
    given["order_key"] = given.get("order_id")

    def write(conn: Any) -> None:
        records.enter(conn, "ws_sandbox", ticket, now, step=Step.REQUESTED, **given)
        overwrite_return(conn, records.return_id("ws_sandbox", ticket), step=step)

    with shop.store() as store:
        store.write("return.enter", write)


def test_explain_evaluates_now_with_what_was_returned_before(shop: Shop, write: Any) -> None:
    """An empty history would promise what the workflow then does not give."""
    piece = [{"sku": "SKU-001", "quantity": 1}]
    jane = records.customer_digest("jane@example.com")
    _earlier(shop, "tkt_paid", "refunded", order_id="1234", items=piece, customer=jane)
    _earlier(shop, "tkt_no", "rejected", order_id="1234", items=piece, customer=jane)
    said = ask(shop, write, "--json", order_lines=LINES, delivered_date="2026-01-01")
    assert said.code == 0
    decision = said.json["decision"]
    assert len(decision["facts"]["earlier_returns"]) == 1
    assert decision["facts"]["returned"] == {"SKU-001": 1}
    assert "too_many" in [it["rule"] for it in decision["results"]]


def test_explain_evaluates_now_as_the_workflow_does_with_an_open_return(
    shop: Shop, write: Any
) -> None:
    piece = [{"sku": "SKU-001", "quantity": 1}]
    _earlier(shop, "tkt_open", "label_sent", order_id="1234", items=piece)
    said = ask(shop, write, order_lines=LINES, delivered_date="2026-01-01")
    assert "open_return" in said.text
    assert "tkt_open" in said.text


def test_explain_evaluates_a_return_that_is_known_and_not_decided(shop: Shop, write: Any) -> None:
    fields = {"items_to_return": ["SKU-001"], "currency": "EUR", "order_lines": LINES}
    ticket = shop.ticket(**fields)
    _earlier(shop, ticket, "return_requested", order_id="1234")
    setting = {"DISPATCH_RETURNS_POLICY": write("version = 'live'")}
    number = records.return_number("ws_sandbox", ticket)
    said = shop.run("policy", "explain", number, "--json", **setting)
    assert (said.code, said.json["stored"]) == (0, False)
    assert said.json["decision"]["facts"]["returned"] == {}, "it is not its own earlier return"
