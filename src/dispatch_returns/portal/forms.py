"""Reads what a browser sends: a path, a query, a form. Every text is bounded, and none believed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from dispatch_returns.portal.core import ReturnDraft, ReturnOptions

MAX_BODY = 32_768
"""Bytes of a form."""
_MOST_FIELDS = 500
_LONGEST = 500
NOTE_LIMIT = 1000
_PIECES = "q."
"""Before an SKU, in the name of the field that says how many pieces come back."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a query or a form: of several with one name, the last counts."""

    fields: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Form:
        """Read fields as forms send them. What is too much is left out."""
        try:
            pairs = parse_qsl(
                text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace"
            )
        except ValueError:
            return cls({})
        return cls({name: _clean(value) for name, value in pairs if len(name) <= _LONGEST})

    def text(self, name: str, limit: int = _LONGEST) -> str:
        """Return a field's text without edge spaces, at most `limit` characters of it."""
        return self.fields.get(name, "").strip()[:limit]

    def draft(self, options: ReturnOptions, new_id: str) -> ReturnDraft:
        """Return the draft that the fields describe, of what `options` has.

        Pieces that the order does not have are left out, and more than are left become what is
        left: the customer sees what they are about to send.
        """
        items: dict[str, int] = {}
        for item in options.items:
            found = re.fullmatch(r"[0-9]{1,4}", self.text(f"{_PIECES}{item.sku}"))
            wanted = min(int(found[0]) if found else 0, item.left)
            if wanted and item.possible != "no":
                items[item.sku] = wanted
        chosen = options.reason(self.text("r"))
        detail = self.text("t")
        known = chosen is not None and detail in {it.key for it in chosen.details}
        return ReturnDraft(
            id=self.text("d") if re.fullmatch(r"[\w-]{16,64}", self.text("d")) else new_id,
            items=items,
            reason=None if chosen is None else chosen.key,
            detail=detail if known else None,
        )


def fields_of(draft: ReturnDraft, *, reason: bool = True) -> dict[str, str]:
    """Return a draft as the fields of a form."""
    fields = {"d": draft.id}
    fields |= {f"{_PIECES}{sku}": str(count) for sku, count in draft.items.items()}
    if reason and draft.reason is not None:
        fields["r"] = draft.reason
        if draft.detail is not None:
            fields["t"] = draft.detail
    return fields


def query_of(draft: ReturnDraft) -> str:
    """Return a draft as a query, so that the way back loses nothing."""
    return urlencode(fields_of(draft))


def page_of(path: str) -> str:
    """Return the page's name: the last part of the path."""
    return path.rpartition("/")[2]


def _clean(text: str) -> str:
    """Return a text without what is no text: control characters, but line ends."""
    return "".join(it for it in text if it.isprintable() or it == "\n")
