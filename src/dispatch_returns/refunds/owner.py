"""Whose order a ticket is about, as far as that is known, and the merchant's proof of it."""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from dispatch_returns.refunds.order_ids import order_key

PROOF = "order_proof"
"""The custom field that carries a proof."""
_PURPOSE = "dispatch-returns: the ticket is of the customer of this order\n"


class Standing(enum.StrEnum):
    """How the ticket's customer relates to the order."""

    OWNER = "owner"
    """Their address is the one that the order's source gives."""
    PROVEN = "proven"
    """The merchant's own backend made the ticket for this order, and signed it."""
    APPROVED = "approved"
    """A person has accepted exactly this ticket, order and address."""
    UNKNOWN = "unknown"
    """No source gives an address, so there is nothing to compare."""
    DIFFERS = "differs"
    """The order belongs to another customer, as far as is known."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose order a ticket is about. ``email`` is the order's own address, where one is known.

    ``subject`` stands for the order and the ticket's customer together, and reveals neither: an
    approval covers both.
    """

    standing: Standing
    subject: str = ""
    email: str | None = field(default=None, repr=False)

    @property
    def is_known(self) -> bool:
        """Whether this order may be shown to the ticket's customer."""
        return self.standing in {Standing.OWNER, Standing.PROVEN, Standing.APPROVED}


NOT_KNOWN = Owner(Standing.UNKNOWN)
"""There is no address to compare the ticket's customer with."""


def sign(key: bytes, order_id: str) -> str:
    """Return the proof that a ticket may have the order `order_id`."""
    digest = hmac.digest(key, f"{_PURPOSE}{order_key(order_id)}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def proves(key: bytes, proof: object, order_ids: Iterable[str | None]) -> bool:
    """Whether `proof` was signed with `key` for one of `order_ids`, all ids of one order."""
    if not isinstance(proof, str):
        return False
    given = proof.strip().encode(errors="replace")
    return any(
        hmac.compare_digest(given, sign(key, it).encode()) for it in order_ids if it is not None
    )
