"""The words of notifications: complete in each language, safe in HTML, and never in the way."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from dispatch_returns.errors import ConfigurationError, NotificationError
from dispatch_returns.money import Money
from dispatch_returns.returns.notifications.notification import (
    NotificationItem,
    NotificationKind,
    every_case,
    sample,
)
from dispatch_returns.returns.notifications.rendering import Templates

REFUNDED = sample(NotificationKind.REFUNDED, "en")


def overriding(folder: Path, name: str, text: str) -> Templates:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return Templates(shop="Acme", folder=folder)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("kind", NotificationKind)
def test_every_kind_is_said_in_every_language(kind: NotificationKind, language: str) -> None:
    for notification in every_case(kind, language):
        message = Templates(shop="Acme").render_strictly(notification)
        assert message.language == language
        assert message.subject
        for said in (message.subject, message.text, message.html):
            assert "None" not in said
            assert "{" not in said.replace("{%", "{")
        assert "\n\n\n" not in message.text
        assert "Acme" in message.text
        assert f'lang="{language}"' in message.html


def test_the_languages_differ_in_every_kind() -> None:
    for kind in NotificationKind:
        english, german = (Templates().render(sample(kind, it)) for it in ("en", "de"))
        assert english.subject != german.subject
        assert english.text != german.text


@pytest.mark.parametrize(
    ("language", "amount", "day"),
    [("en", "€149.00", "February 14, 2026"), ("de-AT", "149,00\xa0€", "14. Februar 2026")],
)
def test_amounts_and_dates_are_the_languages_own(language: str, amount: str, day: str) -> None:
    facts = {"amount": Money(14900, "EUR"), "expires_on": date(2026, 2, 14)}
    message = Templates().render(replace(REFUNDED, language=language, facts=facts))
    assert amount in message.text
    assert amount in message.html
    assert day in message.html


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Money(500, "JPY", 0), "¥500"),
        (Money(1234, "KWD", 3), "KWD1.234"),
        (Money(10050, "ISK"), "ISK100.5"),
        (Money(123456789, "USD"), "$1,234,567.89"),
    ],
)
def test_no_amount_is_rounded(amount: Money, shown: str) -> None:
    assert shown in Templates().render(replace(REFUNDED, facts={"amount": amount})).text


@pytest.mark.parametrize("language", ["fr", "", "xx-YY", "../en"])
def test_a_language_we_do_not_speak_is_english(language: str) -> None:
    assert Templates().render(replace(REFUNDED, language=language)).language == "en"


def test_what_a_customer_wrote_is_no_html() -> None:
    facts = {"items": [NotificationItem("<script>alert(1)</script>")], "reason": "<b>&"}
    notification = replace(
        sample(NotificationKind.REQUESTED, "en"), name="<img src=x>", facts=facts
    )
    message = Templates(shop="<i>Acme").render(notification)
    assert "<script>" not in message.html
    assert "<img" not in message.html
    assert "<i>Acme" not in message.html
    assert "- 1 \N{MULTIPLICATION SIGN} <script>alert(1)</script>" in message.text


def test_a_line_break_in_a_fact_makes_no_second_line_of_the_subject() -> None:
    notification = replace(
        sample(NotificationKind.REJECTED, "en"), facts={"order_id": "1\nBcc: all"}
    )
    assert "\n" not in Templates().render(notification).subject


def test_one_file_replaces_one_template_of_one_language(tmp_path: Path) -> None:
    templates = overriding(
        tmp_path, "en/refunded.txt", "Paid: {{ amount | money }}\n\nBy {{ shop }}."
    )
    message = templates.render(REFUNDED)
    assert (message.subject, message.text) == ("Paid: €149.00", "By Acme.\n")
    assert "Paid: €149.00" in message.html
    assert templates.render(replace(REFUNDED, language="de")).subject == "Ihr Geld ist unterwegs"
    assert (
        templates.render(sample(NotificationKind.EXPIRED, "en")).subject == "Your return has ended"
    )


def test_an_html_file_replaces_the_page(tmp_path: Path) -> None:
    templates = overriding(tmp_path, "en/refunded.html", "<p>{{ name }} {{ amount | money }}</p>")
    message = templates.render(replace(REFUNDED, name="<Jane>"))
    assert message.html == "<p>&lt;Jane&gt; €149.00</p>"
    assert message.subject == "Your refund is on its way"


def test_a_folder_is_a_new_language(tmp_path: Path) -> None:
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "words.toml").write_text(
        'return_number = "Retour"\norder = "Commande"\namount = "Montant"\nsend_by = "Avant"\n'
    )
    templates = overriding(tmp_path, "fr/refunded.txt", "Remboursé\n\n{{ amount | money }}")
    message = templates.render(replace(REFUNDED, language="fr-CA"))
    assert message.text == "149,00\xa0€\n"
    assert "Commande" in message.html


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Hi\n\n{{ amuont | money }}", "en/refunded: 'amuont' is undefined; use one of order_id"),
        ("Hi\n\n{% if %}", "en/refunded.txt, line 3: "),
        ("Hi\n\n{{ 1 / 0 }}", "en/refunded failed (ZeroDivisionError)"),
        ("only a subject", "en/refunded failed (ValueError: the first line is the subject"),
        ("Hi\n\n{% include 'en/nothing.txt' %}", "en/nothing.txt does not exist"),
    ],
)
def test_a_mistake_is_an_error_when_looked_at_and_no_crash_when_sent(
    text: str, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    templates = overriding(tmp_path, "en/refunded.txt", text)
    with pytest.raises(NotificationError) as caught:
        templates.render_strictly(REFUNDED)
    assert says in str(caught.value)
    assert not caught.value.retryable
    with caplog.at_level(logging.ERROR):
        assert templates.render(REFUNDED).subject == "Your refund is on its way"
    assert says in caplog.text
    assert "Jane" not in caplog.text


def test_a_fact_of_the_wrong_type_ends_in_one_error() -> None:
    with pytest.raises(NotificationError, match="en/refunded failed") as caught:
        Templates().render(replace(REFUNDED, facts={"amount": "secret"}))
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="/nowhere"):
        Templates(folder="/nowhere")


def test_a_message_shows_nothing_of_a_customer() -> None:
    assert repr(Templates().render(REFUNDED)) == "RenderedNotification(language='en')"
