"""What the customer is told at each step, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.workflow.notices.notice import Notifier

if TYPE_CHECKING:
    from dispatch_returns.api import DispatchClient


def load(
    names: Sequence[str],
    client: DispatchClient,
    *,
    smtp: Mapping[str, str],
    shop: str = "",
    templates: str | None = None,
) -> tuple[Notifier, ...]:
    """Return the notifiers of these `names`: ``comments``, ``smtp``, both, or none.

    `smtp` are its options (see `SmtpNotifier.from_settings`), `templates` the merchant's folder.
    Each notice is told by each of them, and each telling is a message of its own, so that one
    that fails is not told twice by the other. Raises `ConfigurationError`.
    """
    from dispatch_returns.workflow.notices.comments import TicketComments
    from dispatch_returns.workflow.notices.rendering import Templates
    from dispatch_returns.workflow.notices.smtp import SmtpNotifier

    if unknown := sorted(set(names) - {"comments", "smtp"}):
        raise ConfigurationError(
            f"there is no notifier {', '.join(unknown)}: use comments, smtp or both"
        )
    if not names:
        return ()
    words = Templates(shop=shop, folder=templates)
    made: dict[str, Notifier] = {}
    for name in names:
        if name == "comments":
            made[name] = TicketComments(client, words)
        else:
            made[name] = SmtpNotifier.from_settings(smtp, words)
    return tuple(made.values())
