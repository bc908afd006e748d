"""What every database must do: a contract that the test of each one inherits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import StatementError

from dispatch_returns.errors import LeaseLostError, StoreUnavailableError
from dispatch_returns.money import Money
from dispatch_returns.refunds import attempts, external, ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.returns import label_records, receipts, records
from dispatch_returns.returns.label_records import LabelAction, LabelRow, LabelState
from dispatch_returns.returns.receipts import Receipt, ReceiptState
from dispatch_returns.returns.records import NewDecision, Return
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import NewEvent, Store, audit_log, inbox, jobs, outbox, schema, switches
from dispatch_returns.store.inbox import EventState, StoredEvent
from dispatch_returns.store.outbox import Message, MessageState, NewMessage
from dispatch_returns.store.switches import Switch
from tests.support.stores import overwrite_refund, overwrite_return

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LEASE = timedelta(minutes=3)
AFTER_THE_LEASE = NOW + LEASE


def new_event(number: int = 1, **changes: Any) -> NewEvent:
    """An event as the receiver keeps it."""
    event = NewEvent(
        source="dispatch",
        event_id=f"evt_{number}",
        type="ticket.updated",
        workspace_id="ws_1",
        ticket_id=f"tkt_{number}",
        body=b'{"id":"evt"}',
        occurred_at=NOW - timedelta(minutes=1),
    )
    return replace(event, **changes)


def new_message(number: int = 1, **changes: Any) -> NewMessage:
    """A message as it is put into the outbox."""
    message = NewMessage(
        dedupe_key=f"key_{number}",
        kind="note",
        workspace_id="ws_1",
        ticket_id="tkt_1",
        refund_id="rfd_1",
        payload={"body": "Held."},
    )
    return replace(message, **changes)


class StoreContract:
    """Inherit it as ``Test...`` and override `open`."""

    def open(self, folder: Path) -> Store:
        """Open the one database of this test; a second call opens the same one again."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with self.open(tmp_path) as store:
            yield store

    @pytest.fixture
    def second(self, store: Store, tmp_path: Path) -> Iterator[Store]:
        """The same database, as another process sees it."""
        with self.open(tmp_path) as second:
            yield second

    # Commits.

    def test_what_is_acknowledged_can_be_read_by_others(self, store: Store, second: Store) -> None:
        for number in range(50):
            assert store.submit("accept", accepting(number)).result(10) is True
            assert find(second, f"evt_{number}") is not None

    def test_what_is_not_acknowledged_cannot_be_read(self, store: Store, second: Store) -> None:
        inside, go_on = threading.Event(), threading.Event()

        def slowly(conn: Connection) -> None:
            inbox.add(conn, new_event(), NOW)
            inside.set()
            assert go_on.wait(10)

        future = store.submit("accept", slowly)
        assert inside.wait(10)
        assert find(second, "evt_1") is None
        assert not future.done()
        go_on.set()
        future.result(10)
        assert find(second, "evt_1") is not None

    def test_work_that_raises_is_undone_and_its_neighbours_are_not(self, store: Store) -> None:
        def fails(conn: Connection) -> None:
            inbox.add(conn, new_event(2), NOW)
            raise KeyError("a mistake")

        with held_up(store):
            futures: list[Future[Any]] = [
                store.submit("good", lambda conn: inbox.add(conn, new_event(1), NOW)),
                store.submit("bad", fails),
                store.submit("good", lambda conn: inbox.add(conn, new_event(3), NOW)),
            ]
        assert futures[0].result(10)
        with pytest.raises(KeyError, match="a mistake"):
            futures[1].result(10)
        assert futures[2].result(10)
        assert [find(store, f"evt_{n}") is not None for n in (1, 2, 3)] == [True, False, True]

    def test_even_a_worker_that_is_killed_inside_spoils_only_its_own_work(
        self, store: Store
    ) -> None:
        class Killed(BaseException):
            pass

        def dies(conn: Connection) -> None:
            inbox.add(conn, new_event(1), NOW)
            raise Killed

        with pytest.raises(Killed):
            store.write("bad", dies)
        assert find(store, "evt_1") is None
        assert store.write("good", lambda conn: inbox.add(conn, new_event(1), NOW))

    def test_a_statement_the_database_refuses_names_no_values(self, store: Store) -> None:
        def bad(conn: Connection) -> None:
            conn.execute(schema.inbox.insert().values(source="jane@example.com"))

        with pytest.raises(StoreUnavailableError) as caught:
            store.write("bad", bad)
        assert "jane@example.com" not in str(caught.value)
        assert caught.value.__cause__ is None
        with pytest.raises(StoreUnavailableError) as caught, store.read() as conn:
            conn.exec_driver_sql("SELECT 'jane@example.com' FROM nowhere")
        assert "jane@example.com" not in str(caught.value)

    def test_a_write_returns_what_its_work_returned(self, store: Store) -> None:
        assert store.write("answer", lambda _conn: 42) == 42

    def test_many_threads_write_and_read_at_once(self, store: Store) -> None:
        def write(number: int) -> bool:
            event = new_event(number)
            with store.read() as conn:
                assert inbox.find(conn, "dispatch", event.event_id) is None
            return store.write("accept", lambda conn: inbox.add(conn, event, NOW))

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(write, range(200)))
        assert len(events(store)) == 200

    # Closing.

    def test_closing_finishes_what_waits(self, store: Store, second: Store) -> None:
        with held_up(store):
            futures = [store.submit("accept", accepting(number)) for number in range(20)]
            closing = threading.Thread(target=store.close)
            closing.start()
        closing.join(10)
        assert not closing.is_alive()
        assert all(future.result(0) for future in futures)
        assert len(events(second)) == 20

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.write("open", lambda _conn: None)
        store.close()
        store.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            store.submit("late", lambda _conn: None)
        with pytest.raises(StoreUnavailableError, match="closed"), store.read():
            pass

    def test_every_write_that_was_taken_is_answered_when_the_store_closes(
        self, store: Store
    ) -> None:
        def write_until_closed(_: int) -> None:
            while True:
                try:
                    future = store.submit("write", lambda _conn: None)
                except StoreUnavailableError:
                    return
                future.result(10)

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(write_until_closed, n) for n in range(4)]
            store.write("wait", lambda _conn: None)
            store.close()
            for it in running:
                it.result(10)

    # Times.

    def test_times_come_back_as_the_same_moment_in_utc(self, store: Store) -> None:
        elsewhere = datetime(2024, 1, 15, 7, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-5)))
        store.write("accept", lambda conn: inbox.add(conn, new_event(occurred_at=elsewhere), LATER))
        (event,) = events(store)
        assert event.occurred_at == elsewhere
        assert event.occurred_at.tzinfo is UTC
        assert (event.received_at, event.finished_at) == (LATER, None)

    def test_a_time_without_a_zone_is_refused(self, store: Store) -> None:
        naive = datetime(2024, 1, 15)  # noqa: DTZ001 - that is the point
        with pytest.raises(StatementError, match="without a zone") as caught:
            store.write("accept", lambda conn: inbox.add(conn, new_event(), naive))
        assert "evt" not in str(caught.value)
        assert events(store) == []

    # The inbox.

    def test_a_repeated_event_is_kept_once(self, store: Store) -> None:
        def add(**changes: Any) -> bool:
            event = new_event(**changes)
            return store.write("accept", lambda conn: inbox.add(conn, event, NOW))

        assert [add(), add(body=b"other"), add(source="stripe"), add(number=2)] == [
            True,
            False,
            True,
            True,
        ]
        assert sorted(e.body for e in events(store)) == [b'{"id":"evt"}'] * 3
        with store.read() as conn:
            assert [e.source for e in inbox.with_event_id(conn, "evt_1")] == ["dispatch", "stripe"]

    def test_repeats_from_many_threads_are_kept_once(self, store: Store) -> None:
        def add(_: int) -> bool:
            return store.write("accept", lambda conn: inbox.add(conn, new_event(), NOW))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(add, range(40))) == 1

    def test_an_event_comes_back_as_it_was(self, store: Store) -> None:
        event = new_event(body=bytes(range(256)), workspace_id=None, ticket_id=None)
        store.write("accept", lambda conn: inbox.add(conn, event, NOW))
        (kept,) = events(store)
        for name in ("source", "event_id", "type", "workspace_id", "ticket_id", "body"):
            assert getattr(kept, name) == getattr(event, name)
        assert (kept.state, kept.tries, kept.claims, kept.due_at) == (
            EventState.ACCEPTED,
            0,
            0,
            NOW,
        )
        assert b"evt" not in repr(kept).encode().partition(b"body")[2]
        with store.read() as conn:
            assert inbox.get(conn, kept.id) == kept
            assert inbox.get(conn, kept.id + 1) is None

    def test_an_unreadable_event_is_kept_and_is_not_work(self, store: Store) -> None:
        store.write("accept", lambda conn: inbox.add(conn, new_event(readable=False), NOW))
        (event,) = events(store)
        assert (event.state, event.due_at) == (EventState.UNREADABLE, None)
        assert claim(store, LATER) == []

    def test_the_oldest_that_waits_is_known(self, store: Store) -> None:
        def oldest() -> datetime | None:
            with store.read() as conn:
                return inbox.oldest_waiting(conn)

        assert oldest() is None
        accept(store, 1, LATER)
        accept(store, 2, NOW)
        assert oldest() == NOW
        (event,) = claim(store, NOW)
        store.write("done", lambda conn: inbox.finish(conn, event, LATER))
        assert oldest() == LATER

    def test_newest_lists_by_state_and_ticket(self, store: Store) -> None:
        for number in (1, 2, 3):
            accept(store, number)
        (first,) = claim(store, NOW, limit=1)
        store.write("done", lambda conn: inbox.finish(conn, first, LATER))
        with store.read() as conn:
            assert [e.event_id for e in inbox.newest(conn, limit=2)] == ["evt_3", "evt_2"]
            (done,) = inbox.newest(conn, limit=9, state=EventState.DONE)
            assert (done.event_id, done.finished_at) == (first.event_id, LATER)
            (third,) = inbox.newest(conn, limit=9, ticket_id="tkt_3")
            assert third.event_id == "evt_3"

    # Claims.

    def test_the_oldest_work_is_claimed_first(self, store: Store) -> None:
        for number, minutes in ((1, 3), (2, 1), (3, 2), (4, 61)):
            accept(store, number, NOW + timedelta(minutes=minutes))
        claimed = [{e.event_id for e in claim(store, LATER, limit=2)} for _ in range(3)]
        assert claimed == [{"evt_2", "evt_3"}, {"evt_1"}, set()]

    def test_a_claim_holds_until_its_lease_ends(self, store: Store) -> None:
        accept(store, 1)
        (event,) = claim(store, NOW)
        assert (event.claims, event.due_at) == (1, AFTER_THE_LEASE)
        assert claim(store, AFTER_THE_LEASE - timedelta(microseconds=1)) == []
        (again,) = claim(store, AFTER_THE_LEASE)
        assert (again.id, again.claims) == (event.id, 2)

    def test_who_lost_its_lease_changes_nothing(self, store: Store) -> None:
        accept(store, 1)
        (late,) = claim(store, NOW)
        (event,) = claim(store, AFTER_THE_LEASE)
        for change in (
            lambda conn: inbox.finish(conn, late, LATER),
            lambda conn: inbox.postpone(conn, late, LATER, "late", since=NOW),
            lambda conn: inbox.set_unreadable(conn, late, "late"),
            lambda conn: inbox.replay(conn, late, LATER),
        ):
            with pytest.raises(LeaseLostError):
                store.write("late", change)
        assert events(store) == [event]

    def test_workers_that_claim_at_once_share_the_work(self, store: Store, second: Store) -> None:
        for number in range(40):
            accept(store, number)

        def work(mine: Store) -> list[int]:
            done: list[int] = []
            while claimed := claim(mine, NOW, limit=3):
                done += [event.id for event in claimed]
            return done

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(work, [store, second, store, second]))
        assert sorted(event_id for ids in done for event_id in ids) == sorted(
            e.id for e in events(store)
        )

    def test_finished_and_unreadable_events_are_no_work(self, store: Store) -> None:
        accept(store, 1)
        accept(store, 2)
        first, other = claim(store, NOW)
        store.write("done", lambda conn: inbox.finish(conn, first, LATER))
        store.write("odd", lambda conn: inbox.set_unreadable(conn, other, "odd"))
        assert claim(store, NOW + timedelta(days=1)) == []
        kept = {e.id: (e.state, e.error, e.finished_at) for e in events(store)}
        assert kept == {
            first.id: (EventState.DONE, None, LATER),
            other.id: (EventState.UNREADABLE, "odd", None),
        }

    def test_an_event_that_is_put_off_comes_back_then(self, store: Store) -> None:
        accept(store, 1)
        (event,) = claim(store, NOW)
        store.write("off", lambda conn: inbox.postpone(conn, event, LATER, "no answer", since=NOW))
        assert claim(store, LATER - timedelta(seconds=1)) == []
        (again,) = claim(store, LATER)
        assert (again.tries, again.error, again.state) == (1, "no answer", EventState.ACCEPTED)

    def test_an_event_can_be_replayed(self, store: Store) -> None:
        accept(store, 1)
        (event,) = claim(store, NOW)
        store.write("off", lambda conn: inbox.postpone(conn, event, LATER, "no answer", since=NOW))
        (event,) = claim(store, LATER)
        store.write("done", lambda conn: inbox.finish(conn, event, LATER))
        (done,) = events(store)
        store.write("again", lambda conn: inbox.replay(conn, done, LATER))
        (again,) = claim(store, LATER)
        assert (again.state, again.tries, again.finished_at) == (EventState.ACCEPTED, 0, None)
        with pytest.raises(LeaseLostError):
            store.write("late", lambda conn: inbox.finish(conn, event, LATER))

    def test_old_events_that_are_done_are_deleted_in_batches(self, store: Store) -> None:
        for number in range(8):
            accept(store, number, NOW + timedelta(minutes=number))
        work = claim(store, NOW + timedelta(minutes=9))
        by_id = {event.event_id: event for event in work}
        waiting, odd, late = by_id["evt_1"], by_id["evt_2"], by_id["evt_3"]
        done = [event for event in work if event not in (waiting, odd, late)]
        long_after = NOW + timedelta(days=20)

        def finish(conn: Connection) -> None:
            for event in done:
                inbox.finish(conn, event, NOW + timedelta(minutes=10))
            inbox.set_unreadable(conn, odd, "odd")
            inbox.finish(conn, late, long_after)
            payload = {"event": by_id["evt_4"].id, "type": "x", "handler": "y"}
            outbox.add(conn, new_message(kind="handler", payload=payload), NOW)

        store.write("finish", finish)
        before = NOW + timedelta(days=10)
        with store.read() as conn:
            assert inbox.count_thinnable(conn, before) == 3

        def thin(after: int, limit: int) -> inbox.Thinned:
            return store.write(
                "thin", lambda conn: inbox.thin(conn, before=before, after=after, limit=limit)
            )

        assert thin(0, 100).deleted == 3
        kept = sorted(event.event_id for event in events(store))
        # Not done; not understood; done lately; its handler waits; the newest of all.
        assert kept == ["evt_1", "evt_2", "evt_3", "evt_4", "evt_7"]
        assert thin(0, 100) == inbox.Thinned(0, None)
        accept(store, 9)
        newest = find(store, "evt_9")
        assert newest is not None
        assert newest.id > max(event.id for event in work), "no number is given twice"
        first = thin(0, 2)
        assert first.then is not None
        assert thin(first.then, 2).then not in (None, first.then)

    def test_the_young_end_a_pass(self, store: Store) -> None:
        for number in range(3):
            accept(store, number, NOW + timedelta(days=number))
        before = NOW + timedelta(days=1)
        thin = store.write("thin", lambda conn: inbox.thin(conn, before=before, after=0, limit=1))
        assert thin.then is not None
        assert store.write(
            "thin", lambda conn: inbox.thin(conn, before=before, after=thin.then or 0, limit=1)
        ) == inbox.Thinned(0, None)

    # The outbox.

    def test_a_message_is_kept_once(self, store: Store) -> None:
        def add(message: NewMessage) -> bool:
            return store.write("tell", lambda conn: outbox.add(conn, message, NOW))

        assert add(new_message())
        assert not add(new_message(payload={"body": "Other."}))
        assert add(new_message(2, ticket_id=None, refund_id=None, payload={}))
        (message,) = messages(store)
        assert (message.dedupe_key, message.kind, message.payload) == (
            "key_1",
            "note",
            {"body": "Held."},
        )
        assert (message.workspace_id, message.ticket_id, message.refund_id) == (
            "ws_1",
            "tkt_1",
            "rfd_1",
        )
        assert (message.state, message.created_at, message.due_at) == (
            MessageState.WAITING,
            NOW,
            NOW,
        )
        assert "Held" not in repr(message)
        assert "Held" not in repr(new_message())

    def test_a_message_is_delivered_put_off_or_refused(self, store: Store) -> None:
        for number in (1, 2, 3):
            message = new_message(number)
            store.write("tell", lambda conn: outbox.add(conn, message, NOW))  # noqa: B023
        done, off, refused = sorted(
            store.write("claim", lambda conn: outbox.claim(conn, NOW, LEASE, 9)),
            key=lambda it: it.id,
        )
        store.write("done", lambda conn: outbox.finish(conn, done, LATER))
        store.write("off", lambda conn: outbox.postpone(conn, off, LATER, "no answer", since=NOW))
        store.write(
            "no", lambda conn: outbox.finish(conn, refused, LATER, MessageState.REFUSED, "gone")
        )
        kept = [(m.state, m.error, m.tries, m.due_at, m.finished_at) for m in messages(store)]
        assert kept == [
            (MessageState.DONE, None, 0, None, LATER),
            (MessageState.WAITING, "no answer", 1, LATER, None),
            (MessageState.REFUSED, "gone", 0, None, LATER),
        ]
        for late in (
            lambda conn: outbox.finish(conn, replace(off, claims=9), LATER),
            lambda conn: outbox.postpone(conn, replace(off, claims=9), LATER, "late", since=NOW),
        ):
            with pytest.raises(LeaseLostError):
                store.write("late", late)

    # The ledger.

    def test_an_intent_has_one_row(self, store: Store) -> None:
        first = create(store)
        assert first is not None
        assert create(store, amount=Money(1, "USD")) is None
        assert refund(store, first.id) == first
        with store.read() as conn:
            assert ledger.get(conn, "rfd_0") is None

    def test_a_refund_comes_back_as_it_was_written(self, store: Store) -> None:
        payment = {"kind": "charge", "id": "ch_1", "account": None, "reverse_transfer": True}
        row = create(store, amount=Money(5, "BHD", 3), payment=payment, order_id="1")
        assert row is not None
        assert (row.amount, row.payment, row.order_id) == (Money(5, "BHD", 3), payment, "1")
        assert refund(store, row.id) == row
        assert (row.state, row.generation, row.tries, row.claims) == (State.REQUESTED, 1, 0, 0)
        assert (row.created_at, row.updated_at, row.due_at) == (NOW, NOW, NOW)
        assert row.idempotency_key == f"{row.id}-g1"
        assert "jane" not in repr(row)

    def test_a_refund_may_have_no_amount_and_no_payment_yet(self, store: Store) -> None:
        row = create(store, amount=None, payment=None)
        assert row is not None
        assert (row.amount, row.payment) == (None, None)
        changed = store.write(
            "set", lambda conn: ledger.change(conn, row, LATER, amount=Money(7, "USD"))
        )
        assert (changed.amount, changed.updated_at) == (Money(7, "USD"), LATER)
        back = store.write("unset", lambda conn: ledger.change(conn, row, LATER, amount=None))
        assert back.amount is None

    def test_an_act_fences_off_the_worker_that_holds_the_row(self, store: Store) -> None:
        create(store)
        (held,) = store.write("claim", lambda conn: ledger.claim(conn, NOW, LEASE, 9))
        assert (held.claims, held.due_at) == (1, AFTER_THE_LEASE)
        taken = store.write(
            "act",
            lambda conn: ledger.move(conn, held, NOW, State.CANCELED, by=RefundAction.CANCEL),
        )
        assert (taken.state, taken.claims) == (State.CANCELED, 2)
        for late in (
            lambda conn: ledger.move(conn, held, NOW, State.SENDING, by=RefundAction.CALL),
            lambda conn: ledger.change(conn, held, NOW, tries=9),
        ):
            with pytest.raises(LeaseLostError):
                store.write("late", late)
        assert refund(store, held.id) == taken

    def test_refunds_are_listed_counted_and_found(self, store: Store) -> None:
        for number in (1, 2, 3):
            at = NOW + timedelta(minutes=number)
            create(store, f"tkt_{number}", now=at)
        first = refund(store, ledger.refund_id("ws_1", "tkt_1", 1))
        store.write("held", lambda conn: overwrite_refund(conn, first, state=State.HELD))
        with store.read() as conn:
            assert [r.ticket_id for r in ledger.newest(conn, limit=2)] == ["tkt_3", "tkt_2"]
            (held,) = ledger.newest(conn, limit=9, state=State.HELD)
            assert held.ticket_id == "tkt_1"
            assert [r.id for r in ledger.newest(conn, limit=9, ticket_id="tkt_1")] == [first.id]
            assert ledger.count_open_by_state(conn) == {"held": 1, "requested": 2}
            assert [r.id for r in ledger.matching(conn, first.id[:12], limit=9)] == [first.id]
            assert [r.id for r in ledger.matching(conn, "tkt_1", limit=9)] == [first.id]
            assert len(ledger.matching(conn, "rfd_", limit=2)) == 2
            assert ledger.matching(conn, "%", limit=9) == []

    def test_what_was_sent_on_a_day_is_added_up(self, store: Store) -> None:
        day = "2024-01-15"
        for number, (minor, currency, sent) in enumerate(
            [(100, "USD", day), (20, "USD", day), (3, "EUR", day), (4, "USD", "2024-01-14")]
        ):
            create(store, f"tkt_{number}", amount=Money(minor, currency), sent_day=sent)
        create(store, "tkt_9", amount=Money(50, "USD"))
        first = ledger.refund_id("ws_1", "tkt_0", 1)
        with store.read() as conn:
            assert ledger.sent_on(conn, day, "USD", but="") == 120
            assert ledger.sent_on(conn, day, "USD", but=first) == 20
            assert ledger.sent_on(conn, day, "JPY", but="") == 0

    @pytest.mark.parametrize("stray", ["\0", "\ud83d"], ids=["NUL", "half a pair"])
    def test_a_text_with_a_stray_character_is_kept(self, store: Store, stray: str) -> None:
        row = create(store, order_id=f"12{stray}34", detail=f"{stray}Jérôme 🙂")
        assert row is not None
        assert (row.order_id, row.detail) == ("12\ufffd34", "\ufffdJérôme 🙂")
        assert refund(store, row.id) == row, "another request would be sent after a crash"
        note = new_message(payload={"body": f"{stray} held"})
        store.write("tell", lambda conn: outbox.add(conn, note, NOW))
        (message,) = messages(store)
        assert message.payload == {"body": f"{stray} held"}

    def test_attempts_and_acts_are_kept_in_order(self, store: Store) -> None:
        row = create(store)
        assert row is not None

        def record(conn: Connection) -> None:
            attempts.record(conn, row, "refund", "sent", NOW)
            attempts.record(
                conn, row, "refund", "failed", LATER, processor_id="re_1", code="c",
                request_id="req_1", message="m",
            )  # fmt: skip
            audit_log.record(conn, "retry", LATER, who="Ann", why=None, refund_id=row.id)

        store.write("record", record)
        with store.read() as conn:
            first, then = attempts.of_refund(conn, row.id)
            (act,) = audit_log.of_refund(conn, row.id)
            assert attempts.tried_since(conn, row) == NOW
            assert attempts.tried_since(conn, replace(row, generation=2)) is None
            assert attempts.of_refund(conn, "rfd_0") == []
        assert (first.outcome, first.at, first.generation) == ("sent", NOW, 1)
        assert (then.refund_id, then.call, then.outcome, then.processor_id, then.code) == (
            row.id,
            "refund",
            "failed",
            "re_1",
            "c",
        )
        assert (then.request_id, then.message, then.at) == ("req_1", "m", LATER)
        assert (act.refund_id, act.action, act.who, act.why, act.at) == (
            row.id,
            "retry",
            "Ann",
            None,
            LATER,
        )

    @pytest.mark.parametrize("table", schema.APPEND_ONLY, ids=str)
    def test_records_cannot_be_changed_or_deleted(self, store: Store, table: Any) -> None:
        row = create(store)
        assert row is not None

        def record(conn: Connection) -> None:
            attempts.record(conn, row, "refund", "sent", NOW)
            audit_log.record(conn, "retry", NOW, who="Ann", why=None, refund_id=row.id)
            returned = enter(conn)
            records.record(conn, returned, NewDecision("eligibility", "approve", "policy"), NOW)

        store.write("record", record)
        for statement in (update(table).values(at=LATER), table.delete()):
            with pytest.raises(StoreUnavailableError, match="append-only"):
                store.write("tamper", lambda conn: conn.execute(statement))  # noqa: B023
        with store.read() as conn:
            assert conn.execute(select(table.c.at)).scalars().all() == [NOW]

    def test_a_record_needs_its_refund(self, store: Store) -> None:
        row = create(store)
        assert row is not None
        stranger = replace(row, id="rfd_0")
        with pytest.raises(StoreUnavailableError):
            store.write(
                "record", lambda conn: attempts.record(conn, stranger, "refund", "sent", NOW)
            )

    # Returns.

    def test_a_ticket_has_one_return(self, store: Store) -> None:
        row = store.write("enter", enter)
        with pytest.raises(AssertionError):
            store.write("enter", lambda conn: enter(conn, order_id="other"))
        assert (row.step, row.items, row.due_at) == (Step.REQUESTED, [{"sku": "A"}], NOW)
        assert (row.working, row.woken, row.claims, row.planned) == (False, False, 0, None)
        assert row.id == records.return_id("ws_1", "tkt_1")
        assert "digest" not in repr(row)
        with store.read() as conn:
            assert records.get(conn, row.id) == row
            assert records.get(conn, "ret_0") is None
            for text in ("tkt_1", row.number, row.number.lower(), row.id[:10]):
                assert records.matching(conn, text, limit=2) == [row]
            assert records.matching(conn, "%", limit=2) == []
            assert records.newest(conn, limit=1, step=Step.REQUESTED) == [row]
            assert records.newest(conn, limit=1, step=Step.REVIEW) == []

    def test_a_return_is_taken_by_hand_only_while_no_worker_holds_it(self, store: Store) -> None:
        row = store.write("enter", enter)

        def take(now: datetime) -> Return | None:
            return store.write("take", lambda conn: records.take(conn, row, now, LEASE))

        later = NOW + timedelta(days=9)
        store.write("rest", lambda conn: records.release(conn, row, NOW, later))
        taken = take(NOW)
        assert taken is not None
        assert (taken.working, taken.due_at, taken.claims) == (True, NOW + LEASE, row.claims + 1)
        assert (take(NOW), claim_returns(store, NOW)) == (None, [])
        again = take(NOW + LEASE)
        assert again is not None, "the lease has ended"
        store.write("wake", lambda conn: records.wake(conn, row.id, NOW))
        freed = store.write("give", lambda conn: records.release(conn, again, NOW, later))
        assert freed.due_at == NOW, "what woke it meanwhile counts"
        with pytest.raises(LeaseLostError):
            store.write("late", lambda conn: records.release(conn, taken, NOW, later))

    def test_a_return_is_held_by_one_worker_and_fenced(self, store: Store) -> None:
        store.write("enter", enter)
        (held,) = claim_returns(store, NOW)
        assert (held.working, held.claims, held.due_at) == (True, 1, AFTER_THE_LEASE)
        assert claim_returns(store, NOW) == []
        kept = store.write(
            "keep", lambda conn: records.change(conn, held, LATER, AFTER_THE_LEASE, tries=3)
        )
        assert (kept.tries, kept.updated_at, kept.working) == (3, LATER, True)
        assert kept.due_at == AFTER_THE_LEASE
        (again,) = claim_returns(store, AFTER_THE_LEASE)
        for late in (
            lambda conn: records.change(conn, held, NOW, LATER, tries=9),
            lambda conn: records.release(conn, held, NOW, None, tries=9),
        ):
            with pytest.raises(LeaseLostError):
                store.write("late", late)
        done = store.write("done", lambda conn: records.release(conn, again, NOW, LATER, tries=0))
        assert (done.working, done.due_at, done.tries, done.claims) == (False, LATER, 0, 2)

    def test_what_wakes_a_return_that_is_held_makes_it_due_when_it_is_given_back(
        self, store: Store
    ) -> None:
        row = store.write("enter", enter)
        (held,) = claim_returns(store, NOW)
        store.write("wake", lambda conn: records.wake(conn, row.id, NOW))
        assert claim_returns(store, NOW) == [], "nobody else takes it meanwhile"
        given_back = store.write("done", lambda conn: records.release(conn, held, LATER, None))
        assert given_back.due_at == LATER
        (second,) = claim_returns(store, LATER)
        assert not second.woken
        resting = store.write("done", lambda conn: records.release(conn, second, LATER, None))
        assert resting.due_at is None
        store.write("wake", lambda conn: records.wake(conn, row.id, LATER))
        assert len(claim_returns(store, LATER)) == 1

    def test_a_return_left_by_a_dead_worker_is_due_at_the_end_of_its_lease(
        self, store: Store
    ) -> None:
        row = store.write("enter", enter)
        claim_returns(store, NOW)
        store.write("wake", lambda conn: records.wake(conn, row.id, NOW))
        assert claim_returns(store, NOW) == []
        assert len(claim_returns(store, AFTER_THE_LEASE)) == 1

    def test_returns_of_an_order_and_of_a_customer_are_found(self, store: Store) -> None:
        row = store.write("enter", enter)
        others: dict[str, dict[str, Any]] = {
            "tkt_2": {},
            "tkt_3": {"order_key": "9", "customer": "digest"},
            "tkt_4": {"customer": "other"},
            "tkt_5": {},
        }
        for ticket, values in others.items():
            store.write("enter", lambda conn: enter(conn, ticket, **values))  # noqa: B023
        rejected = records.return_id("ws_1", "tkt_5")
        store.write("end", lambda conn: overwrite_return(conn, rejected, step=Step.REJECTED))
        with store.read() as conn:
            of_order = [found.ticket_id for found in records.of_order(conn, row)]
            assert sorted(of_order) == ["tkt_2", "tkt_4"]
            of_customer = [found.ticket_id for found in records.of_customer(conn, row)]
            assert sorted(of_customer) == ["tkt_2", "tkt_3"]
            assert records.of_order(conn, replace(row, order_key=None)) == []
            assert records.of_customer(conn, replace(row, customer=None)) == []

    def test_decisions_are_kept_in_order(self, store: Store) -> None:
        row = store.write("enter", enter)
        decided = NewDecision("eligibility", "review", "policy", "too late", {"days": 31})
        store.write("record", lambda conn: records.record(conn, row, decided, NOW))
        store.write("record", lambda conn: records.record(conn, row, decided, LATER))
        with store.read() as conn:
            first, then = records.decisions_of(conn, row.id)
        assert (first.kind, first.outcome, first.who, first.why, first.data, first.at) == (
            "eligibility", "review", "policy", "too late", {"days": 31}, NOW,
        )  # fmt: skip
        assert then.at == LATER

    def test_a_parcel_has_one_label(self, store: Store) -> None:
        row = store.write("enter", enter)

        def want(conn: Connection, now: datetime = NOW) -> LabelRow:
            return label_records.want(conn, row.id, 1, now, provider="pdf")

        wanted = store.write("want", want)
        assert store.write("want", lambda conn: want(conn, LATER)) == wanted
        assert (wanted.state, wanted.cost, wanted.document) == (LabelState.WANTED, None, None)
        buying = store.write(
            "buying",
            lambda conn: label_records.move(
                conn, wanted, LATER, LabelState.BUYING, by=LabelAction.BUY,
                document={"language": "de"},
            ),
        )  # fmt: skip
        bought = store.write(
            "bought",
            lambda conn: label_records.move(
                conn, buying, LATER, LabelState.BOUGHT, by=LabelAction.BOUGHT,
                cost=Money(495, "USD"), pdf=b"%PDF",
            ),
        )  # fmt: skip
        for late in (
            lambda conn: label_records.change(conn, wanted, LATER, error="late"),
            lambda conn: label_records.move(
                conn, wanted, LATER, LabelState.BUYING, by=LabelAction.BUY
            ),
        ):
            with pytest.raises(LeaseLostError, match="or has moved"):
                store.write("late", late)
        assert (bought.state, bought.cost, bought.pdf, bought.document) == (
            LabelState.BOUGHT, Money(495, "USD"), b"%PDF", {"language": "de"},
        )  # fmt: skip
        with store.read() as conn:
            assert label_records.of_return(conn, row.id) == [bought]
            assert label_records.get(conn, bought.id) == bought
            assert label_records.get(conn, "lbl_0") is None

    def test_receipts_are_numbered_and_a_key_is_noted_once(self, store: Store) -> None:
        row = store.write("enter", enter)

        def note(conn: Connection, key: str | None) -> Receipt:
            return receipts.note(
                conn, row.id, NOW, key=key, lines=[{"sku": "A", "quantity": 1}],
                received_date="2024-01-15", who="Ann", amount=None,
            )  # fmt: skip

        first = store.write("note", lambda conn: note(conn, "k1"))
        assert store.write("note", lambda conn: note(conn, "k1")) == first
        assert [store.write("note", lambda conn: note(conn, None)).ordinal for _ in range(2)] == [
            2,
            3,
        ]
        changed = store.write(
            "settle",
            lambda conn: receipts.change(
                conn, first, LATER, state=ReceiptState.ACCEPTED, amount=Money(5, "USD")
            ),
        )
        assert (changed.ordinal, changed.state, changed.amount) == (
            1,
            ReceiptState.ACCEPTED,
            Money(5, "USD"),
        )
        assert not changed.returnless
        with store.read() as conn:
            assert receipts.of_return(conn, row.id)[0] == changed
            assert receipts.of_return(conn, "ret_0") == []

    # Switches, and what people did.

    def test_switches_are_off_until_somebody_throws_them(self, store: Store, second: Store) -> None:
        def throw(switch: Switch, is_on: bool, why: str | None) -> None:
            store.write(
                "throw",
                lambda conn: switches.throw(conn, switch, NOW, is_on=is_on, who="Ann", why=why),
            )

        def on() -> frozenset[str]:
            with second.read() as conn:
                return switches.on(conn)

        assert on() == frozenset()
        throw(Switch.KILL, True, None)
        assert on() == {"kill"}
        throw(Switch.DRY_RUN, True, "a trial")
        throw(Switch.KILL, False, "it was nothing")
        assert on() == {"dry-run"}
        throw(Switch.DRY_RUN, True, "again")
        with second.read() as conn:
            last = switches.last_thrown(conn, Switch.KILL)
            acts = audit_log.newest(conn, limit=9)
        assert [(act.subject, act.action, act.who, act.why) for act in acts] == [
            ("switch dry-run", "on", "Ann", "again"),
            ("switch kill", "off", "Ann", "it was nothing"),
            ("switch dry-run", "on", "Ann", "a trial"),
            ("switch kill", "on", "Ann", None),
        ]
        assert last == acts[1]
        assert (acts[0].refund_id, acts[0].at) == (None, NOW)

    # The schema.

    def test_a_refund_made_elsewhere_is_found_by_its_payment_until_a_row_has_it(
        self, store: Store
    ) -> None:
        seen = external.ExternalRefund(
            "stripe", "re_1", "pi_1", "ch_1", None, None, Money(14900, "USD"), "pending", NOW
        )

        def of(payment: str, adapter: str = "stripe") -> list[external.ExternalRefund]:
            def look(conn: Connection) -> list[external.ExternalRefund]:
                external.look_alone(conn, adapter, ["ch_1", "pi_1"])
                return external.of_no_row(conn, external.of_payment(conn, adapter, [payment]))

            return store.write("look", look)

        assert store.write("note", lambda conn: external.note(conn, seen, NOW))
        now_paid = replace(seen, status="succeeded")
        assert not store.write("note", lambda conn: external.note(conn, now_paid, LATER))
        named = replace(seen, processor_id="re_2", refund_id="rfd_1", ticket_id="tkt_1")
        store.write("note", lambda conn: external.note(conn, named, NOW))
        assert of("pi_1") == of("ch_1") == [now_paid, named]
        assert (of("pi_2"), of("pi_1", "acme")) == ([], [])

        def adopt(conn: Connection) -> None:
            row = ledger.create(
                conn,
                "ws_1",
                "tkt_9",
                1,
                NOW,
                state=State.SUCCEEDED,
                by=RefundAction.ADOPT,
                adapter="stripe",
                payment={"kind": "payment_intent", "id": "pi_1", "account": None},
                processor_id="re_1",
            )
            assert row is not None
            assert ledger.of_processor(conn, "stripe", "re_1") == row
            assert ledger.of_payments(conn, "stripe", ["ch_1", "pi_1"]) == [row]
            assert ledger.page(conn, None, since=NOW, until=LATER) == [row]
            assert ledger.page(conn, row) == ledger.page(conn, None, since=LATER) == []

        store.write("adopt", adopt)
        assert of("pi_1") == [named], "no row here made it: it counts as well"

    def test_a_job_is_had_by_one_at_a_time(self, store: Store, second: Store) -> None:
        def take(from_: Store, now: datetime) -> jobs.Job | None:
            return from_.write(
                "take", lambda conn: jobs.claim(conn, "compare", now, first=LATER, lease=LEASE)
            )

        assert take(store, NOW) is None, "the first time is not yet"
        with ThreadPoolExecutor(2) as both:
            taken = list(both.map(lambda it: take(it, LATER), [store, second]))
        (job,) = [it for it in taken if it is not None]
        assert take(second, LATER) is None
        again = take(second, LATER + LEASE)
        assert again is not None
        with pytest.raises(LeaseLostError):
            store.write("end", lambda conn: jobs.finish(conn, job, LATER))
        next_time = LATER + timedelta(days=1)
        store.write("end", lambda conn: jobs.finish(conn, again, next_time))
        assert take(store, LATER + LEASE) is None
        assert take(store, next_time) is not None

    def test_the_migrations_make_the_schema_of_the_tables(self, store: Store) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        with store.read() as conn:
            context = MigrationContext.configure(conn, opts={"compare_server_default": True})
            assert compare_metadata(context, schema.metadata) == []

    def test_a_store_that_can_be_written_says_so(self, store: Store) -> None:
        store.check_writable()


def accepting(number: int, now: datetime = NOW) -> Callable[[Connection], bool]:
    """Return the work of keeping event `number`."""
    event = new_event(number)
    return lambda conn: inbox.add(conn, event, now)


def accept(store: Store, number: int, now: datetime = NOW) -> None:
    """Keep event `number`."""
    store.write("accept", accepting(number, now))


def claim(store: Store, now: datetime, limit: int = 9) -> list[StoredEvent]:
    """Claim events."""
    return store.write("claim", lambda conn: inbox.claim(conn, now, LEASE, limit))


def find(store: Store, event_id: str) -> StoredEvent | None:
    """Find an event."""
    with store.read() as conn:
        return inbox.find(conn, "dispatch", event_id)


def events(store: Store) -> list[StoredEvent]:
    """All events, newest first."""
    with store.read() as conn:
        return inbox.newest(conn, limit=1000)


def messages(store: Store) -> list[Message]:
    """The messages about the refund of these tests."""
    with store.read() as conn:
        return outbox.of_refund(conn, "rfd_1")


def create(
    store: Store, ticket_id: str = "tkt_1", *, now: datetime = NOW, **values: Any
) -> Refund | None:
    """Write a refund's row."""
    given: dict[str, Any] = {
        "adapter": "fake",
        "state": State.REQUESTED,
        "amount": Money(14900, "USD"),
        "payment": {"id": "pi_1"},
        "instructions_email": "jane@example.com",
        "uncertain": False,
        "due_at": now,
    } | values
    return store.write(
        "create", lambda conn: ledger.create(conn, "ws_1", ticket_id, 1, now, **given)
    )


def enter(conn: Connection, ticket_id: str = "tkt_1", **values: Any) -> Return:
    """Write a return's row, and return it."""
    given: dict[str, Any] = {
        "step": Step.REQUESTED,
        "status": "return_requested",
        "order_id": "#1234",
        "order_key": "1234",
        "items": [{"sku": "A"}],
        "customer": "digest",
        "requested_at": NOW,
    } | values
    assert records.enter(conn, "ws_1", ticket_id, NOW, **given)
    found = records.get(conn, records.return_id("ws_1", ticket_id))
    assert found is not None
    return found


def claim_returns(store: Store, now: datetime) -> list[Return]:
    """Claim returns."""
    return store.write("claim", lambda conn: records.claim(conn, now, LEASE, 9))


def refund(store: Store, row_id: str) -> Refund:
    """Read a refund."""
    with store.read() as conn:
        found = ledger.get(conn, row_id)
    assert found is not None
    return found


@contextmanager
def held_up(store: Store) -> Iterator[None]:
    """While this lasts, a store's writes gather behind one that does not end."""
    inside, go_on = threading.Event(), threading.Event()

    def wait(_conn: Connection) -> None:
        inside.set()
        assert go_on.wait(10)

    first = store.submit("hold up", wait)
    assert inside.wait(10)
    yield
    go_on.set()
    first.result(10)


__all__ = ["StoreContract", "held_up", "new_event", "new_message"]
