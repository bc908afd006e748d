"""What reaches the ticket: the whole map of fields, each comment once, whatever crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import AdapterError, APIConnectionError, ErrorKind, ValidationError
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store.outbox import MessageState
from tests.support.desk import usd
from tests.support.lossy_answers import Lossy
from tests.support.workshop import EMAIL, Workshop


@pytest.fixture(params=["merge", "replace"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop at an API that merges custom fields, and at one that replaces them."""
    state = dispatch_sandbox.SandboxState(custom_fields=request.param)
    with dispatch_sandbox.running(state=state) as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in ("refunded", "needs_review"):
                client.statuses.create(key=key, name=key)
        shop = Workshop(box, tmp_path)
        yield shop
        shop.close()


def test_the_tickets_own_fields_stay_whatever_the_api_does(either: Workshop) -> None:
    ticket = either.ticket(condition="good", original_order_total=149, items=["SKU-1"])
    either.run(ticket)
    fields = either.now(ticket).custom_fields
    assert fields == ticket.custom_fields | {
        "refund_id": fields["refund_id"],
        "refund_status": "succeeded",
    }
    assert fields["refund_amount"] == 149


def seen(shop: Workshop, method: str) -> list[Any]:
    """Return a list that grows with the calls of a kind."""
    calls: list[Any] = []
    resource, name = method.split(".")
    owner = getattr(shop.client, resource)
    call = getattr(owner, name)

    def watched(*args: Any, **given: Any) -> Any:
        calls.append((args, given))
        return call(*args, **given)

    setattr(owner, name, watched)
    owner.with_options = lambda **_: owner
    return calls


def test_the_whole_map_is_sent_and_only_when_something_differs(shop: Workshop) -> None:
    ticket = shop.ticket(condition="good")
    updates = seen(shop, "tickets.update")
    shop.run(ticket)
    ((_, given),) = updates
    assert set(given) == {"custom_fields"}
    assert set(given["custom_fields"]) == {*ticket.custom_fields, "refund_id", "refund_status"}
    shop.fake.set_status(shop.fake.refunds[0].processor_id, RefundStatus.SUCCEEDED)
    shop.work(hours=2)
    assert len(updates) == 1


def test_a_write_back_whose_answer_was_lost_is_not_sent_again_over_a_persons_change(
    shop: Workshop,
) -> None:
    ticket = shop.ticket(refund_amount=None)  # held, so that the status is set back
    answers = Lossy(shop, lambda: shop.set(ticket, "rejected"))
    shop.run(ticket)
    shop.work(minutes=1)
    answers.hang_up()
    assert answers.lost == 1
    assert shop.now(ticket).status == "rejected"
    assert shop.now(ticket).custom_fields["refund_status"] == "held"


def test_a_change_refused_for_its_status_keeps_what_a_person_wrote_meanwhile(
    shop: Workshop,
) -> None:
    ticket = shop.ticket(refund_amount=None)
    update = shop.client.tickets.update

    def refused_once(ticket_id: str, **given: Any) -> Any:
        owner.update = update
        shop.set(ticket, condition="damaged")
        raise ValidationError("no such status", status_code=422)

    owner = shop.client.tickets
    owner.update = refused_once
    owner.with_options = lambda **_: owner  # type: ignore[method-assign]
    shop.run(ticket)
    assert shop.now(ticket).custom_fields["condition"] == "damaged"
    assert shop.now(ticket).custom_fields["refund_status"] == "held"


def test_the_banks_number_reaches_the_ticket(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.run(ticket)
    paid = shop.fake.refunds[0].processor_id
    shop.fake.set_status(paid, RefundStatus.SUCCEEDED, arn="7498")
    shop.work(hours=2)
    assert shop.now(ticket).custom_fields["refund_arn"] == "7498"
    assert len(shop.comments(ticket)) == 1


def test_a_refund_that_fails_later_takes_the_ticket_back(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.run(ticket)
    paid = shop.fake.refunds[0].processor_id
    shop.fake.set_status(paid, RefundStatus.FAILED, failure_reason="declined")
    shop.work(hours=2)
    told = shop.now(ticket)
    assert (told.status, told.custom_fields["refund_status"]) == ("needs_review", "failed")
    comment, note = shop.comments(ticket)
    assert (comment.internal, note.internal) == (False, True)
    assert "The processor says: declined." in note.body


def test_a_refund_canceled_at_the_processor_takes_the_ticket_back(shop: Workshop) -> None:
    shop.fake.first_status = RefundStatus.CANCELED
    ticket = shop.ticket()
    shop.run(ticket)
    assert shop.now(ticket).status == "needs_review"


def test_a_person_who_cancels_takes_the_ticket_back(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = Workshop(box, tmp_path, kill_switch=True)
    ticket = shop.ticket()
    shop.run(ticket)
    refund = shop.refund(ticket)
    assert refund is not None
    actions.cancel(shop.connector.refunds, refund.id, who="Ann")
    shop.work()
    told = shop.now(ticket)
    assert (told.status, told.custom_fields["refund_status"]) == ("needs_review", "canceled")
    shop.close()


def test_an_outcome_that_is_still_looked_up_leaves_the_status_alone(shop: Workshop) -> None:
    ticket = shop.ticket(refund_amount=None)
    shop.fault(match={"method": "PATCH"})
    shop.run(ticket)  # held; the write-back waits
    shop.set(ticket, refund_amount=149)
    shop.fake.fail_next("lost_response")
    shop.event(ticket.id)
    for queue in (it for it in shop.connector.queues if it.name in {"events", "refunds"}):
        for item in queue.claim(9):
            queue.run(item)
    shop.fake.fail_next(AdapterError(ErrorKind.AUTH, "the key is wrong"), call="find")
    shop.work(seconds=5)
    refund = shop.refund(ticket)
    assert refund is not None
    assert refund.state is State.UNKNOWN
    assert shop.now(ticket).status == "refunded"
    assert shop.now(ticket).custom_fields["refund_status"] == "unknown"
    shop.work(minutes=1)
    told = shop.now(ticket)
    assert (told.status, told.custom_fields["refund_status"]) == ("refunded", "succeeded")


def test_a_dry_run_touches_no_ticket(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> None:
    shop = Workshop(box, tmp_path, dry_run=True)
    ticket = shop.ticket()
    before = shop.now(ticket)
    shop.run(ticket)
    assert shop.now(ticket) == before
    assert shop.comments(ticket) == []
    shop.close()


def test_a_ticket_that_somebody_moved_on_keeps_its_status(shop: Workshop) -> None:
    ticket = shop.ticket(refund_amount=None)
    shop.fault(match={"method": "PATCH"})
    shop.run(ticket)
    shop.set(ticket, "open")
    shop.work(minutes=1)
    told = shop.now(ticket)
    assert (told.status, told.custom_fields["refund_status"]) == ("open", "held")


# The workspace lacks something.


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Workshop]:
    """A workshop at a workspace without a status for review."""
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            client.statuses.create(key="refunded", name="Refunded")
        shop = Workshop(box, tmp_path)
        yield shop
        shop.close()


def test_without_the_status_for_review_the_fields_and_the_note_still_arrive(
    bare: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = bare.ticket(refund_amount=None)
    bare.run(ticket)
    told = bare.now(ticket)
    assert (told.status, told.custom_fields["refund_status"]) == ("refunded", "held")
    assert len(bare.comments(ticket)) == 1
    assert f"ticket {ticket.id} cannot be changed: run setup" in caplog.messages
    refused = [m for m in bare.messages() if m.state is MessageState.REFUSED]
    assert [m.kind for m in refused] == ["ticket"]
    assert "status" in (refused[0].error or "")


def test_without_the_status_for_review_the_write_back_is_no_loop(bare: Workshop) -> None:
    ticket = bare.ticket(refund_amount=None)
    bare.run(ticket)
    for kind in ("ticket.updated", "comment.created") * 2:
        bare.event(ticket.id, kind=kind)
        assert bare.work() == 1
    assert len(bare.comments(ticket)) == 1


def test_fields_that_are_refused_do_not_keep_back_the_status(shop: Workshop) -> None:
    ticket = shop.ticket(refund_amount=None)
    for _ in range(2):
        shop.fault(match={"method": "PATCH"}, status=422)
    shop.run(ticket)
    assert shop.now(ticket).status == "needs_review"
    assert "refund_status" not in shop.now(ticket).custom_fields


# Faults on the way, and crashes.


@pytest.mark.parametrize(
    ("method", "said"), [("PATCH", "OutcomeUnknownError"), ("POST", "ServerError")]
)
def test_while_the_api_is_down_a_message_waits_ever_longer(
    shop: Workshop, caplog: pytest.LogCaptureFixture, method: str, said: str
) -> None:
    ticket = shop.ticket()
    shop.fault(times=2, status=503, match={"method": method})
    shop.run(ticket)
    (waiting,) = [m for m in shop.messages() if m.state is MessageState.WAITING]
    assert waiting.tries == 1
    assert waiting.due_at is not None
    assert 2.5 <= (waiting.due_at - shop.clock()).total_seconds() <= 5
    assert waiting.error is not None
    assert f"message {waiting.id} is postponed: {said}" in caplog.messages
    shop.work(seconds=5)
    shop.work(seconds=10)
    assert [m.state for m in shop.messages()] == [MessageState.DONE] * 2
    assert shop.now(ticket).custom_fields["refund_status"] == "succeeded"
    assert len(shop.comments(ticket)) == 1


def test_a_ticket_that_was_deleted_is_told_nothing_more(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ticket()
    shop.event(ticket.id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    shop.client.tickets.delete(ticket.id)
    shop.event(ticket.id, kind="ticket.deleted")
    shop.work()
    assert [m.state for m in shop.messages()] == [MessageState.REFUSED] * 2
    assert all("was deleted" in (m.error or "") for m in shop.messages())
    assert any("was refused: TicketDeletedError" in line for line in caplog.messages)
    assert len(shop.fake.refunds) == 1


def test_one_404_keeps_no_note_from_a_held_refund(shop: Workshop) -> None:
    ticket = shop.ticket(payment_intent=None)
    shop.event(ticket.id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    shop.fault(times=2, status=404)
    shop.work()
    assert shop.comments(ticket) == []
    shop.work(minutes=1)
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.comments(ticket)) == 1


def test_a_note_that_found_no_ticket_for_a_day_is_said_in_the_log_and_written_another_time(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ticket(payment_intent=None)
    shop.event(ticket.id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    shop.fault(times=999, status=404)
    for _ in range(30):
        shop.work(hours=1)
    assert [m.state for m in shop.messages()] == [MessageState.UNDELIVERED] * 2
    assert sum("was not delivered" in line for line in caplog.messages) == 2
    shop.box.state.faults.clear()
    shop.run(ticket)
    assert shop.now(ticket).status == "needs_review"
    assert len(shop.comments(ticket)) == 1


def lose_the_answer(shop: Workshop, method: str) -> None:
    """Let the next call take effect, and its answer not arrive."""
    resource, name = method.split(".")
    owner = getattr(shop.client, resource)
    call = getattr(owner, name)

    def once(*args: Any, **given: Any) -> Any:
        setattr(owner, name, call)
        call(*args, **given)
        raise APIConnectionError("no answer")

    setattr(owner, name, once)


@pytest.mark.parametrize("forgets", [False, True], ids=["key is remembered", "key is forgotten"])
def test_a_comment_whose_answer_was_lost_is_not_written_twice(
    shop: Workshop, forgets: bool
) -> None:
    ticket = shop.ticket()
    lose_the_answer(shop, "comments.create")
    shop.run(ticket)
    assert len(shop.comments(ticket)) == 1
    if forgets:
        shop.box.state.replays.clear()
    shop.work(minutes=1)
    assert [m.state for m in shop.messages()] == [MessageState.DONE] * 2
    assert len(shop.comments(ticket)) == 1


class Dies(BaseException):
    """A worker ends here."""


def test_a_worker_that_dies_after_the_comment_does_not_write_it_twice(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.event(ticket.id)
    write = shop.store.write

    def mortal(name: str, work: Callable[[Any], Any]) -> Any:
        if name == "message.done":
            raise Dies
        return write(name, work)

    shop.store.write = mortal  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(Dies):
            shop.work()
        shop.clock.turn(minutes=3)
    shop.store.write = write  # type: ignore[method-assign]
    shop.box.state.replays.clear()
    shop.work(minutes=3)
    assert len(shop.comments(ticket)) == 1
    assert shop.now(ticket).custom_fields["refund_status"] == "succeeded"
    assert [m.state for m in shop.messages()] == [MessageState.DONE] * 2


def test_a_first_delivery_does_not_look_for_itself(shop: Workshop) -> None:
    looks = seen(shop, "comments.list")
    creates = seen(shop, "comments.create")
    shop.run(shop.ticket())
    assert looks == []
    ((_, given),) = creates
    assert given["idempotency_key"] == given["metadata"]["dispatch_returns"]
    assert given["internal"] is False


def test_somebody_elses_comment_is_not_taken_for_ours(shop: Workshop) -> None:
    ticket = shop.ticket()
    shop.client.comments.create(ticket.id, body="Hello.", metadata={"dispatch_returns": "other"})
    shop.fault(match={"method": "POST"}, status=503)
    shop.run(ticket)
    shop.work(minutes=1)
    assert len(shop.comments(ticket)) == 2


def test_an_older_message_that_is_slower_does_not_have_the_last_word(shop: Workshop) -> None:
    shop.fake.first_status = RefundStatus.PENDING
    ticket = shop.ticket()
    shop.event(ticket.id)
    for _ in range(2):
        for queue in (it for it in shop.connector.queues if it.name in {"events", "refunds"}):
            for item in queue.claim(9):
                queue.run(item)
    older = next(m for m in shop.connector.messenger.claim(9) if m.kind == "ticket")
    get = shop.client.tickets.get

    def overtaken(ticket_id: str) -> Any:
        shop.client.tickets.get = get
        found = get(ticket_id)
        shop.fake.set_status(shop.fake.refunds[0].processor_id, RefundStatus.SUCCEEDED)
        shop.work(minutes=10)
        return found

    shop.client.tickets.get = overtaken
    shop.connector.messenger.deliver(older)
    assert shop.now(ticket).custom_fields["refund_status"] == "succeeded"


def test_a_worker_that_lost_its_message_leaves_it_alone(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ticket = shop.ticket(refund_amount=None)
    shop.event(ticket.id)
    for event in shop.connector.events.claim(1):
        shop.connector.events.process(event)
    late = shop.connector.messenger.claim(9)
    shop.work(minutes=3)
    done = shop.messages()
    for message in late:
        shop.connector.messenger.deliver(message)
    assert shop.messages() == done
    assert f"message {late[0].id} was taken over by another worker" in caplog.messages
    assert len(shop.comments(ticket)) == 1


def test_an_adopted_refund_is_shown(shop: Workshop) -> None:
    ticket = shop.ticket()
    payment = ticket.custom_fields["payment_intent"]
    other = shop.fake.refund_externally(payment, usd("149.00"))
    shop.run(ticket)
    assert shop.now(ticket).custom_fields["refund_id"] == other.processor_id
    (note,) = shop.comments(ticket)
    assert note.internal
    assert len(shop.fake.refunds) == 1


def test_errors_in_the_outbox_and_in_logs_name_no_customer(
    shop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = shop.ticket()
    shop.fault(times=4, status=500)
    shop.run(ticket)
    assert EMAIL not in caplog.text
    assert all(EMAIL not in (m.error or "") for m in shop.messages())
