"""What is to be set up at the payment processor, which nobody can do from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatch_returns.connector.settings import Settings


@dataclass(frozen=True, slots=True)
class WantedNews:
    """The webhook that the processor should have: `events`, signed with what `variable` holds."""

    adapter: str
    events: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The variable that holds the signing secret."""
        return f"{self.adapter}_webhook_secret".upper()

    def instructions(self, url: str) -> str:
        """Return what a person should do."""
        return (
            f"At {self.adapter.capitalize()}, add a webhook to {url} for the events"
            f" {', '.join(self.events)}, and set {self.variable} to its signing secret."
        )


def wanted_news(settings: Settings) -> WantedNews | None:
    """Return what the adapter's processor should send, None if it sends nothing.

    Raises `ConfigurationError` when there is no such adapter.
    """
    from dispatch_returns.refunds.registry import load_adapter

    # Of the class, because an adapter may want settings that are not there yet.
    events: tuple[str, ...] = getattr(load_adapter(settings.adapter), "webhook_events", ())
    return WantedNews(settings.adapter, events) if events else None


def url_beside(dispatch_url: str, adapter: str) -> str:
    """Return where the processor's events arrive, given where Dispatch's do."""
    folder, _, last = dispatch_url.rstrip("/").rpartition("/")
    return f"{folder}/{adapter}" if last == "dispatch" else f"https://.../webhooks/{adapter}"
