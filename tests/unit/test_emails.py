"""E-mail addresses are compared as addresses."""

from __future__ import annotations

import pytest

from dispatch_returns.emails import email_key, same_email


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jane@example.com", " Jane@Example.COM "),
        ("j@m\u00fcller.example", "j@mu\u0308ller.example"),
        ("j@m\u00fcller.example", "J@xn--mller-kva.example"),
    ],
)
def test_one_address_may_be_written_in_several_ways(one: str, other: str) -> None:
    assert same_email(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("john_doe@example.com", "john-doe@example.com"),
        ("jane+shop@example.com", "jane@example.com"),
        ("j@stra\u00dfe.example", "j@strasse.example"),
        ("jane@example.com", "jane@example.com.evil.example"),
        ("", ""),
        (None, None),
        (None, "jane@example.com"),
    ],
)
def test_nothing_else_is_the_same_address(one: str | None, other: str | None) -> None:
    assert not same_email(one, other)


@pytest.mark.parametrize("text", ["xn--@xn--\ud800", "@", "a@b@c", "x@xn--zzzzzzzzzzzzzzzz--"])
def test_any_text_can_be_compared(text: str) -> None:
    assert same_email(text, text)
    assert email_key(text) == email_key(f" {text} ")
