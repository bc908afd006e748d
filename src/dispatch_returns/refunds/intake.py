"""From a ticket to a row of the ledger: judge what it asks for, then write it down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from dispatch_returns.errors import AdapterError, UnsupportedFeatureError
from dispatch_returns.money import Money
from dispatch_returns.refunds import guard, notices, outcomes
from dispatch_returns.refunds.adapter import Payment, PaymentRef, RefundAdapter
from dispatch_returns.refunds.clock import Clock, utc_now
from dispatch_returns.refunds.facts import Facts, PaymentResolver
from dispatch_returns.refunds.guard import Hold, Rails, Reason
from dispatch_returns.store import ledger, switches
from dispatch_returns.store.ledger import Refund, State
from dispatch_returns.store.switches import Switch

_FIRST_ORDINAL = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ticket asks for, as judged: an amount and its payment, or a hold.

    ``look_first``: money has moved on this payment before, so the processor is asked whether
    it was this refund (the store may have been restored from a backup).
    """

    facts: Facts
    payment: PaymentRef | None = None
    amount: Money | None = None
    hold: Hold | None = None
    look_first: bool = False


class Intake:
    """Judges tickets and enters the intents into the ledger, each once."""

    def __init__(
        self,
        adapter: RefundAdapter,
        resolver: PaymentResolver | None = None,
        rails: Rails | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.adapter = adapter
        self.rails = rails or Rails()
        self._resolver = resolver or PaymentResolver()
        self._clock = clock

    def judge(self, facts: Facts) -> Decision:
        """Return what should be done for a ticket that says `facts`; nothing is written.

        Asks the processor about the payment. Raises `AdapterError` when it cannot say now.
        """
        ref = self._resolver.resolve(facts)
        if ref is None:
            hold = Hold(Reason.NO_PAYMENT, "No payment is known for this ticket.")
            return Decision(facts, hold=hold)
        try:
            payment = self.adapter.payment(ref)
        except UnsupportedFeatureError as error:
            return Decision(facts, ref, hold=Hold(Reason.UNSUPPORTED, f"{error}"))
        except AdapterError as error:
            refused = outcomes.hold_for(error)
            if refused is None:
                raise
            return Decision(facts, ref, hold=refused)
        checked = guard.check(facts, payment, self.rails)
        if isinstance(checked, Hold):
            return Decision(facts, ref, hold=checked)
        return Decision(facts, ref, checked, look_first=self._may_have_been_paid(payment))

    def _may_have_been_paid(self, payment: Payment) -> bool:
        if payment.refunded is None:
            return self.adapter.capabilities.lookup
        return payment.refunded.minor > 0

    def enter(self, conn: Connection, decision: Decision) -> Refund:
        """Write `decision` into the ledger, inside the caller's transaction; return the row.

        An intent has one row. A `held` one is judged anew; one that waits to be sent is held if
        the ticket says something else by now. Everything else has been, or may have been,
        carried out by the processor and stands.
        """
        # Nearly always it is new, so it is written before it is looked for. Another worker that
        # writes it at this moment is waited for.
        created = self._create(conn, decision)
        if created is not None:
            return created
        facts = decision.facts
        row_id = ledger.refund_id(facts.workspace_id, facts.ticket_id, _FIRST_ORDINAL)
        known = ledger.lock(conn, row_id)
        assert known is not None, "the ledger keeps its rows"
        return self._enter_again(conn, known, decision)

    def _enter_again(self, conn: Connection, known: Refund, decision: Decision) -> Refund:
        if known.state is State.HELD:
            return self.judge_anew(conn, known, decision)
        if known.state is State.REQUESTED and known.nothing_carried_out:
            return self._hold_if_changed(conn, known, decision)
        if known.reason is not None:
            # Only a person goes on with it, and the ticket says again that it is done.
            notices.tell_held(conn, known, notices.hold_of(known), self._clock())
        else:
            self._note_changed_amount(conn, known, decision)
        return known

    def judge_anew(self, conn: Connection, known: Refund, decision: Decision) -> Refund:
        """Write `decision` into the row of a refund of which nothing was paid; return the row.

        An approval counts for the same amount of the same payment, and a key that was sent is
        not used again.
        """
        now = self._clock()
        if known.payment != _payment(decision):
            known = replace(known, approved_by=None, approved_minor=None)
        hold = decision.hold or self._hold_on_entry(conn, decision.amount, known.approved_minor)
        values = _entry(decision, hold)
        if hold is None and known.first_sent_at is not None:
            values |= new_generation(known)
        refund = ledger.take_over(
            conn,
            known,
            now,
            adapter=self.adapter.name,
            approved_by=known.approved_by,
            approved_minor=known.approved_minor,
            due_at=None if hold else now,
            **values,
        )
        if hold is not None:
            notices.tell_held(conn, refund, hold, now)
        return refund

    def _create(self, conn: Connection, decision: Decision) -> Refund | None:
        now = self._clock()
        hold = decision.hold or self._hold_on_entry(conn, decision.amount, approved_minor=None)
        refund = ledger.create(
            conn,
            decision.facts.workspace_id,
            decision.facts.ticket_id,
            _FIRST_ORDINAL,
            now,
            adapter=self.adapter.name,
            **_entry(decision, hold),
            due_at=None if hold else now,
        )
        if refund is not None and hold is not None:
            notices.tell_held(conn, refund, hold, now)
        return refund

    def _hold_if_changed(self, conn: Connection, known: Refund, decision: Decision) -> Refund:
        """A person may have corrected the ticket while the kill switch was on, say."""
        hold = decision.hold
        if hold is None:
            if (known.amount, known.payment) == (decision.amount, _payment(decision)):
                return known
            detail = f"The ticket was changed before the refund of {known.amount} was sent."
            hold = Hold(Reason.CHANGED_MEANWHILE, detail)
        return self.judge_anew(conn, known, replace(decision, hold=hold))

    def _hold_on_entry(
        self, conn: Connection, amount: Money | None, approved_minor: int | None
    ) -> Hold | None:
        assert amount is not None  # a decision has an amount or a hold
        if self.rails.dry_run:
            return guard.dry_run_hold(amount)
        if approved_minor == amount.minor:
            return None
        hold = guard.needs_approval(amount, self.rails)
        if hold is not None and Switch.DRY_RUN in switches.on(conn):
            # The switch is asked before each payment; here only so that no ticket is written to.
            return guard.dry_run_hold(amount)
        return hold

    def _note_changed_amount(self, conn: Connection, known: Refund, decision: Decision) -> None:
        if decision.amount is None or known.amount is None or decision.amount == known.amount:
            return
        detail = f"refund_amount is now {decision.amount}; the refund is of {known.amount}."
        notices.tell_agents(conn, known, Hold(Reason.AMOUNT_CHANGED, detail), self._clock())


def new_generation(refund: Refund) -> dict[str, object]:
    """Return the values that give `refund` a new idempotency key.

    Only for a row whose present key was certainly not carried out: the processor itself
    refused it, or a person has looked.
    """
    return {"generation": refund.generation + 1, "first_sent_at": None, "sent_day": None}


def _payment(decision: Decision) -> dict[str, object] | None:
    return None if decision.payment is None else asdict(decision.payment)


def _entry(decision: Decision, hold: Hold | None) -> dict[str, object]:
    return {
        "state": State.HELD if hold else State.REQUESTED,
        "reason": hold and hold.reason,
        "detail": hold and hold.detail,
        "amount": decision.amount,
        "payment": _payment(decision),
        "order_id": decision.facts.order_id,
        "instructions_email": decision.facts.email,
        "uncertain": decision.look_first,
        "tries": 0,
    }
