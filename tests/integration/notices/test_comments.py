"""Notices as comments on a ticket, through a real Dispatch stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatch_returns import DispatchClient, sandbox
from dispatch_returns.errors import ConfigurationError, NoticeError
from dispatch_returns.workflow import notices
from dispatch_returns.workflow.notices.notice import Notice, NoticeKind
from dispatch_returns.workflow.notices.samples import sample


@pytest.fixture
def box() -> Iterator[sandbox.Sandbox]:
    with sandbox.running() as box:
        yield box


@pytest.fixture
def client(box: sandbox.Sandbox) -> Iterator[DispatchClient]:
    with DispatchClient(
        sandbox.API_KEY, sandbox.WORKSPACE, base_url=box.api_url, max_retries=0
    ) as client:
        yield client


def notice_about(ticket_id: str) -> Notice:
    found = sample(NoticeKind.APPROVED, "de")
    return Notice(found.key, found.kind, ticket_id, found.language, found.facts)


def test_a_notice_is_one_public_comment(box: sandbox.Sandbox, client: DispatchClient) -> None:
    ticket = client.tickets.create(subject="Return")
    (notifier,) = notices.load(["comments"], client, smtp={}, shop="Acme")
    notice = notice_about(ticket.id)
    notifier.send(notice)
    notifier.send(notice, again=True)
    box.state.faults.add(sandbox.FaultRule("api", "status", match={"method": "POST"}))
    other = Notice("other", notice.kind, ticket.id, "en", notice.facts)
    with pytest.raises(NoticeError) as caught:
        notifier.send(other)
    assert caught.value.retryable
    box.state.faults.clear()
    notifier.send(other, again=True)
    german, english = client.comments.list(ticket.id)
    assert "Ihre Rücksendung zur Bestellung 1234 ist genehmigt" in german.body
    assert "€149.00" in english.body
    assert german.metadata == {"dispatch_returns": notice.key}


def test_a_ticket_that_is_gone_is_not_asked_for_again(client: DispatchClient) -> None:
    (notifier,) = notices.load(["comments"], client, smtp={})
    with pytest.raises(NoticeError) as caught:
        notifier.send(notice_about("tkt_gone"))
    assert not caught.value.retryable


def test_a_notifier_that_is_none_is_named(client: DispatchClient) -> None:
    with pytest.raises(ConfigurationError, match="no notifier pigeons: use comments, smtp or both"):
        notices.load(["comments", "pigeons"], client, smtp={})
    with pytest.raises(ConfigurationError, match="SMTP_HOST: is not set"):
        notices.load(["smtp"], client, smtp={})
    assert notices.load([], client, smtp={}) == ()
