"""The merchant's own functions: called at least once, and in nobody's way."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

import dispatch_sandbox
from dispatch_returns.connector.connector import Context
from dispatch_returns.connector.handlers import Handlers, RefundEventName
from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, inbox
from dispatch_returns.store.inbox import EventState
from dispatch_returns.store.outbox import Message, MessageState
from dispatch_returns.webhooks.events import CommentCreated, TicketUpdated
from tests.support.desk import usd
from tests.support.workshop import EMAIL, Workshop


def handler_messages(store: Store) -> list[Message]:
    from dispatch_returns.store.outbox import _message
    from dispatch_returns.store.schema import outbox

    with store.read() as conn:
        found = conn.execute(outbox.select().where(outbox.c.kind == "handler")).mappings()
        return [_message(row) for row in found]


def test_a_handler_is_called_with_the_event_and_a_context(shop: Workshop) -> None:
    called: list[Any] = []

    @shop.connector.on("ticket.updated")
    def tell_warehouse(event: TicketUpdated, context: Context) -> None:
        called.append((event, context.ticket(), context.client))

    ticket = shop.ticket("item_received")
    event_id = shop.event(ticket.id)
    shop.work()
    ((event, read, client),) = called
    assert isinstance(event, TicketUpdated)
    assert (event.id, event.ticket_id) == (event_id, ticket.id)
    assert (read, client) == (shop.now(ticket), shop.client)
    assert tell_warehouse.__name__ == "tell_warehouse", "the decorator gives the function back"


def test_data_that_cannot_be_read_stops_the_event_and_reaches_no_handler(shop: Workshop) -> None:
    called: list[Any] = []
    shop.connector.on("ticket.updated")(lambda event, _context: called.append(event.data))
    ticket = shop.ticket("refunded")
    shop.event(ticket.id, data={"id": ticket.id, "changes": f"status of {EMAIL}"})
    shop.work()
    with shop.store.read() as conn:
        (event,) = inbox.newest(conn, limit=5)
    assert event.state == EventState.UNREADABLE
    assert event.error == "data.changes is missing, or not what it must be"
    assert called == []


def test_a_handler_is_called_for_its_type_alone(shop: Workshop) -> None:
    called: list[str] = []
    shop.connector.on("comment.created")(lambda event, _context: called.append(event.type))
    ticket = shop.ticket("item_received")
    shop.event(ticket.id)
    shop.event(ticket.id, kind="comment.created")
    shop.work()
    assert called == ["comment.created"]


def test_several_handlers_of_a_type_are_all_called(shop: Workshop) -> None:
    called: list[str] = []

    @shop.connector.on("ticket.updated")
    def one(_event: TicketUpdated, _context: Context) -> None:
        called.append("one")

    @shop.connector.on("ticket.updated")
    @shop.connector.on("comment.created")
    def two(_event: TicketUpdated | CommentCreated, _context: Context) -> None:
        called.append("two")

    shop.event(shop.ticket("item_received").id)
    shop.work()
    assert sorted(called) == ["one", "two"]


def test_one_name_stands_for_one_handler() -> None:
    handlers = Handlers()

    def tell(_event: Any, _context: Context) -> None:
        pass

    handlers.add("ticket.updated", tell)
    handlers.add("comment.created", tell)
    with pytest.raises(InvalidArgumentError, match=r"^handler: .*tell already handles"):
        handlers.add("ticket.updated", tell)
    (name,) = handlers.names("ticket.updated")
    assert name == f"{__name__}.test_one_name_stands_for_one_handler.<locals>.tell"
    assert handlers.get("ticket.updated", name) is tell
    assert handlers.get("ticket.updated", "other") is None
    assert handlers.get("ticket.created", name) is None
    assert handlers.names("ticket.created") == []


def test_a_handler_that_fails_is_called_again_and_blocks_no_refund(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    calls = 0

    @shop.connector.on("ticket.updated")
    def flaky(event: TicketUpdated, _context: Context) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError(f"cannot tell {event.data.customer_email} {EMAIL}")

    ticket = shop.ticket()
    shop.run(ticket)
    assert [r.amount for r in shop.fake.refunds] == [usd("149.00")]
    assert shop.now(ticket).custom_fields["refund_status"] == "succeeded"
    (message,) = handler_messages(shop.store)
    assert (message.state, message.tries) == (MessageState.WAITING, 1)
    assert message.error is not None
    assert "flaky raised ValueError at " in message.error
    assert EMAIL not in message.error
    assert not any(EMAIL in line for line in caplog.messages)
    shop.work(seconds=5)
    shop.work(seconds=10)
    assert calls == 3
    (message,) = handler_messages(shop.store)
    assert message.state is MessageState.DONE
    shop.work(days=1)
    assert calls == 3


def test_a_handlers_exception_reaches_the_error_tracker(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.connector.on("ticket.updated")
    def fails(_event: TicketUpdated, _context: Context) -> None:
        raise ValueError("the warehouse is closed")

    ticket = shop.ticket("item_received")
    shop.run(ticket)
    (record,) = [it for it in caplog.records if it.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the warehouse is closed"
    assert record.__dict__["ticket_id"] == ticket.id


def test_with_the_opt_out_nothing_of_the_exception_is_logged(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Workshop(box, tmp_path, handler_tracebacks=False)

    @shop.connector.on("ticket.updated")
    def fails(_event: TicketUpdated, _context: Context) -> None:
        raise ValueError(f"cannot reach {EMAIL}")

    shop.run(shop.ticket("item_received"))
    shop.close()
    assert "fails raised ValueError at " in caplog.text
    assert EMAIL not in caplog.text


def test_an_async_handler_runs(shop: Workshop) -> None:
    called: list[str] = []

    @shop.connector.on("ticket.updated")
    async def tell(event: TicketUpdated, _context: Context) -> None:
        await asyncio.sleep(0)
        called.append(event.id)

    event_id = shop.event(shop.ticket("item_received").id)
    shop.work()
    assert called == [event_id]
    (message,) = handler_messages(shop.store)
    assert message.state is MessageState.DONE


def test_an_async_handler_runs_where_a_loop_runs_already(shop: Workshop) -> None:
    called: list[str] = []

    @shop.connector.on("ticket.updated")
    async def tell(event: TicketUpdated, _context: Context) -> None:
        called.append(event.id)

    async def main() -> None:
        shop.work()

    event_id = shop.event(shop.ticket("item_received").id)
    asyncio.run(main())
    assert called == [event_id]


def test_an_async_handler_that_raises_is_called_again(shop: Workshop) -> None:
    @shop.connector.on("ticket.updated")
    async def tell(_event: TicketUpdated, _context: Context) -> None:
        raise ValueError

    shop.run(shop.ticket("item_received"))
    (message,) = handler_messages(shop.store)
    assert message.state is MessageState.WAITING
    assert "tell raised ValueError at " in (message.error or "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("refund.suceeded", "did you mean refund.succeeded?"),
        ("ticket.update", "did you mean ticket.updated?"),
        ("refund.requested", "did you mean refund."),
        ("*", "they are ticket.created, ticket.updated, "),
    ],
)
def test_an_event_that_does_not_exist_is_refused(shop: Workshop, name: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"event_type: .*{re.escape(said)}"):
        shop.connector.on(name)


def test_every_state_a_refund_is_told_in_has_its_event() -> None:
    states = {f"refund.{state}" for state in State}
    assert set(get_args(RefundEventName)) == states - {"refund.requested", "refund.sending"}


@pytest.mark.parametrize("sent", ["comment.created", "ticket.comment.created"])
def test_a_comments_event_is_the_same_under_both_its_names(shop: Workshop, sent: str) -> None:
    called: list[str] = []
    shop.connector.on("ticket.comment.created")(lambda event, _: called.append(event.type))
    shop.event(shop.ticket("item_received").id, kind=sent)
    shop.work()
    assert called == [sent]


def test_a_handler_whose_worker_dies_is_called_again(shop: Workshop) -> None:
    class Dies(BaseException):
        pass

    calls = 0

    @shop.connector.on("ticket.updated")
    def dies_once(_event: TicketUpdated, _context: Context) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Dies

    shop.event(shop.ticket("item_received").id)
    with pytest.raises(Dies):
        shop.work()
    shop.work(minutes=3)
    assert calls == 2


def test_an_event_put_off_calls_its_handlers_when_it_is_dealt_with(shop: Workshop) -> None:
    called: list[str] = []
    shop.connector.on("ticket.updated")(lambda event, _context: called.append(event.id))
    ticket = shop.ticket("item_received")
    shop.fault(status=503)
    shop.event(ticket.id)
    shop.work()
    assert called == []
    shop.work(seconds=5)
    assert len(called) == 1


def test_a_handler_the_program_has_no_more_is_let_go(
    shop: Workshop, box: dispatch_sandbox.Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @shop.connector.on("ticket.updated")
    def old(_event: TicketUpdated, _context: Context) -> None:
        raise AssertionError("this is the old program")

    shop.event(shop.ticket("item_received").id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    shop.connector.messenger._handlers = Handlers()
    shop.work()
    (message,) = handler_messages(shop.store)
    assert message.state is MessageState.DONE
    assert any("old does not exist any more" in line for line in caplog.messages)


def test_a_context_without_a_ticket_says_so(shop: Workshop) -> None:
    with pytest.raises(InvalidArgumentError, match="not about a ticket"):
        Context(shop.client, None).ticket()


@pytest.mark.parametrize("wrong", [lambda event: None, lambda: None])
def test_a_function_of_another_shape_fails_as_a_handler_does(
    shop: Workshop, wrong: Callable[..., None]
) -> None:
    shop.connector.on("ticket.updated")(wrong)
    ticket = shop.ticket()
    shop.run(ticket)
    assert len(shop.fake.refunds) == 1
    (message,) = handler_messages(shop.store)
    assert message.state is MessageState.WAITING
    assert "raised TypeError at " in (message.error or "")
