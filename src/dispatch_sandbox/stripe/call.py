"""One request with checked parameters, as an endpoint gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatch_sandbox.stripe.book import Book
from dispatch_sandbox.stripe.faults import Fault
from dispatch_sandbox.stripe.params import MAX_METADATA_KEYS
from dispatch_sandbox.stripe.problems import invalid
from dispatch_sandbox.stripe.state import PLATFORM, StripeState


@dataclass(frozen=True, slots=True)
class StripeCall:
    """One request of one account. ``fault`` decides how a new refund turns out."""

    state: StripeState
    account: str
    params: dict[str, Any]
    object_id: str = ""
    fault: Fault | None = None

    @property
    def book(self) -> Book:
        """The account's objects."""
        return self.state.book(self.account)

    @property
    def created(self) -> int:
        """The current time in Unix seconds."""
        return int(self.state.now())

    @property
    def connected(self) -> bool:
        """Whether the request acts for a connected account."""
        return self.account != PLATFORM

    def metadata(self, before: dict[str, str]) -> dict[str, str]:
        """Return an object's metadata after this request. An empty value deletes its key."""
        if "metadata" not in self.params:
            return before
        sent: dict[str, str] | None = self.params["metadata"]
        if sent is None:
            return {}
        merged = {key: value for key, value in (before | sent).items() if value}
        if len(merged) > MAX_METADATA_KEYS:
            raise invalid(
                f"You may only specify up to {MAX_METADATA_KEYS} metadata keys.", param="metadata"
            )
        return merged
