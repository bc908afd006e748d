"""The sandbox's JSON: exact numbers, bounded depth, names that belong to a style."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_sandbox.naming import BRANDS, WORKSPACES
from dispatch_sandbox.wire import MAX_DEPTH, dumps, loads, stamp

numbers = st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?(E[+-]?[0-9]{1,3})?\Z")


@given(text=numbers)
def test_a_number_keeps_its_value_and_its_digits(text: str) -> None:
    written, given_ = Decimal(dumps(loads(text.encode())).decode()), Decimal(text)
    assert written == given_
    assert written.as_tuple()[1:] == given_.as_tuple()[1:]


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.decimals(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_reads_the_same(value: Any) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        b"NaN", b"-Infinity", b"1e9999999999999999999", b"9" * 5000, b"\xff", b"", b"{", b"1.",
        '{"a":1}'.encode("utf-16"), b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_kind_of_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, the answer is the same
        loads(text)


def test_depth_is_bounded_and_brackets_in_text_do_not_count() -> None:
    for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
        deepest = opened * MAX_DEPTH + b"1" + closed * MAX_DEPTH
        assert json.loads(dumps(loads(deepest))) == json.loads(deepest)
        with pytest.raises(ValueError, match="deeply"):
            loads(opened + deepest + closed)
    wide = json.dumps([["[" * 500]] * 200).encode()
    assert loads(wide) == json.loads(wide)


def test_what_is_not_json_is_not_written() -> None:
    for value in (object(), {1, 2}, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            dumps(value)


def test_a_stamp_is_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=2)))
    assert stamp(moment) == "2026-01-02T01:04:05.678Z"
    assert stamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"


@given(name=st.text() | st.from_regex(r"\A[a-z]+(_[a-z]+)*\Z"))
def test_a_name_is_read_only_as_its_style_spells_it(name: str) -> None:
    for style in (WORKSPACES, BRANDS):
        ours = style.name(name)
        assert ours is None or style.spell(ours) == name


def test_the_styles_differ_in_these_names() -> None:
    assert WORKSPACES.name("subject") == BRANDS.name("title") == "title"
    assert WORKSPACES.name("workspace_id") == BRANDS.name("brandId") == "brandId"
    assert WORKSPACES.name("title") is None
    assert WORKSPACES.name("customFields") is None
