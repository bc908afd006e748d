"""Judges drafts by the order, the policy and the other returns as they are now, and sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.portal.core import (
    Quote,
    ReturnDraft,
    ReturnOptions,
    options,
    quote,
    reasons_of,
)
from dispatch_returns.returns.online.service import OnlineReturns, ReturnProgress
from dispatch_returns.returns.policy.model import ReasonChoice
from dispatch_returns.returns.policy.verdict import Outcome

if TYPE_CHECKING:
    from dispatch_returns.returns.orders.model import Order


class Drafts:
    """The portal's core with its surroundings. Safe to use in many threads."""

    def __init__(self, online: OnlineReturns) -> None:
        self._online = online

    def options(self, order: Order) -> ReturnOptions:
        """Return what may come back now."""
        history = self._online.before(order).history
        return options(self._online.policy(order), order, history, self._online.now())

    def reason(self, order: Order, key: str | None) -> ReasonChoice | None:
        """Return a reason that the policy offers, by its key."""
        reasons = reasons_of(self._online.policy(order))
        return next((it for it in reasons if it.key == key), None)

    def quote(self, order: Order, draft: ReturnDraft) -> Quote:
        """Return what would come of a draft now."""
        return quote(
            self._online.policy(order),
            order,
            self._online.before(order).history,
            draft,
            self._online.now(),
            duplicate=bool(self._online.before(order, draft.items).same),
        )

    def confirm(
        self,
        order_id: str,
        order: Order,
        draft: ReturnDraft,
        *,
        language: str,
        note: str | None,
        email: str | None,
    ) -> str:
        """Ask for the return of a draft, once for its id, and return the request's id.

        Raises `InvalidArgumentError` for what can't be asked for.
        """
        request_id = self.request_id(order, draft.id)
        if self.progress(order, request_id) is not None:
            return request_id
        if not draft.items or draft.reason is None:
            raise InvalidArgumentError("draft", "name at least one item, and the reason")
        if not order.customer_email and not email:
            raise InvalidArgumentError("email", "the order has no address: give the customer's")
        found = self.options(order)
        for sku, count in draft.items.items():
            item = found.item(sku)
            if item is None or not 0 < count <= item.left:
                raise InvalidArgumentError("draft", f"{sku}: the order has not that many left")
        if self.quote(order, draft).outcome is Outcome.REJECT:
            raise InvalidArgumentError("draft", "the return policy refuses it: see its quote")
        self._online.request(
            request_id,
            order_id,
            order,
            draft.items,
            draft.reason,
            detail=draft.detail,
            note=note,
            language=language,
            email=email,
        )
        return request_id

    def progress(self, order: Order, request_id: str) -> ReturnProgress | None:
        """Return a return of the order by its id in the portal."""
        found = self._online.returns_of(order)
        return next((it for it in found if it.id == request_id), None)

    def request_id(self, order: Order, draft_id: str) -> str:
        """Return the id of the request that a draft becomes: the same each time it is sent."""
        digest = self._online.codes.digest("request", f"{order.id}\n{draft_id}")
        return f"req_{digest[:32]}"
