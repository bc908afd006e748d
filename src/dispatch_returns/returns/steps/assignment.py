"""Who looks at a return: the person or the queue of a policy, as the ticket says it."""

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
_REMEDY = "name another one in the return policy, and give this ticket to somebody by hand"


class Reviewers:
    """Finds who looks at a ticket next.

    A queue is a category of Dispatch: a ticket has one, and people's views are made of them.
    Safe to use in many threads.
    """

    def __init__(self, client: DispatchClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._known: tuple[datetime, tuple[Category, ...]] | None = None

    def refused(self, assignee: str | None) -> str:
        """Say what is wrong with a reviewer that Dispatch does not take."""
        self._known = None  # a queue may have been deleted, and made again
        return f"Dispatch does not take {assignee} as who looks at it: {_REMEDY}."

    def find(self, assignee: str | None, *, patient: bool) -> tuple[dict[str, Any], str | None]:
        """Return the ticket's fields that say who looks at it, and what is wrong where none does.

        `patient`: where the categories cannot be read now, the error is raised so that it is
        tried again. Raises `APIError`.
        """
        if assignee is None:
            return {}, None
        queue = queue_of(assignee)
        if queue is None:
            return {"assignee_id": assignee}, None
        try:
            found = self._category(queue)
        except APIError as error:
            if patient and error.retryable:
                raise
            return {}, f"The queue {queue} could not be looked up ({error}): {_REMEDY}."
        if found is not None:
            return {"category_id": found.id}, None
        return {}, (
            f"There is no queue {queue}: make a category of that name in Dispatch"
            f" (`dispatch-returns setup` does), or {_REMEDY}."
        )

    def _category(self, name: str) -> Category | None:
        """Look for a category where they were read a short time ago, and then at Dispatch."""
        known, now = self._known, self._clock()
        if known is not None and known[0] <= now < known[0] + _GOOD_FOR:
            found = find_category(known[1], name)
            if found is not None:
                return found
        categories = tuple(self._client.categories.list())
        self._known = (now, categories)
        return find_category(categories, name)


def find_category(categories: Iterable[Category], name: str) -> Category | None:
    """Return the category called `name`, written just so or, else, in other capitals."""
    alike = [it for it in categories if it.name.strip().casefold() == name.strip().casefold()]
    return next((it for it in alike if it.name == name), alike[0] if alike else None)
