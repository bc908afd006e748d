"""Policies as files: every mistake is named, and the version in force at the order counts."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import History
from tests.support.purchases import PLACED, order, request


def read(tmp_path: Path, *texts: str) -> PolicyBook:
    paths = [tmp_path / f"{number}.toml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return PolicyBook.from_toml(*paths)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("windw_days = 1", "windw_days: there is no such key: did you mean window_days?"),
        ("zzz = 1", "zzz: there is no such key"),
        ("version = 1", "version: input should be a valid string"),
        ("window_days = '30'", "window_days: input should be a valid integer"),
        ("window_days = 30.0", "window_days: input should be a valid integer"),
        ("window_days = true", "window_days: input should be a valid integer"),
        ("window_days = -1", "window_days: input should be greater than or equal to 0"),
        ("assignee = 'queue:'", 'assignee: the queue has no name: write "queue:Customs"'),
        ("refund_on_receipt = 1", "refund_on_receipt: input should be a valid boolean"),
        ("restocking_fee = 0.1", 'restocking_fee: write a percentage as text with its sign: "15%"'),
        ("restocking_fee = '101%'", "restocking_fee: write a percentage between"),
        ("max_value = 5", "max_value: write amounts as text with the currency"),
        ("max_value = '5'", 'max_value: write amounts as "500 USD, 60000 JPY"'),
        ("max_value = '5 EUR, 6 eur'", "max_value: give one amount for each currency"),
        ("return_shipping = '0.5 ISK'", "the smallest step of this currency is 1"),
        ("return_shipping = '0.5 JPY'", "nothing is rounded"),
        ("final_sale = []", "final_sale: tuple should have at least 1 item"),
        ("final_sale = ['A[1]']", "final_sale: a pattern is an SKU in which"),
        ("time_zone = 'Mars/Olympus'", "time_zone: not a time zone"),
        ("time_zone = '../etc'", "time_zone: not a time zone"),
        ("shipping = 'sometimes'", "shipping: input should be 'never', 'share'"),
        ("valid_from = 2026-01-01T00:00:00", "valid_from: "),
        ("valid_from = '2026-01-01'", "valid_from: "),
        (
            "earlier_returns = {count = 1, day = 2}",
            "earlier_returns.day: there is no such key: did",
        ),
        ("[checks.windows]", "checks.windows: there is no such check: did you mean window?"),
        (
            "[checks.window]\noutcom = 'review'",
            "checks.window.outcom: there is no such key: did you",
        ),
        ("[checks.window]\noutcome = 'maybe'", "checks.window.outcome: input should be 'approve'"),
        (
            "[[rules]]\nname = 'x'\nreason = ['a']\noutcome = 'review'",
            "rules[0].reason: there is no",
        ),
        ("[[rules]]\nname = 'x'", "rules[0]: the rule does nothing: set one of outcome"),
        (
            "[[rules]]\nname = 'x'\noutcome = 'review'\ncountries = ['de']",
            "rules[0].countries[0]: ",
        ),
        (
            "[[rules]]\nname = 'x'\nwaive = ['blocked']",
            "rules[0].waive[0]: input should be 'window'",
        ),
        (
            "[[rules]]\nname = 'window'\noutcome = 'review'",
            "or a rule and a check, are called 'window'",
        ),
        (
            "[[rules]]\nname = 'x'\noutcome = 'review'\n" * 2,
            "two rules, or a rule and a check, are called 'x'",
        ),
        ("x = =", "not TOML: Invalid value (at line 2, column 5)"),
        ("[[versions]]", "version: not allowed outside of [[versions]]"),
    ],
)
def test_a_mistake_is_named_by_key_and_place(tmp_path: Path, text: str, words: str) -> None:
    first = "" if text == "version = 1" else "version = '1'\n"
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, first + text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert caught.value.__cause__ is None


def test_every_mistake_is_named_at_once_and_in_its_version(tmp_path: Path) -> None:
    text = "[[versions]]\nversion='1'\n[[versions]]\nversion='2'\nwindow_day=1\ntransit_dys=2"
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert "versions[1].window_day: " in str(caught.value)
    assert "versions[1].transit_dys: " in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read \(No such file"):
        PolicyBook.from_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="write each as"):
        read(tmp_path, "versions = 1")
    (tmp_path / "latin.toml").write_bytes(b"version = '\xe4'")
    with pytest.raises(ConfigurationError, match="not TOML"):
        PolicyBook.from_toml(tmp_path / "latin.toml")


def version(name: str, since: Any = None, **keys: Any) -> ReturnPolicy:
    return ReturnPolicy.of(version=name, valid_from=since, **keys)


def test_the_version_in_force_when_the_order_was_placed_counts() -> None:
    berlin = {"time_zone": "Europe/Berlin"}
    book = PolicyBook(
        [
            version("third", datetime(2026, 6, 1, 10, tzinfo=UTC)),
            version("first"),
            version("second", date(2026, 4, 1), **berlin),
        ]
    )
    assert [it.version for it in book.versions] == ["first", "second", "third"]
    for moment, name in [
        ("1999-01-01T00:00Z", "first"),
        ("2026-03-31T21:59:59Z", "first"),  # Berlin's first of April begins at 22:00 UTC
        ("2026-03-31T22:00:00Z", "second"),
        ("2026-06-01T09:59:59Z", "second"),
        ("2026-06-01T10:00:00Z", "third"),
    ]:
        assert book.in_force(datetime.fromisoformat(moment)).version == name


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ([], "at least one version"),
        ([version("1", date(2026, 1, 1))], "the oldest version, 1, must not have one"),
        ([version("1"), version("2")], "1 and 2 begin at the same moment"),
        ([version("1"), version("1", date(2026, 1, 1))], "version: two are called '1'"),
    ],
)
def test_versions_that_are_in_disorder_are_refused(
    versions: list[ReturnPolicy], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        PolicyBook(versions)


def test_versions_may_stand_in_several_files(tmp_path: Path) -> None:
    book = read(tmp_path, "version='2'\nvalid_from=2026-01-01", "version='1'")
    assert [it.version for it in book.versions] == ["1", "2"]


def test_the_hash_is_of_what_is_said_and_not_of_how() -> None:
    one = version("1", window_days=14, max_value="5 EUR, 6 USD")
    assert (
        one.id == version("1", max_value="6.00 USD, 5 EUR".replace("6.00", "6"), window_days=14).id
    )
    assert one.id == version("1", window_days=14, max_value="5 EUR, 6 USD", transit_days=5).id
    assert one.id != version("1", window_days=15, max_value="5 EUR, 6 USD").id
    assert one.id != version("1", date(2026, 1, 1), window_days=14, max_value="5 EUR, 6 USD").id


def test_a_key_that_is_added_to_the_package_changes_no_hash() -> None:
    # Kept verdicts name it: it may change only with what the merchant wrote.
    assert version("1", window_days=14).id == "1@e6706192865d"


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "from dispatch_returns import ReturnPolicy as P; print(P.of(version='1', rules=[{'name':"
        " 'x', 'waive': ['window', 'excluded', 'final_sale', 'condition', 'max_value']}]).hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1


def test_a_verdict_is_replayed_under_the_version_that_made_it() -> None:
    book = PolicyBook([version("1"), version("2", date(2025, 6, 1), window_days=5)])
    verdict = book.in_force(PLACED).evaluate(request(), order(), History(), PLACED)
    assert book.replay(verdict) == verdict
    assert PolicyBook([version("1")]).replay(verdict) is None


def test_python_gets_the_same_errors_as_a_file() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ReturnPolicy.of(version="1", windw_days=1)
    assert str(caught.value) == "windw_days: there is no such key: did you mean window_days?"


def test_a_queue_is_written_in_one_way_wherever_it_is_named(tmp_path: Path) -> None:
    book = read(
        tmp_path,
        """
        version = "1"
        assignee = "queue: Returns"
        checks.max_value.assignee = "Queue:Risk"
        checks.condition.assignee = "usr_1"
        [[rules]]
        name = "swiss"
        countries = ["CH"]
        outcome = "review"
        assignee = "queue:Customs & Duties"
        """,
    )
    assert book.queues == ("Customs & Duties", "Returns", "Risk")
    (policy,) = book.versions
    assert policy.assignee == "queue:Returns"
    assert policy.assignee_of("swiss") == "queue:Customs & Duties"
    assert policy.assignee_of("max_value") == "queue:Risk"
    assert ReturnPolicy.of(version="1", assignee="usr_1").queues == ()
