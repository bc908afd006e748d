"""A webhook as it arrived, in one type for the receivers and for those who verify it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A processor's request.

    ``path`` and ``query`` are as this server saw them. Only the proxy before it knows the scheme
    and the host that the processor used, so an adapter whose processor signs the whole URL takes
    the public URL from its options. Header names are case-insensitive: read them with `header`.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)

    def header(self, name: str) -> str | None:
        """Return a header, joined by ``", "`` if it was sent more than once; None if missing."""
        wanted = name.lower()
        values = [value for key, value in self.headers.items() if key.lower() == wanted]
        return ", ".join(values) if values else None
