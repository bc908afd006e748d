"""Who reviews a return: a person or a review queue of the policy, as fields of the ticket."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dispatch_returns.client import DispatchClient
from dispatch_returns.clock import Clock
from dispatch_returns.errors import APIError
from dispatch_returns.returns.policy.keys import queue_of

if TYPE_CHECKING:
    from dispatch_returns.client.models import Category

_GOOD_FOR = timedelta(minutes=5)
_REMEDY = "name another one in the return policy, and assign this ticket by hand"


class Reviewers:
    """Finds who reviews a ticket.

    A review queue is a category of Dispatch: each ticket has one, and agents' views filter by it.
    Safe to use in many threads.
    """

    def __init__(self, client: DispatchClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: tuple[datetime, tuple[Category, ...]] | None = None

    def refused(self, assignee: str | None) -> str:
        """Return a sentence about an assignee that Dispatch refuses."""
        self._known = None  # the queue may have been deleted and made again
        return f"Dispatch does not accept {assignee} as assignee: {_REMEDY}."

    def find(self, assignee: str | None, *, patient: bool) -> tuple[dict[str, Any], str | None]:
        """Return the ticket's fields for `assignee`, and a sentence about what is wrong with it.

        Where something is wrong, the fields are empty. With `patient`, an error that may pass is
        raised, so that the caller retries. Raises `APIError`.
        """
        if assignee is None:
            return {}, None
        queue = queue_of(assignee)
        if queue is None:
            return {"assignee_id": assignee}, None
        # The categories read a short time ago come first, then those of Dispatch.
        found, now = None, self._clock()
        if self._known is not None and self._known[0] <= now < self._known[0] + _GOOD_FOR:
            found = find_category(self._known[1], queue)
        if found is None:
            try:
                categories = tuple(self._client.categories.list())
            except APIError as error:
                if patient and error.retryable:
                    raise
                return {}, f"The queue {queue} could not be looked up ({error}): {_REMEDY}."
            self._known = (now, categories)
            found = find_category(categories, queue)
        if found is not None:
            return {"category_id": found.id}, None
        return {}, (
            f"There is no queue {queue}: make a category of that name in Dispatch"
            f" (`dispatch-returns setup` does), or {_REMEDY}."
        )


def find_category(categories: Iterable[Category], name: str) -> Category | None:
    """Return the category called `name`: in the same case or, if there is none, in another."""
    alike = [it for it in categories if it.name.strip().casefold() == name.strip().casefold()]
    return next((it for it in alike if it.name == name), alike[0] if alike else None)
