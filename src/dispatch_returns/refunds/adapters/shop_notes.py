"""How a refund in a shop system says that it is ours: in its note, as it has no other field.

People see the note in the shop, and some gateways show it to the customer, so it says what it is.
"""

from __future__ import annotations

import re

from dispatch_returns.errors import UnsupportedFeatureError
from dispatch_returns.refunds.adapter import RefundRequest
from dispatch_returns.refunds.adapters.references import Ours

_MARK = re.compile(
    r"\[dispatch-returns (?P<key>(?P<refund>rfd_[0-9a-f]{32})-g[0-9]+)"
    r" (?P<workspace>[\w.:-]+) (?P<ticket>[\w.:-]+)\]",
    re.ASCII,
)
_WORD = re.compile(r"[\w.:-]{1,200}", re.ASCII)


def note_of(request: RefundRequest) -> str:
    """Return the note of a refund. Raises `UnsupportedFeatureError` for an id that does not fit."""
    words = (request.idempotency_key, request.workspace_id, request.ticket_id)
    if not all(_WORD.fullmatch(word) for word in words):
        raise UnsupportedFeatureError("an id has characters that do not fit into the shop's note")
    reference = request.details.reference
    return f"{f'Return {reference} ' if reference else ''}[dispatch-returns {' '.join(words)}]"


def ours_in(note: str | None) -> Ours | None:
    """Return what our note in a refund says, None where somebody else made the refund."""
    found = _MARK.search(note or "")
    if found is None:
        return None
    return Ours(found["refund"], found["key"], found["workspace"], found["ticket"])
