"""From a ticket to a row of the ledger: check what it asks for, then write it down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import AdapterError, ErrorKind, OrderError, UnsupportedFeatureError
from dispatch_returns.refunds import (
    doubts,
    external,
    guard,
    ledger,
    messages,
    outcomes,
    owner_approvals,
)
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    Payment,
    PaymentRef,
    SupportsListing,
    UnreadableRefund,
    unreadable_refunds,
)
from dispatch_returns.refunds.decision import RefundDecision, adoption, entry
from dispatch_returns.refunds.external import ExternalRefund
from dispatch_returns.refunds.guard import GuardLimits, Hold, Reason
from dispatch_returns.refunds.ledger import Refund, RefundChanges
from dispatch_returns.refunds.listener import RefundListener, no_listener
from dispatch_returns.refunds.orders import OrderRecord
from dispatch_returns.refunds.owner import Standing
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.ticket_facts import (
    RESOLVED,
    OrderOf,
    PaymentResolver,
    TicketFacts,
    adapter_on_ticket,
    no_order_source,
)
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import go_live, switches
from dispatch_returns.store.switches import Switch

_MOMENT = timedelta(seconds=5)
_MOST_AT_ONCE = 10_000


class Intake:
    """Evaluates tickets and enters each intent into the ledger once."""

    def __init__(
        self,
        adapters: Adapters,
        resolver: PaymentResolver | None = None,
        limits: GuardLimits | None = None,
        clock: Clock = utc_now,
        listener: RefundListener = no_listener,
        *,
        order_of: OrderOf = no_order_source,
        ready: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        """`ready` says whether an adapter may be used: its account is the database's."""
        self._order_of = order_of
        self.adapters = adapters
        self._ready = ready
        self.limits = limits or GuardLimits()
        self._resolver = resolver or PaymentResolver()
        self._clock = clock
        self._listener = listener
        self._just_entered: OrderedDict[tuple[str, int], datetime] = OrderedDict()

    def evaluate(self, facts: TicketFacts, *, agreed: bool = False) -> RefundDecision:
        """Return the decision on a ticket that says `facts`; write nothing.

        It asks the shop about the order, and the processor about the payment. `agreed`: a person
        accepts now that the order belongs to another customer. Raises `AdapterError` when either
        cannot answer now.
        """
        try:
            order = self._order_of(facts)
        except OrderError as error:
            if error.retryable:
                raise AdapterError(ErrorKind.NOT_SENT, f"{error}") from None
            return RefundDecision(facts, hold=Hold(Reason.ORDER_UNREADABLE, f"{error}"))
        differs = order.owner.standing is Standing.DIFFERS
        if differs and not agreed:
            return RefundDecision(
                facts, hold=guard.owner_differs(facts.order_id), owner=order.owner
            )
        return self._check_payment(facts, order)

    def _check_payment(self, facts: TicketFacts, order: OrderRecord) -> RefundDecision:
        """Ask the processor about the order's payment, and run the guard on the answer."""
        owner = order.owner
        found = self._resolver.resolve(facts, order)
        if order.names:
            facts = replace(facts, order_id=order.names[0])
        ref = found.ref
        if ref is None:
            hold = Hold(Reason.NO_PAYMENT, "No payment is known for this ticket.")
            return RefundDecision(facts, hold=hold, owner=owner)
        name = self.adapters.paying(ref, adapter_on_ticket(facts))
        if isinstance(name, Hold):
            return RefundDecision(facts, ref, hold=name, owner=owner)
        if not self._ready(name):
            waits = f"{name} is not used: its account is not this database's, or is not known yet"
            raise AdapterError(ErrorKind.NOT_SENT, f"{waits}. Run: dispatch-returns doctor")
        ref, adapter = replace(ref, adapter=name), self.adapters[name]
        try:
            with telemetry.processor_call(name, "payment", ticket_id=facts.ticket_id):
                payment = adapter.payment(ref)
                ref = replace(payment.ref or ref, adapter=name)
                differs = found.differs_from(payment)
                if differs and found.expected is not None and found.expected.kind in RESOLVED:
                    expected = adapter.payment(found.expected)
                    differs = payment.names.isdisjoint(expected.names)
            payment = guard.with_currency(payment, facts, adapter.capabilities)
            listed = self.listed(ref, payment)
        except UnsupportedFeatureError as error:
            hold = Hold(Reason.UNSUPPORTED, f"{error}")
            return RefundDecision(facts, ref, hold=hold, owner=owner)
        except AdapterError as error:
            refused = outcomes.hold_for(error)
            if refused is None:
                raise
            return RefundDecision(facts, ref, hold=refused, owner=owner)
        if found.expected is not None and found.expected.kind not in RESOLVED and not differs:
            ref = replace(found.expected, adapter=name)
        if not differs and (found.expected is not None or order.is_called(payment.order_id)):
            # The shop's own record says which order it is; the note on the payment may be an older
            # number or another system's.
            payment = replace(payment, order_id=None)
        # The author of the ticket may have written its address too.
        email = payment.email or owner.email or facts.email
        decision = RefundDecision(
            facts, ref, listed=listed, names=payment.names, owner=owner, email=email
        )
        left = _without_ours(payment, decision.row_id, listed)
        checked = guard.check(facts, left, self.limits, name)
        if isinstance(checked, Hold):
            # Keep what it asks for: an external refund of exactly that amount settles it.
            asked = guard.asked(facts, payment)
            return replace(
                decision, amount=None if isinstance(asked, Hold) else asked, hold=checked
            )
        made = None if listed is None else len(listed)
        limit = guard.processor_limits(checked, payment, made, adapter.capabilities, self._clock())
        if limit is not None:
            return replace(decision, amount=checked, hold=limit)
        if payment.refunded is None:
            look_first = adapter.capabilities.lookup
        else:
            look_first = payment.refunded.minor > 0
        return replace(
            decision,
            amount=checked,
            doubts=(
                *doubts.of_payment(facts, payment, found, order),
                *guard.doubts(checked, facts, payment),
            ),
            look_first=look_first,
        )

    def listed(
        self, ref: PaymentRef, payment: Payment | None = None
    ) -> tuple[KnownRefund, ...] | None:
        """Return the payment's refunds as the processor has them; None where it cannot list them.

        `ref` names its adapter.
        It sends no request where `payment` shows that nothing was refunded. Raises `AdapterError`,
        also with unreadable_refund, because a refund that can't be read may have moved money.
        """
        if payment is not None and payment.refunded is not None and not payment.refunded.minor:
            return ()
        name = ref.adapter or self.adapters.only
        assert name is not None
        adapter = self.adapters[name]
        if not isinstance(adapter, SupportsListing):
            return None
        with telemetry.processor_call(name, "refunds_of"):
            listed = adapter.refunds_of(ref)
        unreadable = [it for it in listed if isinstance(it, UnreadableRefund)]
        if unreadable:
            raise unreadable_refunds(unreadable)
        return tuple(it for it in listed if isinstance(it, KnownRefund))

    def enter(
        self, conn: Connection, decision: RefundDecision, *, by_person: bool = False
    ) -> Refund | None:
        """Write `decision` into the ledger, inside the caller's transaction; return the row.

        An intent has one row. A `held` row is evaluated again; a row that waits to be sent is held
        if the ticket has changed since. The processor has carried out any other row, or may have,
        so that row stays as it is.

        It returns None and writes nothing for a ticket that was settled before this installation
        went live; only a person's explicit call (`by_person`) pays it.
        """
        if by_person:
            facts = decision.facts
            go_live.release(conn, facts.workspace_id, facts.ticket_id)
        elif self.is_before(conn, decision):
            return None
        # An intent is nearly always new, so write it before looking for it. The write waits for
        # another worker that writes it at the same moment.
        refund = self.create(conn, decision) or self.enter_again(
            conn, decision, by_person=by_person
        )
        if refund.entered_at == refund.updated_at:
            self._just_entered[refund.id, refund.claims] = refund.entered_at
            while len(self._just_entered) > _MOST_AT_ONCE:
                self._just_entered.popitem(last=False)
        return refund

    def is_before(self, conn: Connection, decision: RefundDecision) -> bool:
        """Whether the ticket was settled before this installation went live."""
        return go_live.is_before(conn, decision.facts.workspace_id, decision.facts.ticket_id)

    def was_just_entered(self, refund: Refund) -> bool:
        """Whether this process itself has just entered the refund that it now claims.

        Such a refund does not come from an old backup, and its ticket was read just now.
        """
        entered = self._just_entered.pop((refund.id, refund.claims - 1), None)
        return entered is not None and abs(self._clock() - entered) < _MOMENT

    def enter_again(
        self, conn: Connection, decision: RefundDecision, *, by_person: bool = False
    ) -> Refund:
        """Like `enter`, for an intent that has its row already."""
        known = ledger.lock(conn, decision.row_id)
        assert known is not None, "the ledger keeps its rows"
        if known.state is State.HELD:
            # What a dry run has held is paid only when a person says so.
            if (
                known.reason == Reason.DRY_RUN
                and not by_person
                and not self.is_dry(conn)
                and _settling(self._elsewhere(conn, decision), decision) is None
            ):
                return known
            return self.evaluate_again(conn, known, decision)
        if known.state is State.REQUESTED and known.nothing_carried_out:
            own = (known.payment or {}).get("id")
            if known.adapter not in self.adapters and own in decision.payment_ids:
                return known  # it waits for its adapter, whatever another one says about it
            return self._hold_if_changed(conn, known, decision)
        if known.reason is not None:
            # Only a person can continue with it, and the ticket says again that it is done.
            messages.report_hold(conn, known, messages.hold_of(known), self._clock())
        else:
            amount = decision.amount
            if amount is not None and known.amount is not None and amount != known.amount:
                detail = f"refund_amount is now {amount}; the refund is of {known.amount}."
                hold = Hold(Reason.AMOUNT_CHANGED, detail)
                messages.add_agent_note(conn, known, hold, self._clock())
        return known

    def evaluate_again(self, conn: Connection, known: Refund, decision: RefundDecision) -> Refund:
        """Write `decision` into the row of a refund of which nothing was paid; return the row.

        An approval counts for the same amount of the same payment, and for the doubts that the
        person saw; if there are new doubts, it takes a new approval. A key that was sent is never
        used again.
        """
        now = self._clock()
        if known.payment != decision.payment_columns:
            known = _unapproved(known)
        adapter = self._adapter_of(decision)
        if known.was_sent and adapter not in {None, known.adapter}:
            # An earlier call may yet show up where it was made: a row has one adapter.
            decision = replace(
                decision,
                payment=PaymentRef(**known.payment) if known.payment else None,
                hold=guard.adapter_changed(known, f"{adapter}"),
            )
            elsewhere = []
        else:
            elsewhere = self._elsewhere(conn, decision)
        if known.was_sent:
            adapter = known.adapter
        if (settled := _settling(elsewhere, decision)) is not None:
            state, values = adoption(decision, settled)
            values["adapter"] = adapter
            adopted = ledger.move(conn, known, now, state, by=RefundAction.ADOPT, **values)
            return self._tell_adopted(conn, adopted, now)
        hold = self._hold(conn, decision, elsewhere, known, known.created_at)
        if hold is not None and hold.reason in guard.APPROVABLE:
            known = _unapproved(known)
        values = entry(decision, hold, elsewhere)
        values["adapter"] = adapter
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
            self._report_hold(conn, refund, decision, hold, now)
        return refund

    def create(
        self, conn: Connection, decision: RefundDecision, sent: RefundChanges | None = None
    ) -> Refund | None:
        """Write the row of a new intent; if it has one already, write nothing and return None.

        `sent`, if given, records that the call is made now, unless the row is held.
        """
        now = self._clock()
        elsewhere = self._elsewhere(conn, decision)
        settled, hold = _settling(elsewhere, decision), None
        if settled is not None:
            (state, values), by = adoption(decision, settled), RefundAction.ADOPT
        else:
            hold = self._hold(conn, decision, elsewhere, None, now)
            values = entry(decision, hold, elsewhere)
            if hold is not None:
                state, by = State.HELD, RefundAction.ENTER
            elif sent is not None:
                state, by = State.SENDING, RefundAction.CALL
                values.update(sent)
            else:
                state, by = State.REQUESTED, RefundAction.ENTER
                values["due_at"] = now
        values["adapter"] = self._adapter_of(decision)
        facts = decision.facts
        refund = ledger.create(
            conn,
            facts.workspace_id,
            facts.ticket_id,
            facts.parcel.ordinal,
            now,
            state=state,
            by=by,
            **values,
        )
        if refund is not None and settled is not None:
            self._tell_adopted(conn, refund, now)
        if refund is not None and hold is not None:
            self._report_hold(conn, refund, decision, hold, now)
        return refund

    def _report_hold(
        self, conn: Connection, refund: Refund, decision: RefundDecision, hold: Hold, now: datetime
    ) -> None:
        if hold.reason is Reason.CUSTOMER_DIFFERS:
            owner_approvals.ask(conn, decision.question, now)
        messages.report_hold(conn, refund, hold, now)
        self._listener(conn, refund, now)

    def _elsewhere(self, conn: Connection, decision: RefundDecision) -> list[ExternalRefund]:
        """Return the payment's external refunds that no row has."""
        adapter = self._adapter_of(decision)
        if decision.payment is None or adapter is None:
            return []
        listed = decision.listed or ()
        names = decision.payment_ids.union(external.names_of(decision.payment, listed))
        external.look_alone(conn, adapter, names)
        found = external.moved(conn, adapter, names, listed)
        found = [it for it in found if it.refund_id != decision.row_id]
        # A dry run writes to no ticket, and so adopts nothing.
        return [] if found and self.is_dry(conn) else found

    def _adapter_of(self, decision: RefundDecision) -> str | None:
        """Return the adapter that a decision is about; with one set up, it is that one."""
        return decision.adapter or self.adapters.only

    def is_dry(self, conn: Connection) -> bool:
        """Whether this is a dry run: it pays nothing and writes nothing to a ticket."""
        return self.limits.dry_run or Switch.DRY_RUN in switches.on(conn)

    def _tell_adopted(self, conn: Connection, refund: Refund, now: datetime) -> Refund:
        messages.update_ticket(conn, refund, now)
        messages.report_adoption(conn, refund, now)
        self._listener(conn, refund, now)
        return refund

    def _hold_if_changed(self, conn: Connection, known: Refund, decision: RefundDecision) -> Refund:
        """Hold a refund whose ticket has changed, for example while the kill switch was on."""
        hold = decision.hold
        if hold is None:
            if (known.amount, known.payment) == (decision.amount, decision.payment_columns):
                if not self._is_doubted(conn, decision, known):
                    return known
                return self.evaluate_again(conn, known, decision)
            detail = f"The ticket was changed before the refund of {known.amount} was sent."
            hold = Hold(Reason.CHANGED_MEANWHILE, detail)
        return self.evaluate_again(conn, known, replace(decision, hold=hold))

    def _hold(
        self,
        conn: Connection,
        decision: RefundDecision,
        elsewhere: Sequence[ExternalRefund],
        known: Refund | None,
        entered_at: datetime,
    ) -> Hold | None:
        """Return why a person must look: the decision's own hold, or the doubts to approve."""
        if decision.hold is not None:
            return decision.hold
        amount = decision.amount
        assert amount is not None  # a decision has an amount or a hold
        if self.limits.dry_run:
            return guard.dry_run_hold(amount)
        name, limits = self._adapter_of(decision), self.limits
        assert name is not None  # and an adapter, where it has an amount to pay
        found = doubts.before_approval(
            conn, name, decision, elsewhere, entered_at=entered_at, limits=limits
        )
        hold = guard.together(found)
        if hold is None or all(doubts.was_approved(known, amount, it) for it in found):
            return None
        if Switch.DRY_RUN in switches.on(conn):
            # The service checks the switch before each payment; here it only keeps tickets
            # unchanged.
            return guard.dry_run_hold(amount)
        return hold

    def _is_doubted(self, conn: Connection, decision: RefundDecision, known: Refund) -> bool:
        """Whether there are more doubts about a waiting refund now than when it was entered.

        Or more than the person saw who approved it.
        """
        elsewhere = self._elsewhere(conn, decision)
        if _settling(elsewhere, decision) is not None:
            return True
        amount = decision.amount
        assert amount is not None
        adapter = self._adapter_of(decision)
        assert adapter is not None
        found = doubts.of_others(conn, adapter, decision, elsewhere)
        return not all(doubts.was_approved(known, amount, it) for it in found)


def _unapproved(known: Refund) -> Refund:
    return replace(known, approved_by=None, approved_minor=None, approved_detail=None)


def _settling(
    elsewhere: Sequence[ExternalRefund], decision: RefundDecision
) -> ExternalRefund | None:
    """Return the external refund that is exactly this one.

    Adopting it moves no money, so nothing that holds a payment prevents it.
    """
    facts = decision.facts
    which = (facts.ticket_id, decision.amount, facts.requested_at)
    return next((it for it in elsewhere if external.settles(it, *which)), None)


def _without_ours(payment: Payment, row_id: str, listed: Iterable[KnownRefund] | None) -> Payment:
    """Return the payment without this very row's refund, which a lost row may have made."""
    if payment.refunded is None:
        return payment
    if listed is None:
        left = payment.remaining
        # Where nothing is left, the refund may be ours, so the processor must look for it.
        return payment if left is None or left.minor else replace(payment, refunded=None)
    ours = (it.result for it in listed if it.refund_id == row_id)
    paid = sum(it.amount.minor for it in ours if it.status not in NO_MONEY_MOVED)
    refunded = replace(payment.refunded, minor=max(0, payment.refunded.minor - paid))
    return replace(payment, refunded=refunded)
