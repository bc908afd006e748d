"""Notifications as comments on a ticket, through a real Dispatch stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import dispatch_sandbox
from dispatch_returns import DispatchClient
from dispatch_returns.errors import ConfigurationError, NotFoundError, NotificationError
from dispatch_returns.returns import notifications
from dispatch_returns.returns.notifications.notification import (
    Notification,
    NotificationKind,
    sample,
)
from tests.support.mail_server import mail_server


@pytest.fixture
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        yield box


@pytest.fixture
def client(box: dispatch_sandbox.Sandbox) -> Iterator[DispatchClient]:
    with DispatchClient(
        dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url, max_retries=0
    ) as client:
        yield client


def notification_about(ticket_id: str) -> Notification:
    found = sample(NotificationKind.APPROVED, "de")
    return Notification(found.key, found.kind, ticket_id, found.language, found.facts)


def test_a_notification_is_one_public_comment(
    box: dispatch_sandbox.Sandbox, client: DispatchClient
) -> None:
    ticket = client.tickets.create(subject="Return")
    notifier = notifications.load(["comments"], client, smtp={}, shop="Acme")
    assert notifier is not None
    notification = notification_about(ticket.id)
    notifier.send(notification)
    notifier.send(notification, again=True)
    box.state.faults.add(dispatch_sandbox.FaultRule("api", "status", match={"method": "POST"}))
    other = Notification("other", notification.kind, ticket.id, "en", notification.facts)
    with pytest.raises(NotificationError) as caught:
        notifier.send(other)
    assert caught.value.retryable
    box.state.faults.clear()
    notifier.send(other, again=True)
    german, english = client.comments.list(ticket.id)
    assert "Ihre Rücksendung zur Bestellung 1234 ist genehmigt" in german.body
    assert "€149.00" in english.body
    assert german.metadata == {"dispatch_returns": notification.key}


def test_a_ticket_that_is_not_found_is_left_to_who_delivers(client: DispatchClient) -> None:
    notifier = notifications.load(["comments"], client, smtp={})
    assert notifier is not None
    with pytest.raises(NotFoundError):  # one 404 is no answer: the messenger decides
        notifier.send(notification_about("tkt_gone"))


def test_a_notifier_that_is_none_is_named(client: DispatchClient) -> None:
    with pytest.raises(
        ConfigurationError, match="unknown notifier pigeons: use comments, smtp or both"
    ):
        notifications.load(["comments", "pigeons"], client, smtp={})
    with pytest.raises(ConfigurationError, match="SMTP_HOST: is not set"):
        notifications.load(["smtp"], client, smtp={})
    assert notifications.load([], client, smtp={}) is None


def test_a_comment_comes_before_the_mail_so_that_no_mail_is_sent_twice(
    box: dispatch_sandbox.Sandbox, client: DispatchClient
) -> None:
    ticket = client.tickets.create(subject="Return")
    with mail_server() as mailbox:
        smtp = {
            "host": "127.0.0.1",
            "port": str(mailbox.port),
            "from": "returns@acme.example",
            "security": "none",
        }
        both = notifications.load(["smtp", "comments"], client, smtp=smtp)
        assert both is not None
        assert both.name == "comments+smtp"
        notification = replace(notification_about(ticket.id), email="jane@example.com")
        box.state.faults.add(dispatch_sandbox.FaultRule("api", "status", match={"method": "POST"}))
        with pytest.raises(NotificationError):
            both.send(notification)
        assert mailbox.mails == []
        mailbox.answers["DATA"] = "451 later"
        with pytest.raises(NotificationError):
            both.send(notification, again=True)
        mailbox.answers.clear()
        both.send(notification, again=True)
        assert len(mailbox.mails) == 1
        assert len(client.comments.list(ticket.id)) == 1
        with pytest.raises(NotFoundError):
            both.send(replace(notification, ticket_id="tkt_gone", key="other"))
        assert len(mailbox.mails) == 1
        both.close()
