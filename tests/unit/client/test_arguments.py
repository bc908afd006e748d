"""Bad input raises at once, and the error names the argument and never shows a secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from dispatch_returns.client import AsyncDispatchClient, DispatchClient, PortalClient, arguments
from dispatch_returns.client.core import BASE_URL
from dispatch_returns.client.operation import Scope
from dispatch_returns.errors import ConfigurationError, InvalidArgumentError

GOOD: dict[str, Any] = {"api_key": "sk_test_1", "workspace": "ws_1"}
NOT_SEGMENTS = [
    "",
    "/",
    "a/b",
    "..",
    ".",
    "a b",
    "a?b",
    "a#b",
    "a%2Fb",
    "ws_1\n",
    "é",
    "a\\b",
    "a;b",
]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "WORKSPACE", "BASE_URL", "STYLE"):
        monkeypatch.delenv(f"DISPATCH_{name}", raising=False)


@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        *(("api_key", key) for key in ("", " ", "sk test", "sk_test\n", "sk\ttest", "sk_é", None)),
        *(("workspace", segment) for segment in [*NOT_SEGMENTS, None]),
        *(("style", style) for style in ("Brands", "")),
        *(("base_url", url) for url in ("", "api.example.com", "ftp://x", "http://", "http://a b",
          "https://user:pw@x", "https://x?a=1", "https://x#a", "http://[", "http://x:99999")),
        *(("timeout", seconds) for seconds in (0, -1, float("inf"), float("nan"), True, "5")),
        *(("max_retries", count) for count in (-1, 1.5, True, None)),
    ],
)  # fmt: skip
def test_a_client_refuses_what_cannot_be_right(argument: str, bad: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        DispatchClient(**{**GOOD, argument: bad})
    assert caught.value.argument == argument
    assert str(caught.value).startswith(f"{argument}: ")
    assert isinstance(caught.value, ConfigurationError | ValueError)


def test_a_bad_key_is_not_shown() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        DispatchClient("sk_live_secret\n", "ws_1")
    assert "secret" not in repr(caught.value)


def test_an_unknown_keyword_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="workspce"):
        DispatchClient("k", workspce="ws_1")  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [DispatchClient, AsyncDispatchClient])
def test_what_is_not_given_comes_from_the_environment(
    make: type[DispatchClient | AsyncDispatchClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_API_KEY", "sk_test_1")
    monkeypatch.setenv("DISPATCH_WORKSPACE", "ws_env")
    assert repr(make()).endswith("('ws_env', style='workspaces', base_url='" + BASE_URL + "')")
    monkeypatch.setenv("DISPATCH_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("DISPATCH_STYLE", "brands")
    assert repr(make()).endswith("('ws_env', style='brands', base_url='http://127.0.0.1:1/v1')")
    given = make("sk_test_2", "ws_2", base_url="http://x/v1", style="workspaces")
    assert repr(given).endswith("('ws_2', style='workspaces', base_url='http://x/v1')")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "api_key: not given, and DISPATCH_API_KEY is not set"),
        ({"api_key": "k"}, "workspace: not given, and DISPATCH_WORKSPACE is not set"),
    ],
)
def test_what_the_environment_lacks_is_named(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        DispatchClient(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == words


def test_the_portals_client_goes_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPATCH_BASE_URL", "http://127.0.0.1:1/v1")
    assert repr(PortalClient("t")) == "PortalClient(base_url='http://127.0.0.1:1/v1')"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("statuss", "statuss: tickets.list has no such argument; did you mean status?"),
        ("xyzzy", "xyzzy: tickets.list has no such argument; it has status, "),
    ],
)
def test_a_misspelt_argument_of_a_call_is_named_with_the_nearest(name: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        DispatchClient(**GOOD).tickets.list(**{name: "open"})  # type: ignore[arg-type]
    assert str(caught.value).startswith(words)
    assert caught.value.argument == name


def test_a_missing_argument_of_a_call_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="ticket_id"):
        DispatchClient(**GOOD).tickets.get()  # type: ignore[call-arg]


def test_a_slash_at_the_end_of_the_base_url_is_dropped() -> None:
    assert "base_url='http://x/v1')" in repr(DispatchClient(**GOOD, base_url="http://x/v1/"))


@pytest.mark.parametrize("good", ["a", "ws_xxx", "tkt-1", "0", "a.b", "...", "~a"])
def test_an_id_that_needs_no_escaping_is_fine(good: str) -> None:
    assert arguments.segment("ticket_id", good) == good


@pytest.mark.parametrize("bad", NOT_SEGMENTS)
def test_an_id_that_would_change_the_path_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^ticket_id: "):
        arguments.segment("ticket_id", bad)


def test_a_time_is_sent_in_utc() -> None:
    berlin = timezone(timedelta(hours=2))
    assert (
        arguments.moment("t", datetime(2024, 7, 1, 14, 30, tzinfo=berlin)) == "2024-07-01T12:30:00Z"
    )
    assert (
        arguments.moment("t", datetime(2024, 7, 1, 0, 0, 0, 5, UTC))
        == "2024-07-01T00:00:00.000005Z"
    )


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (arguments.moment, datetime(2024, 7, 1)),  # noqa: DTZ001 - without a zone is the case
        (arguments.moment, datetime(2024, 7, 1, tzinfo=UTC).date()),
        (arguments.moment, "2024-07-01"),
        (arguments.strings, "vip"),
        (arguments.strings, [""]),
        (arguments.text, " "),
        (arguments.text, 7),
        (arguments.token, "a b"),
    ],
)
def test_a_check_refuses_and_names_its_argument(check: Callable[[str, Any], Any], bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^it(\.0)?: "):
        check("it", bad)


@pytest.mark.parametrize("size", [0, 101, -1, True, 1.0, "10"])
def test_a_page_holds_1_to_100(size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^limit: "):
        arguments.page_limit(size)
    assert [arguments.page_limit(good) for good in (1, 100)] == [1, 100]


def test_a_scope_writes_its_own_style() -> None:
    snake, camel = Scope("ws_1"), Scope("br_1", "brands")
    assert (snake.path("tickets", "t"), camel.path("tickets")) == (
        "/workspaces/ws_1/tickets/t",
        "/brands/br_1/tickets",
    )
    fields = {"subject": "s", "custom_fields": {"is_new": 1, "isOld": 2}}
    assert snake.body(fields) == b'{"subject":"s","custom_fields":{"is_new":1,"isOld":2}}'
    assert camel.body(fields) == b'{"title":"s","customFields":{"is_new":1,"isOld":2}}'
