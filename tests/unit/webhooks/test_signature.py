"""verify and sign: the vectors, every malformed input, rotation, and what errors give away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.errors import InvalidArgumentError, SignatureError
from dispatch_returns.webhooks import sign, verify
from dispatch_returns.webhooks.signature import HEADER

SECRET = "whsec_test123"
BODY = b'{"id":"evt_1"}'
GOOD = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.text(),
    st.lists(st.text()), st.dictionaries(st.text(), st.text()),
)  # fmt: skip


class Vector(NamedTuple):
    name: str
    kind: str
    body: bytes
    secret: str
    header: str | None
    expected: bool


def vectors() -> list[Vector]:
    path = Path(__file__).parents[2] / "data" / "signature-vectors.json"
    cases = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    return [
        Vector(
            case["name"],
            case["kind"],
            base64.b64decode(case["body_b64"]),
            case["secret"],
            case["header"],
            case["expected"],
        )
        for case in cases
    ]


def accepts(body: Any, signature: Any, secrets: Any) -> bool:
    try:
        verify(body, signature, secrets)
    except SignatureError:
        return False
    return True


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector.name)
def test_each_vector_gets_its_answer(vector: Vector) -> None:
    # A quirk is what Node lets through after a good signature; we are strict and refuse it.
    expected = vector.expected and vector.kind != "quirk"
    assert accepts(vector.body, vector.header, vector.secret) is expected


def test_the_vectors_are_all_there() -> None:
    kinds = [(vector.kind, vector.expected) for vector in vectors()]
    assert len(kinds) >= 45
    assert set(kinds) == {("must", True), ("must", False), ("compat", True), ("quirk", True)}


def test_the_header_has_its_name() -> None:
    assert HEADER == "X-Dispatch-Signature"


def test_sign_makes_what_the_sender_makes() -> None:
    assert sign(BODY, SECRET) == GOOD


def test_a_good_signature_is_let_through() -> None:
    verify(BODY, GOOD, SECRET)
    verify(BODY, GOOD, [SECRET])


def test_the_hex_may_be_of_either_case_and_the_prefix_may_not() -> None:
    verify(BODY, "sha256=" + GOOD[7:].upper(), SECRET)
    assert not accepts(BODY, "SHA256=" + GOOD[7:], SECRET)


@pytest.mark.parametrize("secrets", [["new", SECRET], [SECRET, "old"], ("a", SECRET, "b")])
def test_any_one_of_several_secrets_will_do(secrets: list[str]) -> None:
    verify(BODY, GOOD, secrets)


def test_no_secret_of_several_fits() -> None:
    with pytest.raises(SignatureError, match=r"^the signature does not match$"):
        verify(BODY, GOOD, ["new", "old"])


def test_every_secret_is_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def spy(a: str, b: str) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    verify(BODY, GOOD, [SECRET, "old"])
    assert compared == [(GOOD[7:], GOOD[7:]), (sign(BODY, "old")[7:], GOOD[7:])]


@pytest.mark.parametrize("secrets", ["", " ", "\t\n", [""], [SECRET, ""], ["", SECRET], [" "]])
def test_a_blank_secret_refuses_whatever_stands_beside_it(secrets: Any) -> None:
    with pytest.raises(SignatureError, match=r"^a secret is blank, or cannot be written in UTF-8$"):
        verify(BODY, GOOD, secrets)


@pytest.mark.parametrize("blank", ["", " "])
def test_a_signature_made_with_a_blank_key_is_refused(blank: str) -> None:
    forged = "sha256=" + hmac.new(blank.encode(), BODY, hashlib.sha256).hexdigest()
    assert not accepts(BODY, forged, blank)
    assert not accepts(BODY, forged, [SECRET, blank])


@pytest.mark.parametrize("secrets", [[], (), None, 0, 1, {}, {SECRET: 1}, {SECRET}, iter([SECRET])])
def test_no_configured_secret_refuses(secrets: Any) -> None:
    with pytest.raises(SignatureError, match=r"^no secret is configured$"):
        verify(BODY, GOOD, secrets)


@pytest.mark.parametrize(
    "secrets", [SECRET.encode(), [SECRET.encode()], [None], [SECRET, None], [[SECRET]], [1]]
)
def test_a_secret_that_is_not_text_refuses(secrets: Any) -> None:
    with pytest.raises(SignatureError, match=r"^a secret is not text$"):
        verify(BODY, GOOD, secrets)


@pytest.mark.parametrize("signature", [None, b"", GOOD.encode(), 1, [GOOD], {}, object()])
def test_a_signature_that_is_not_text_is_refused(signature: Any) -> None:
    with pytest.raises(SignatureError, match=r"^there is no signature$"):
        verify(BODY, signature, SECRET)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        GOOD[7:],
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD[:-1],
        GOOD.replace("sha256=", "sha512="),
        GOOD[:-1] + "é",
        GOOD[:-1] + "\ud800",
        "sha256=" + "\u212a" * 64,
        f"{GOOD}, {GOOD}",
    ],
)
def test_a_signature_of_another_form_is_refused(signature: str) -> None:
    with pytest.raises(SignatureError, match=r"^the signature is not of the form sha256=<64 hex"):
        verify(BODY, signature, SECRET)


@pytest.mark.parametrize("body", [None, "", BODY.decode(), bytearray(BODY), memoryview(BODY), 1])
def test_a_body_that_is_not_bytes_is_refused(body: Any) -> None:
    with pytest.raises(SignatureError, match=r"^the body is not bytes$"):
        verify(body, GOOD, SECRET)


def test_the_key_is_the_whole_secret_in_utf_8() -> None:
    secret = "whsec_sécrèt🔑"
    verify(BODY, "sha256=" + hmac.new(secret.encode(), BODY, "sha256").hexdigest(), secret)


def test_a_secret_is_not_trimmed() -> None:
    assert sign(BODY, f" {SECRET} ") != GOOD
    verify(BODY, sign(BODY, f" {SECRET} "), f" {SECRET} ")


def test_a_secret_is_not_used_for_another() -> None:
    for number in range(300):  # more than any memory of prepared keys holds
        secret = f"secret {number}"
        verify(BODY, "sha256=" + hmac.new(secret.encode(), BODY, "sha256").hexdigest(), secret)
        assert not accepts(BODY, GOOD, secret)
    verify(BODY, GOOD, SECRET)


def test_signing_one_body_leaves_nothing_behind_for_the_next() -> None:
    assert sign(BODY, SECRET) == sign(BODY, SECRET) != sign(b"other", SECRET)


def everything_of(error: BaseException) -> str:
    """All that a log or an error tracker could show: messages, causes, contexts, tracebacks."""
    text = ""
    found: BaseException | None = error
    while found is not None:
        text += "".join(traceback.format_exception(found, chain=False)) + repr(found)
        found = found.__cause__ or found.__context__
    return text


@pytest.mark.parametrize("secret", ["hidden\ud800", "hidden"])
def test_an_error_shows_neither_secret_nor_signature(secret: str) -> None:
    with pytest.raises(SignatureError) as caught:
        verify(BODY, GOOD, secret)
    shown = everything_of(caught.value)
    assert "hidden" not in shown
    assert GOOD[7:] not in shown


def test_sign_names_the_argument_it_cannot_use() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        sign("text", SECRET)  # type: ignore[arg-type]
    assert caught.value.argument == "body"
    assert str(caught.value) == "body: sign the raw bytes that are sent"


@pytest.mark.parametrize("secret", ["", "  ", "hidden\ud800", None, b"hidden", 1])
def test_sign_refuses_a_secret_that_verify_would_refuse(secret: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^secret: a secret is ") as caught:
        sign(BODY, secret)
    assert caught.value.argument == "secret"
    assert "hidden" not in str(caught.value)


@given(body=st.binary(), secret=st.text(st.characters(codec="utf-8"), min_size=1))
def test_what_is_signed_verifies_and_has_the_form(body: bytes, secret: str) -> None:
    if not secret.encode().strip():
        return
    signature = sign(body, secret)
    assert re.fullmatch(r"sha256=[0-9a-f]{64}", signature)
    verify(body, signature, secret)
    assert not accepts(body + b" ", signature, secret)


@given(body=anything, signature=anything, secrets=st.one_of(anything, st.lists(anything)))
def test_nothing_but_a_signature_error_comes_out(body: Any, signature: Any, secrets: Any) -> None:
    assert not accepts(body, signature, secrets)


@given(signature=st.text())
def test_no_text_but_the_signature_is_let_through(signature: str) -> None:
    assert not accepts(BODY, signature, SECRET)
    assert not accepts(BODY, "sha256=" + signature, SECRET)


@given(position=st.integers(0, 70), character=st.characters())
def test_one_other_character_is_refused(position: int, character: str) -> None:
    changed = GOOD[:position] + character + GOOD[position + 1 :]
    same = changed[:7] == "sha256=" and changed.isascii() and changed.lower() == GOOD
    assert accepts(BODY, changed, SECRET) is same
