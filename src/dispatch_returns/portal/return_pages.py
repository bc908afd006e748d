"""The pages after the proof: what can come back, why, what for, and what becomes of it.

The draft travels in the address, from page to page: going back loses nothing, a reload repeats
nothing, and each page judges it again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dispatch_returns.portal.core import Quote, ReturnDraft, ReturnOptions, title_of
from dispatch_returns.portal.drafts import Drafts
from dispatch_returns.portal.forms import NOTE_LIMIT, fields_of, query_of
from dispatch_returns.portal.front import HEADERS, NO_STORE, Front, Visit, redirect
from dispatch_returns.returns.online.service import OnlineReturns
from dispatch_returns.returns.policy.verdict import Outcome
from dispatch_returns.returns.transitions import Step
from dispatch_returns.webhooks.http import Answer

if TYPE_CHECKING:
    from dispatch_returns.returns.orders.model import Order


class ReturnPages:
    """`wait`: seconds that a confirmed request waits for its decision, to show it at once."""

    def __init__(self, online: OnlineReturns, drafts: Drafts, front: Front, *, wait: float) -> None:
        self._online = online
        self._drafts = drafts
        self._front = front
        self._wait = wait

    def order(self, visit: Visit) -> Answer:
        """Show the order's returns, and ask what should come back."""
        order = self._proven(visit)
        return order if isinstance(order, Answer) else self._choose(visit, order)

    def reason(self, visit: Visit) -> Answer:
        """Ask why."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        found = self._drafts.options(order)
        draft = visit.query.draft(found, _new_id())
        if not draft.items:
            return self._choose(visit, order, nothing=True)
        return self._ask_reason(visit, found, draft)

    def check(self, visit: Visit) -> Answer:
        """Ask what exactly, if the reason asks for it; then show what they get."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        found = self._drafts.options(order)
        draft = visit.query.draft(found, _new_id())
        if not draft.items:
            return self._choose(visit, order, nothing=True)
        chosen = None if draft.reason is None else found.reason(draft.reason)
        if chosen is None:
            return self._ask_reason(visit, found, draft, nothing=True)
        if chosen.details and draft.detail is None:
            nothing = "asked" in visit.query.fields
            return self._front.page(
                visit,
                "detail",
                422 if nothing else 200,
                reason=chosen,
                hidden={**fields_of(draft), "asked": "1"},
                back=query_of(draft),
                nothing=nothing,
            )
        return self._show_quote(visit, order, draft)

    def confirm(self, visit: Visit) -> Answer:
        """Judge the draft again, and ask for the return: once, however often it is sent."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        form, order_id = visit.form, visit.session.order_id or ""
        request_id = self._drafts.request_id(order, form.text("d"))
        if self._drafts.progress(order, request_id) is not None:
            return _to_return(request_id)
        found = self._drafts.options(order)
        draft = form.draft(found, _new_id())
        if not draft.items or draft.reason is None:
            return redirect(f"order?{query_of(draft)}")
        note, email = form.text("note", NOTE_LIMIT), form.text("email", 254)
        if not order.customer_email and not _is_address(email):
            return self._show_quote(
                visit, order, draft, 422, wrong_email=True, note=note, email=email
            )
        judged = self._drafts.quote(order, draft)
        if judged.outcome is Outcome.REJECT or form.text("seen") != _seen(judged):
            return self._show_quote(visit, order, draft, 409, changed=True, note=note, email=email)
        self._drafts.confirm(
            order_id,
            order,
            draft,
            language=visit.words.language,
            note=note or None,
            email=email or None,
        )

        def is_decided() -> bool:
            shown = self._drafts.progress(order, request_id)
            return shown is None or (shown.row is not None and shown.row.policy is not None)

        self._wait_until(is_decided)
        return _to_return(request_id)

    def progress(self, visit: Visit) -> Answer:
        """Show where a return is, and what the customer can do."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        shown = self._drafts.progress(order, visit.query.text("r"))
        if shown is None:
            return self._front.message(visit, "no_return", 404)
        return self._front.page(
            visit,
            "return",
            order_id=order.number or visit.session.order_id,
            shown=shown,
            titles={line.sku: title_of(order, line.sku) for line in order.lines},
        )

    def label(self, visit: Visit) -> Answer:
        """Return the label's document."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        shown = self._drafts.progress(order, visit.query.text("r"))
        if shown is None or shown.label is None or shown.label.pdf is None or shown.row is None:
            return self._front.message(visit, "no_label", 404)
        name = f'inline; filename="return-label-{shown.row.number}.pdf"'
        kind = (("content-type", "application/pdf"), ("content-disposition", name))
        return Answer(200, shown.label.pdf, (*kind, *HEADERS, NO_STORE))

    def ask_to_cancel(self, visit: Visit) -> Answer:
        """Ask before a return is cancelled."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        shown = self._drafts.progress(order, visit.query.text("r"))
        if shown is None or not shown.can_be_cancelled:
            return self._front.message(visit, "cannot_cancel", 409)
        return self._front.page(visit, "cancel", shown=shown)

    def cancel(self, visit: Visit) -> Answer:
        """Cancel a return, and show what has become of it."""
        order = self._proven(visit)
        if isinstance(order, Answer):
            return order
        request_id = visit.form.text("r")
        shown = self._drafts.progress(order, request_id)
        if shown is None or shown.row is None:
            return self._front.message(visit, "cannot_cancel", 409)
        if shown.row.step is Step.CANCELLED:
            return _to_return(request_id)  # sent before
        if not shown.can_be_cancelled:
            return self._front.message(visit, "cannot_cancel", 409)
        self._online.cancel(shown)

        def is_over() -> bool:
            now = self._drafts.progress(order, request_id)
            return now is None or not now.can_be_cancelled

        if self._wait_until(is_over):
            return _to_return(request_id)
        return self._front.message(visit, "cancelling", 200)

    def _proven(self, visit: Visit) -> Order | Answer:
        """Return the order that the session has proven, or the answer if it has proven none."""
        if visit.session.order_id is None:
            return redirect("./")
        order = self._online.order(visit.session.order_id)
        return self._front.message(visit, "no_order", 404) if order is None else order

    def _choose(self, visit: Visit, order: Order, *, nothing: bool = False) -> Answer:
        found = self._drafts.options(order)
        return self._front.page(
            visit,
            "order",
            422 if nothing else 200,
            order_id=order.number or visit.session.order_id,
            options=found,
            draft=visit.query.draft(found, _new_id()),
            returns=self._online.returns_of(order),
            nothing=nothing,
        )

    def _ask_reason(
        self, visit: Visit, found: ReturnOptions, draft: ReturnDraft, *, nothing: bool = False
    ) -> Answer:
        return self._front.page(
            visit,
            "reason",
            422 if nothing else 200,
            options=found,
            allowed=found.reasons_for(draft.items),
            draft=draft,
            hidden=fields_of(draft, reason=False),
            back=query_of(draft),
            nothing=nothing,
        )

    def _show_quote(
        self, visit: Visit, order: Order, draft: ReturnDraft, status: int = 200, **more: Any
    ) -> Answer:
        judged = self._drafts.quote(order, draft)
        chosen = self._drafts.reason(order, draft.reason)
        details = {} if chosen is None else {it.key: it for it in chosen.details}
        values = {"changed": False, "wrong_email": False, "note": "", "email": ""} | more
        return self._front.page(
            visit,
            "check",
            status,
            quote=judged,
            reason=chosen,
            detail=details.get(draft.detail or ""),
            hidden=fields_of(draft) | {"seen": _seen(judged)},
            back=query_of(draft),
            has_email=bool(order.customer_email),
            note_limit=NOTE_LIMIT,
            **values,
        )

    def _wait_until(self, done: Callable[[], bool]) -> bool:
        """Give the workers a moment; return whether it is done."""
        until = time.monotonic() + self._wait
        while not (is_done := done()) and time.monotonic() < until:
            time.sleep(0.1)
        return is_done


def _to_return(request_id: str) -> Answer:
    return redirect(f"return?r={request_id}")


def _new_id() -> str:
    return secrets.token_urlsafe(18)


def _seen(judged: Quote) -> str:
    """Return what a customer agrees to: if it has changed since, they are shown it again."""
    return f"{judged.outcome} {judged.total} {judged.returnless}"


def _is_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    return bool(local) and "." in domain and not any(it.isspace() for it in text)
