"""Voids a label by hand: at the provider once, recorded with who did it and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from dispatch_returns.clock import Clock
from dispatch_returns.errors import (
    ConfigurationError,
    InvalidArgumentError,
    LabelError,
    ReturnStateError,
)
from dispatch_returns.returns import label_records, records
from dispatch_returns.returns.label_records import LabelAction, LabelRow, LabelState
from dispatch_returns.returns.labels.provider import LabelProvider
from dispatch_returns.returns.records import NewDecision, Return
from dispatch_returns.returns.service import found
from dispatch_returns.returns.steps.labelling import voided
from dispatch_returns.returns.steps.messages import add_note
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store, audit_log

_LEASE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Voided:
    """The result: the return, its label as it is now, and a sentence for people."""

    row: Return
    label: LabelRow
    said: str


def usable(row: Return, known: list[LabelRow]) -> LabelRow:
    """Return the label that the customer can use. Raises `ReturnStateError` if there is none."""
    whose = f"{row.ticket_id} ({row.number})"
    if not known:
        raise ReturnStateError(
            f"{whose} has no label: it is {row.status}, and one is made when it is approved"
        )
    label = known[-1]
    if label.state is LabelState.BOUGHT:
        return label
    why = f" ({label.error})" if label.error else ""
    day = label.updated_at.date().isoformat()
    another = "set the ticket to approved to make another one"
    raise ReturnStateError(
        {
            LabelState.WANTED: f"the label of {whose} was not bought yet{why}",
            LabelState.VOIDED: f"the label of {whose} was voided on {day}: {another}",
            LabelState.NOT_VOIDED: f"the label of {whose} was given up on {day}: {another}",
            LabelState.EXPIRED: f"the label of {whose} has expired: {another}",
        }.get(
            label.state,
            f"it is not known yet whether the label of {whose} was bought{why}: wait for a"
            " running worker to find out",
        )
    )


def void(
    store: Store, provider: LabelProvider, clock: Clock, text: str, *, who: str, why: str
) -> Voided:
    """Void the label of the return that `text` names; record who did it, and why.

    The return is held meanwhile, so that no worker and no other person processes it too. After a
    crash or a lost answer the call can be repeated: the provider gives the same answer again.
    Raises `ReturnStateError` if there is no label to void, `LabelError` if the provider refuses or
    does not answer; then the label stays as it was.
    """
    if not who.strip() or not why.strip():
        raise InvalidArgumentError("who, why", "an action needs a name and a reason")
    before, row, label = store.write("label.take", lambda conn: _taken(conn, provider, clock, text))
    try:
        state, sentence = voided(label, provider, clock())
    except LabelError as error:
        message = error.message

        def keep(conn: Connection) -> None:
            label_records.change(conn, label, clock(), error=f"It was not voided: {message}")
            records.release(conn, row, clock(), before.due_at)

        store.write("label.kept", keep)
        raise

    def settle(conn: Connection) -> Voided:
        now = clock()
        released = records.release(conn, row, now, before.due_at)
        by = LabelAction.VOID
        changed = label_records.move(conn, label, now, state, by=by, error=None)
        data = {"label": label.id, "parcel": label.parcel}
        decision = NewDecision("label", str(state), who, f"{sentence} Why: {why}", data)
        records.record(conn, row, decision, now)
        subject = f"label {label.provider_id} of {row.ticket_id}"
        audit_log.record(conn, "void", now, who=who, why=why, subject=subject)
        if row.step is Step.APPROVED:
            another = "The ticket is approved, so a running worker makes another label."
        else:
            another = "Set the ticket to approved to make another label."
        add_note(conn, row, f"{sentence} By {who}: {why}. {another} (Return {row.number})", now)
        return Voided(released, changed, f"{sentence} {another}")

    return store.write("label.voided", settle)


def _taken(
    conn: Connection, provider: LabelProvider, clock: Clock, text: str
) -> tuple[Return, Return, LabelRow]:
    """Hold the return; return it as it was, as it is now, and the label to void."""
    row = found(conn, text)
    held = records.take(conn, row, clock(), _LEASE)
    if held is None:
        raise ReturnStateError(
            f"{row.ticket_id} ({row.number}) is being processed: try again in a minute"
        )
    label = usable(held, label_records.of_return(conn, row.id))
    if label.provider != provider.name:
        raise ConfigurationError(
            f"the label of {row.ticket_id} is of {label.provider}, but DISPATCH_RETURNS_LABELS is"
            f" {provider.name}: set it to {label.provider} for this command"
        )
    return row, held, label
