"""From a ticket to a row of the ledger: judge what it asks for, then write it down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Unpack

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import AdapterError, ErrorKind, OrderError, UnsupportedFeatureError
from dispatch_returns.money import Money
from dispatch_returns.refunds import external, guard, ledger, messages, outcomes, owners
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    Payment,
    PaymentRef,
    RefundAdapter,
    RefundStatus,
    SupportsListing,
    UnreadableRefund,
    unreadable_refunds,
)
from dispatch_returns.refunds.announce import Announce, tell_nobody
from dispatch_returns.refunds.external import Outside
from dispatch_returns.refunds.guard import Hold, Rails, Reason
from dispatch_returns.refunds.ledger import Refund, RefundChanges
from dispatch_returns.refunds.order_ids import same_order
from dispatch_returns.refunds.orders import OrderRecord
from dispatch_returns.refunds.owner import NOT_KNOWN, Owner, Standing
from dispatch_returns.refunds.owners import Question
from dispatch_returns.refunds.ticket_facts import (
    Facts,
    NamedPayment,
    OrderOf,
    PaymentResolver,
    nobody_asked,
)
from dispatch_returns.refunds.transitions import UNPAID, RefundAction, State
from dispatch_returns.store import go_live, switches
from dispatch_returns.store.schema import storable
from dispatch_returns.store.switches import Switch

NOT_APPROVED: Final[RefundChanges] = {
    "approved_by": None,
    "approved_minor": None,
    "approved_detail": None,
}
"""The values of a row that nobody has approved, or not with what is said against it now."""

_MOMENT = timedelta(seconds=5)
_MOST_AT_ONCE = 10_000
_DUPLICATE_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ticket asks for, as judged: an amount and its payment, or a hold.

    With a hold, the amount is what the ticket asks for, where that can be said. ``doubts`` are
    what a second person must agree to. ``names`` are all ids that the payment goes by.

    ``listed`` are the payment's refunds as the processor gave them at the check; None where it
    cannot. ``look_first``: money has moved on this payment before, so the processor is asked
    whether it was this refund (the store may have been restored from a backup). ``owner`` says
    whose order it is, and ``email`` where a processor writes to a customer who must act.
    """

    facts: Facts
    payment: PaymentRef | None = None
    amount: Money | None = None
    hold: Hold | None = None
    doubts: tuple[Hold, ...] = ()
    listed: tuple[KnownRefund, ...] | None = None
    look_first: bool = False
    names: frozenset[str] = frozenset()
    owner: Owner = NOT_KNOWN
    email: str | None = field(default=None, repr=False)

    @property
    def payment_ids(self) -> frozenset[str]:
        """Every id that the payment is known by: what is decided of one is decided of all."""
        return self.names if self.payment is None else self.names | {self.payment.id}

    @property
    def question(self) -> Question:
        """What a person is asked where the customer is not the order's."""
        return Question(self.facts.workspace_id, self.facts.ticket_id, self.owner.subject)


class Intake:
    """Judges tickets and enters the intents into the ledger, each once."""

    def __init__(
        self,
        adapter: RefundAdapter,
        resolver: PaymentResolver | None = None,
        rails: Rails | None = None,
        clock: Clock = utc_now,
        announce: Announce = tell_nobody,
        *,
        order_of: OrderOf = nobody_asked,
    ) -> None:
        self._order_of = order_of
        self.adapter = adapter
        self.rails = rails or Rails()
        self._resolver = resolver or PaymentResolver()
        self._clock = clock
        self._announce = announce
        self._just_entered: OrderedDict[tuple[str, int], datetime] = OrderedDict()

    def judge(self, facts: Facts, *, agreed: bool = False) -> Decision:
        """Return what should be done for a ticket that says `facts`; nothing is written.

        Asks the shop about the order, and the processor about the payment. `agreed`: a person
        agrees now that the order is another customer's. Raises `AdapterError` when one cannot say
        now.
        """
        try:
            order = self._order_of(facts)
        except OrderError as error:
            if error.retryable:
                raise AdapterError(ErrorKind.NOT_SENT, f"{error}") from None
            return Decision(facts, hold=Hold(Reason.ORDER_UNREADABLE, f"{error}"))
        differs = order.owner.standing is Standing.DIFFERS
        if differs and not agreed:
            return Decision(facts, hold=guard.owner_differs(facts.order_id), owner=order.owner)
        return self._judge(facts, order)

    def _judge(self, facts: Facts, order: OrderRecord) -> Decision:
        owner = order.owner
        found = self._resolver.resolve(facts, order)
        if order.names:
            facts = replace(facts, order_id=order.names[0])
        ref = found.ref
        if ref is None:
            hold = Hold(Reason.NO_PAYMENT, "No payment is known for this ticket.")
            return Decision(facts, hold=hold, owner=owner)
        try:
            with telemetry.processor_call(self.adapter.name, "payment", ticket_id=facts.ticket_id):
                payment = self.adapter.payment(ref)
            listed = self.listed(ref, payment)
        except UnsupportedFeatureError as error:
            hold = Hold(Reason.UNSUPPORTED, f"{error}")
            return Decision(facts, ref, hold=hold, owner=owner)
        except AdapterError as error:
            refused = outcomes.hold_for(error)
            if refused is None:
                raise
            return Decision(facts, ref, hold=refused, owner=owner)
        differs = found.differs_from(payment)
        if found.expected is not None and not differs:
            ref = found.expected
        if not differs and (found.expected is not None or order.is_called(payment.order_id)):
            # The shop's own record says which order it is; the note on the payment may be an older
            # or another system's number.
            payment = replace(payment, order_id=None)
        # Whoever wrote the ticket may have written its address too.
        email = payment.email or owner.email or facts.email
        decision = Decision(
            facts, ref, listed=listed, names=payment.names, owner=owner, email=email
        )
        checked = guard.check(facts, _without_ours(payment, _row_id(facts), listed), self.rails)
        if isinstance(checked, Hold):
            # What it asks for is kept: a refund of just that, made elsewhere, settles it.
            asked = guard.asked(facts, payment)
            return replace(
                decision, amount=None if isinstance(asked, Hold) else asked, hold=checked
            )
        return replace(
            decision,
            amount=checked,
            doubts=(
                *_doubts_of_payment(facts, payment, found, order),
                *guard.doubts(checked, facts, payment),
            ),
            look_first=self._may_have_been_paid(payment),
        )

    def listed(
        self, ref: PaymentRef, payment: Payment | None = None
    ) -> tuple[KnownRefund, ...] | None:
        """Return the payment's refunds as the processor has them; None where it cannot list them.

        It is not asked where `payment` says that nothing was paid back. Raises `AdapterError`:
        unreadable_refund too, since a refund that can't be read may have moved money.
        """
        if payment is not None and payment.refunded is not None and not payment.refunded.minor:
            return ()
        if not isinstance(self.adapter, SupportsListing):
            return None
        with telemetry.processor_call(self.adapter.name, "refunds_of"):
            listed = self.adapter.refunds_of(ref)
        unreadable = [it for it in listed if isinstance(it, UnreadableRefund)]
        if unreadable:
            raise unreadable_refunds(unreadable)
        return tuple(it for it in listed if isinstance(it, KnownRefund))

    def _may_have_been_paid(self, payment: Payment) -> bool:
        if payment.refunded is None:
            return self.adapter.capabilities.lookup
        return payment.refunded.minor > 0

    def enter(
        self, conn: Connection, decision: Decision, *, by_person: bool = False
    ) -> Refund | None:
        """Write `decision` into the ledger, inside the caller's transaction; return the row.

        An intent has one row. A `held` one is judged anew; one that waits to be sent is held if
        the ticket says something else by now. Everything else has been, or may have been,
        carried out by the processor and stands.

        None, and nothing is written, for a ticket that was settled before this installation
        went live; only a person's explicit call (`by_person`) pays it.
        """
        if by_person:
            facts = decision.facts
            go_live.release(conn, facts.workspace_id, facts.ticket_id)
        elif self.is_before(conn, decision):
            return None
        # Nearly always it is new, so it is written before it is looked for. Another worker that
        # writes it at this moment is waited for.
        refund = self.create(conn, decision) or self.enter_again(
            conn, decision, by_person=by_person
        )
        if refund.entered_at == refund.updated_at:
            self._just_entered[refund.id, refund.claims] = refund.entered_at
            while len(self._just_entered) > _MOST_AT_ONCE:
                self._just_entered.popitem(last=False)
        return refund

    def is_before(self, conn: Connection, decision: Decision) -> bool:
        """Whether the ticket was settled before this installation went live."""
        return go_live.is_before(conn, decision.facts.workspace_id, decision.facts.ticket_id)

    def was_just_entered(self, refund: Refund) -> bool:
        """Whether this process itself has entered a refund that it now claims, at this moment.

        Then it is not of an old backup, and its ticket was read just now.
        """
        entered = self._just_entered.pop((refund.id, refund.claims - 1), None)
        return entered is not None and abs(self._clock() - entered) < _MOMENT

    def enter_again(
        self, conn: Connection, decision: Decision, *, by_person: bool = False
    ) -> Refund:
        """Do as `enter` for an intent that has its row."""
        facts = decision.facts
        known = ledger.lock(conn, _row_id(facts))
        assert known is not None, "the ledger keeps its rows"
        if known.state is State.HELD:
            stays = known.reason == Reason.DRY_RUN and not by_person
            if stays and not self._may_go_on(conn, decision):
                return known
            return self.judge_anew(conn, known, decision)
        if known.state is State.REQUESTED and known.nothing_carried_out:
            return self._hold_if_changed(conn, known, decision)
        if known.reason is not None:
            # Only a person goes on with it, and the ticket says again that it is done.
            messages.tell_held(conn, known, messages.hold_of(known), self._clock())
        else:
            self._note_changed_amount(conn, known, decision)
        return known

    def judge_anew(self, conn: Connection, known: Refund, decision: Decision) -> Refund:
        """Write `decision` into the row of a refund of which nothing was paid; return the row.

        An approval counts for the same amount of the same payment, and for what the person was
        told: where there is more to say by now, they are asked again. A key that was sent is not
        used again.
        """
        now = self._clock()
        if known.payment != _payment(decision):
            known = _unapproved(known)
        elsewhere = self._elsewhere(conn, decision)
        if (settled := _settling(elsewhere, decision)) is not None:
            state, values = _adoption(decision, settled)
            values["adapter"] = self.adapter.name
            adopted = ledger.move(conn, known, now, state, by=RefundAction.ADOPT, **values)
            return self._tell_adopted(conn, adopted, now)
        doubts = self._doubts(conn, decision, elsewhere, known.created_at)
        hold = self._hold(conn, decision, doubts, known)
        if hold is not None and hold.reason in guard.APPROVABLE:
            known = _unapproved(known)
        values = _entry(decision, hold, elsewhere)
        values["adapter"] = self.adapter.name
        values["entered_at"] = now
        values["approved_by"] = known.approved_by
        values["approved_minor"] = known.approved_minor
        values["approved_detail"] = known.approved_detail
        values["due_at"] = None if hold else now
        refund = ledger.move(
            conn,
            known,
            now,
            State.HELD if hold else State.REQUESTED,
            by=RefundAction.CHECK,
            new_key=hold is None and known.first_sent_at is not None,
            **values,
        )
        if hold is not None:
            self._tell_held(conn, refund, decision, hold, now)
        return refund

    def create(
        self, conn: Connection, decision: Decision, sent: RefundChanges | None = None
    ) -> Refund | None:
        """Write the row of a new intent; return None, and write nothing, if it has one already.

        `sent`, where it is given, says that the call is made now, unless the row is held.
        """
        now = self._clock()
        elsewhere = self._elsewhere(conn, decision)
        if (settled := _settling(elsewhere, decision)) is not None:
            state, values = _adoption(decision, settled)
            by = RefundAction.ADOPT
            adopted = self._insert(conn, decision, now, state, by=by, **values)
            return adopted and self._tell_adopted(conn, adopted, now)
        doubts = self._doubts(conn, decision, elsewhere, now)
        hold = self._hold(conn, decision, doubts, None)
        values = _entry(decision, hold, elsewhere)
        if hold is not None:
            state, by = State.HELD, RefundAction.ENTER
        elif sent is not None:
            state, by = State.SENDING, RefundAction.CALL
            values.update(sent)
        else:
            state, by = State.REQUESTED, RefundAction.ENTER
            values["due_at"] = now
        refund = self._insert(conn, decision, now, state, by=by, **values)
        if refund is not None and hold is not None:
            self._tell_held(conn, refund, decision, hold, now)
        return refund

    def _tell_held(
        self, conn: Connection, refund: Refund, decision: Decision, hold: Hold, now: datetime
    ) -> None:
        if hold.reason is Reason.CUSTOMER_DIFFERS:
            owners.ask(conn, decision.question, now)
        messages.tell_held(conn, refund, hold, now)
        self._announce(conn, refund, now)

    def _insert(
        self,
        conn: Connection,
        decision: Decision,
        now: datetime,
        state: State,
        *,
        by: RefundAction,
        **values: Unpack[RefundChanges],
    ) -> Refund | None:
        values["adapter"] = self.adapter.name
        return ledger.create(
            conn,
            decision.facts.workspace_id,
            decision.facts.ticket_id,
            decision.facts.parcel.ordinal,
            now,
            state=state,
            by=by,
            **values,
        )

    def _elsewhere(self, conn: Connection, decision: Decision) -> list[Outside]:
        """Return the refunds of this payment that were made elsewhere, and no row has."""
        if decision.payment is None:
            return []
        listed = decision.listed or ()
        names = decision.payment_ids.union(_names(decision.payment, listed))
        external.look_alone(conn, self.adapter.name, names)
        found = self.elsewhere(conn, names, listed)
        found = [it for it in found if it.refund_id != _row_id(decision.facts)]
        # A dry run writes to no ticket, and so takes nothing over.
        return [] if found and self.is_dry(conn) else found

    def elsewhere(
        self, conn: Connection, names: Collection[str], listed: Iterable[KnownRefund]
    ) -> list[Outside]:
        """Return the refunds that moved money of the payment with these `names`, and no row has.

        They are those that the processor `listed`, and those that its webhook has told of.
        """
        adapter = self.adapter.name
        seen = {it.processor_id: it for it in external.of_payment(conn, adapter, names)}
        seen |= {it.result.processor_id: seen_of(adapter, it) for it in listed}
        moving = [it for it in seen.values() if RefundStatus(it.status) not in NO_MONEY_MOVED]
        moving.sort(key=lambda it: (it.made_at, it.processor_id))
        return external.of_no_row(conn, moving)

    def settled(
        self, conn: Connection, row: Refund, listed: Sequence[KnownRefund]
    ) -> KnownRefund | None:
        """Return the refund made elsewhere, among those `listed`, that a row waits to pay."""
        if not listed or row.payment is None:
            return None
        ref = PaymentRef(**row.payment)
        external.look_alone(conn, self.adapter.name, [ref.id])
        by_id = {it.result.processor_id: it for it in listed}
        seen = self.elsewhere(conn, _names(ref, listed), listed)
        fitting = (it.processor_id for it in seen if settles_row(it, row))
        return next((by_id[it] for it in fitting if it in by_id), None)

    def paid_since(
        self, conn: Connection, row: Refund, listed: Sequence[KnownRefund]
    ) -> Hold | None:
        """Return the hold for a row that waits, where more was paid back elsewhere since its check.

        Whether both are too much is judged anew, from the ticket.
        """
        if not listed or row.payment is None:
            return None
        ref = PaymentRef(**row.payment)
        external.look_alone(conn, self.adapter.name, [ref.id])
        seen = self.elsewhere(conn, _names(ref, listed), listed)
        counted = row.counted or ()
        if all(storable(it.processor_id) in counted for it in seen):
            return None
        return refunded_elsewhere(seen)

    def is_dry(self, conn: Connection) -> bool:
        """Whether nothing is paid, nor written to a ticket, because a person only wants to see."""
        return self.rails.dry_run or Switch.DRY_RUN in switches.on(conn)

    def _may_go_on(self, conn: Connection, decision: Decision) -> bool:
        """Whether an event may judge anew what a dry run has held.

        After it, what a person only wanted to see is paid when a person says so.
        """
        if self.is_dry(conn):
            return True
        return _settling(self._elsewhere(conn, decision), decision) is not None

    def _tell_adopted(self, conn: Connection, refund: Refund, now: datetime) -> Refund:
        messages.tell_change(conn, refund, now)
        messages.tell_adopted(conn, refund, now)
        self._announce(conn, refund, now)
        return refund

    def _hold_if_changed(self, conn: Connection, known: Refund, decision: Decision) -> Refund:
        """A person may have corrected the ticket while the kill switch was on, say."""
        hold = decision.hold
        if hold is None:
            if (known.amount, known.payment) == (decision.amount, _payment(decision)):
                if not self._is_doubted(conn, decision, known):
                    return known
                return self.judge_anew(conn, known, decision)
            detail = f"The ticket was changed before the refund of {known.amount} was sent."
            hold = Hold(Reason.CHANGED_MEANWHILE, detail)
        return self.judge_anew(conn, known, replace(decision, hold=hold))

    def _hold(
        self,
        conn: Connection,
        decision: Decision,
        doubts: Sequence[Hold],
        known: Refund | None,
    ) -> Hold | None:
        if decision.hold is not None:
            return decision.hold
        amount = decision.amount
        assert amount is not None  # a decision has an amount or a hold
        if self.rails.dry_run:
            return guard.dry_run_hold(amount)
        hold = guard.together(doubts)
        if hold is None or all(_was_approved(known, amount, it) for it in doubts):
            return None
        if Switch.DRY_RUN in switches.on(conn):
            # The switch is asked before each payment; here only so that no ticket is written to.
            return guard.dry_run_hold(amount)
        return hold

    def _doubts(
        self,
        conn: Connection,
        decision: Decision,
        elsewhere: Sequence[Outside],
        entered_at: datetime,
    ) -> list[Hold]:
        """Return what a second person must agree to. The payment is locked by now."""
        if decision.amount is None:
            return []
        found = list(decision.doubts)
        amount = decision.amount
        if elsewhere and self._is_too_much(conn, decision, amount, elsewhere):
            found.append(refunded_elsewhere(elsewhere))
        if (other := self._duplicate(conn, decision, amount, entered_at)) is not None:
            found.append(guard.possible_duplicate(other))
        if (needed := guard.needs_approval(amount, self.rails)) is not None:
            found.append(needed)
        return found

    def _is_doubted(self, conn: Connection, decision: Decision, known: Refund) -> bool:
        """Whether there is more to say against a refund that waits than when it was entered.

        Or than the person was told who approved it.
        """
        elsewhere = self._elsewhere(conn, decision)
        if _settling(elsewhere, decision) is not None:
            return True
        amount = decision.amount
        assert amount is not None
        doubts = list(decision.doubts)
        if elsewhere and self._is_too_much(conn, decision, amount, elsewhere):
            doubts.append(refunded_elsewhere(elsewhere))
        return not all(_was_approved(known, amount, it) for it in doubts)

    def _is_too_much(
        self,
        conn: Connection,
        decision: Decision,
        amount: Money,
        elsewhere: Sequence[Outside],
    ) -> bool:
        """Whether `amount`, with what was paid back `elsewhere`, is more than was granted.

        What the shop's own order knew when it was granted has been counted; but the shop may
        have meant what we paid.
        """
        paid = sum(it.amount.minor for it in elsewhere)
        parcel = decision.facts.parcel
        accounted = _minor(parcel.accounted, amount) or 0
        if accounted:
            accounted = max(0, accounted - self._paid_by_us(conn, decision))
        granted = _minor(parcel.granted, amount)
        unaccounted = max(0, paid - accounted)
        most = amount.minor if granted is None else granted
        return unaccounted > 0 and unaccounted + amount.minor > most

    def _paid_by_us(self, conn: Connection, decision: Decision) -> int:
        assert decision.payment is not None
        names = _names(decision.payment, decision.listed or ())
        rows = ledger.of_payments(conn, self.adapter.name, names)
        row_id = _row_id(decision.facts)
        paid = (row for row in rows if row.id != row_id and row.state not in UNPAID)
        return sum(row.amount.minor for row in paid if row.amount is not None)

    def _duplicate(
        self, conn: Connection, decision: Decision, amount: Money, entered_at: datetime
    ) -> Refund | None:
        """Return another ticket's refund of the same payment, order and amount, if there is one.

        Of the day before this one was entered, or since: waiting makes it no other refund.
        """
        facts, since = decision.facts, entered_at - _DUPLICATE_WITHIN
        alike = ledger.alike(conn, self.adapter.name, decision.payment_ids, amount, since)
        return next((it for it in alike if _is_duplicate(it, facts)), None)

    def _note_changed_amount(self, conn: Connection, known: Refund, decision: Decision) -> None:
        if decision.amount is None or known.amount is None or decision.amount == known.amount:
            return
        detail = f"refund_amount is now {decision.amount}; the refund is of {known.amount}."
        messages.tell_agents(conn, known, Hold(Reason.AMOUNT_CHANGED, detail), self._clock())


def _doubts_of_payment(
    facts: Facts, payment: Payment, found: NamedPayment, order: OrderRecord
) -> tuple[Hold, ...]:
    """Return what a person must agree to where only the ticket says that this payment is meant."""
    if found.ref is not None and found.expected is not None:
        differs = found.differs_from(payment)
        return (guard.payment_differs(found.ref, found.expected),) if differs else ()
    # By now a note on the payment that names an order names the ticket's.
    noted = payment.order_id is not None and facts.order_id is not None
    if not order.missing or noted or facts.parcel.without_order:
        return ()
    return (guard.order_unknown(facts),)


def _was_approved(known: Refund | None, amount: Money, doubt: Hold) -> bool:
    """Whether a person agreed to pay just this amount who was told of this doubt."""
    if known is None or known.approved_minor != amount.minor:
        return False
    return storable(doubt.detail) in (known.approved_detail or "")


def _unapproved(known: Refund) -> Refund:
    return replace(known, approved_by=None, approved_minor=None, approved_detail=None)


def _is_duplicate(other: Refund, facts: Facts) -> bool:
    if (other.workspace_id, other.ticket_id) == (facts.workspace_id, facts.ticket_id):
        return False  # another parcel of the same ticket
    known = other.order_id is not None and facts.order_id is not None
    return not known or same_order(other.order_id or "", facts.order_id or "")


def _settling(elsewhere: Sequence[Outside], decision: Decision) -> Outside | None:
    """Return the refund made elsewhere that is this very one.

    Taking it over moves no money, so nothing that holds a payment stands against it.
    """
    facts = decision.facts
    which = (facts.ticket_id, decision.amount, facts.requested_at)
    return next((it for it in elsewhere if settles(it, *which)), None)


def refunded_elsewhere(seen: Sequence[Outside]) -> Hold:
    """Return the hold for a payment that was refunded elsewhere."""
    said = ", ".join(f"{it.amount} ({it.processor_id})" for it in seen)
    detail = f"This payment was already refunded elsewhere: {said}."
    return Hold(Reason.REFUNDED_ELSEWHERE, detail)


def settles(
    seen: Outside, ticket_id: str, amount: Money | None, requested_at: datetime | None
) -> bool:
    """Whether a refund made elsewhere is what a ticket asks for.

    It is of just its amount, names no other ticket, and was made after the customer had asked:
    what was paid back before was paid back for something else.
    """
    if seen.refund_id is not None or seen.ticket_id not in {None, ticket_id}:
        return False
    if amount is None or seen.amount != amount or requested_at is None:
        return False
    # Processors tell whole seconds.
    return seen.made_at >= requested_at.replace(microsecond=0)


def settles_row(seen: Outside, row: Refund) -> bool:
    """Whether a refund made elsewhere is what a row waits to pay."""
    return settles(seen, row.ticket_id, row.amount, row.requested_at)


def seen_of(adapter: str, known: KnownRefund) -> Outside:
    """Return a refund of the processor's as it is kept."""
    first, second = ([ref.id for ref in known.payments] + [None, None])[:2]
    return Outside(
        adapter=adapter,
        processor_id=known.result.processor_id,
        payment_id=first,
        payment_also=second,
        refund_id=known.refund_id,
        ticket_id=known.ticket_id,
        amount=known.result.amount,
        status=known.result.status,
        made_at=known.created_at,
    )


def _without_ours(payment: Payment, row_id: str, listed: Iterable[KnownRefund] | None) -> Payment:
    """Return the payment without the refund of this very row, which a lost row may have made."""
    if payment.refunded is None:
        return payment
    if listed is None:
        left = payment.remaining
        # Where nothing is left, it may be our own, and the processor must be asked for it.
        return payment if left is None or left.minor else replace(payment, refunded=None)
    ours = (it.result for it in listed if it.refund_id == row_id)
    paid = sum(it.amount.minor for it in ours if it.status not in NO_MONEY_MOVED)
    refunded = replace(payment.refunded, minor=max(0, payment.refunded.minor - paid))
    return replace(payment, refunded=refunded)


def _names(payment: PaymentRef, listed: Iterable[KnownRefund]) -> set[str]:
    return {payment.id} | {ref.id for it in listed for ref in it.payments}


def _minor(amount: Money | None, like: Money) -> int | None:
    """Return minor units that can be added to `like`'s, None where there are none."""
    if amount is None or (amount.currency, amount.decimals) != (like.currency, like.decimals):
        return None
    return amount.minor


def _row_id(facts: Facts) -> str:
    return ledger.refund_id(facts.workspace_id, facts.ticket_id, facts.parcel.ordinal)


def _adoption(decision: Decision, elsewhere: Outside) -> tuple[State, RefundChanges]:
    """Return the state and values of a row whose money was paid back by somebody else."""
    values = _entry(decision, None, ())
    values["processor_id"] = elsewhere.processor_id
    values["adopted"] = True
    values["uncertain"] = False
    values["due_at"] = None
    return State(elsewhere.status), values


def _payment(decision: Decision) -> dict[str, Any] | None:
    return None if decision.payment is None else asdict(decision.payment)


def _entry(decision: Decision, hold: Hold | None, elsewhere: Sequence[Outside]) -> RefundChanges:
    return {
        "counted": [storable(it.processor_id) for it in elsewhere] or None,
        "reason": hold.reason if hold else None,
        "detail": hold.detail if hold else None,
        "amount": decision.amount,
        "payment": _payment(decision),
        "order_id": decision.facts.order_id,
        "instructions_email": decision.email,
        "ticket_status": decision.facts.status,
        "requested_at": decision.facts.requested_at,
        "uncertain": decision.look_first,
        "tries": 0,
    }
