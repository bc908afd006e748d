"""Notifications as e-mail, through a real SMTP server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.errors import ConfigurationError, NotificationError
from dispatch_returns.plugins.options import named_by_variable, read_options
from dispatch_returns.returns.notifications.notification import (
    NotificationAttachment,
    NotificationKind,
    sample,
)
from dispatch_returns.returns.notifications.rendering import Templates
from dispatch_returns.returns.notifications.smtp import SmtpNotifier, SmtpOptions
from tests.support.mail_server import PASSWORD, USER, Mailbox, certificate, mail_server
from tests.support.ports import free_port

NOTIFICATION = sample(NotificationKind.LABEL_SENT, "de")


def notifier(number: int, **options: str) -> SmtpNotifier:
    given = {
        "host": "localhost",
        "port": str(number),
        "from": "Acme Rücksendungen <returns@acme.example>",
        "security": "none",
        "timeout": "5",
    }
    found = read_options(SmtpOptions, "smtp", given | options)
    with named_by_variable(SmtpOptions, "smtp"):
        return SmtpNotifier.from_options(found, Templates(shop="Acme"))


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


def test_a_notification_is_one_mail_in_text_and_html_with_its_file(box: Mailbox) -> None:
    label = NotificationAttachment("Etikett ü.pdf", "application/pdf", b"%PDF-1.4")
    notifier(box.port, reply_to="help@acme.example").send(
        replace(NOTIFICATION, attachments=(label,))
    )
    (mail,) = box.mails
    assert box.recipients == ["jane@example.com"]
    assert mail["from"] == "Acme Rücksendungen <returns@acme.example>"
    assert mail["to"] == "Jane Doe <jane@example.com>"
    assert mail["subject"] == "Ihr Rücksendeetikett ist da"
    assert mail["reply-to"] == "help@acme.example"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail["date"] is not None
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "14. Februar 2026" in text.get_content()
    assert '<html lang="de">' in html.get_content()
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("Etikett ü.pdf", b"%PDF-1.4")


def test_the_same_key_has_the_same_message_id(box: Mailbox) -> None:
    sender = notifier(box.port)
    sender.send(NOTIFICATION)
    sender.send(NOTIFICATION, again=True)
    sender.send(replace(NOTIFICATION, key="another"))
    first, again, other = (mail["message-id"] for mail in box.mails)
    assert first == again != other
    assert first.endswith("@acme.example>")


@pytest.mark.parametrize("field", ["name", "subject", "file"])
def test_no_header_can_be_slipped_in(field: str, box: Mailbox) -> None:
    evil = "x\r\nBcc: evil@example.com\r\n\r\nbody"
    notification = sample(NotificationKind.REJECTED, "en")
    if field == "name":
        notification = replace(notification, name=evil)
    elif field == "subject":
        notification = replace(notification, facts={"order_id": evil})
    else:
        notification = replace(
            notification, attachments=(NotificationAttachment(evil, "text/plain", b"x"),)
        )
    notifier(box.port).send(notification)
    (mail,) = box.mails
    assert box.recipients == ["jane@example.com"]
    assert "bcc" not in mail


@pytest.mark.parametrize(
    "email",
    [None, "", "jane", "jane@", "@example.com", "a@b\r\nBcc: evil@example.com", "a@b.c, d@e.f"],
)
def test_what_is_no_address_is_refused_and_not_shown(email: str | None, box: Mailbox) -> None:
    with pytest.raises(NotificationError, match="address") as caught:
        notifier(box.port).send(replace(NOTIFICATION, email=email))
    assert not caught.value.retryable
    assert "jane" not in str(caught.value)
    assert box.mails == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_it_is_encrypted_and_authenticated(security: str, tmp_path: Path) -> None:
    file = certificate(tmp_path)
    options = {"security": security, "user": USER, "password": PASSWORD, "ca_file": str(file)}
    with mail_server(security, file) as box:
        notifier(box.port, **options).send(NOTIFICATION)
        assert len(box.mails) == 1
        with pytest.raises(NotificationError, match="user and password") as wrong:
            notifier(box.port, **options | {"password": "s3cret-wrong"}).send(NOTIFICATION)
        with pytest.raises(NotificationError, match="SSLCertVerificationError") as untrusted:
            notifier(box.port, **{k: v for k, v in options.items() if k != "ca_file"}).send(
                NOTIFICATION
            )
    for caught in (wrong, untrusted):
        assert caught.value.retryable
        assert "s3cret" not in str(caught.value)
    assert len(box.mails) == 1


def test_without_starttls_nothing_is_sent(box: Mailbox) -> None:
    with pytest.raises(NotificationError, match="does not support it"):
        notifier(box.port, security="starttls").send(NOTIFICATION)
    assert box.mails == []


@pytest.mark.parametrize(
    ("email", "sent_to"),
    [
        ("o'brien+x@Example.COM", "o'brien+x@Example.COM"),
        ("try..this..0511@docomo.ne.jp", "try..this..0511@docomo.ne.jp"),
        ("trailing.@docomo.ne.jp", "trailing.@docomo.ne.jp"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_sent_to_in_the_form_that_every_server_takes(
    email: str, sent_to: str, box: Mailbox
) -> None:
    notifier(box.port).send(replace(NOTIFICATION, email=email))
    assert box.recipients == [sent_to]  # the server takes off the quotes that RFC 5321 wants
    (to,) = box.mails[0]["to"].addresses
    assert f"{to.username}@{to.domain}" == sent_to


@pytest.mark.parametrize(
    "name", ["Ж" * 200, 'A "quoted" <b@c.d> name, Inc. ' + "very long " * 12, "\ud83d half", "\0"]
)
def test_whatever_the_name_is_there_is_one_mailbox(name: str, box: Mailbox) -> None:
    notifier(box.port).send(replace(NOTIFICATION, name=name))
    (to,) = box.mails[0]["to"].addresses
    assert to.addr_spec == "jane@example.com"
    assert len(to.display_name.replace(" ", "")) <= 60


def test_letters_beyond_ascii_before_the_at_need_a_server_that_takes_them() -> None:
    notification = replace(NOTIFICATION, email="jürgen@example.de")
    with mail_server() as box, pytest.raises(NotificationError, match="SMTPUTF8") as caught:
        notifier(box.port).send(notification)
    assert not caught.value.retryable
    with mail_server(utf8=True) as box:
        notifier(box.port).send(notification)
        assert box.recipients == ["jürgen@example.de"]


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        ("451 4.7.1 jane@example.com is greylisted", True),
        ("452 jane@example.com later", True),
        ("550 5.4.5 Daily user sending quota exceeded", True),
        ("550 5.1.90 daily limit for message recipients", True),
        ("550 jane@example.com no", False),
        ("552 5.2.2 mailbox of jane@example.com full", False),
    ],
)
def test_a_refusal_says_whether_it_is_for_good(
    command: str, answer: str, retryable: bool, box: Mailbox
) -> None:
    box.answers[command] = answer
    with pytest.raises(NotificationError, match=answer[:3]) as caught:
        notifier(box.port).send(NOTIFICATION)
    assert caught.value.retryable is retryable
    assert "jane" not in str(caught.value)


def test_a_server_that_is_away_or_silent_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            with pytest.raises(NotificationError, match="did not accept the mail") as caught:
                notifier(port, timeout="0.3").send(NOTIFICATION)
            assert caught.value.retryable


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"security": "ssl"}, "SMTP_SECURITY: must be"),
        ({"from": "nobody"}, "SMTP_FROM: is not an e-mail address"),
        ({"from": ""}, "SMTP_FROM"),
        ({"host": ""}, "SMTP_HOST"),
        ({"port": "mail"}, "SMTP_PORT"),
        ({"timeout": "0"}, "SMTP_TIMEOUT"),
        ({"user": "mailer"}, "set both user and password"),
        ({"user": "mailer", "password": "s3cret"}, "needs encryption"),
        ({"security": "tls", "ca_file": "/nowhere"}, "SMTP_CA_FILE"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        notifier(25, **options)
    assert "s3cret" not in str(caught.value)


def test_its_repr_holds_no_secret() -> None:
    secret: dict[str, Any] = {"user": USER, "password": PASSWORD, "security": "tls"}
    assert repr(notifier(465, **secret)) == (
        "SmtpNotifier(host='localhost', port=465, security='tls')"
    )
