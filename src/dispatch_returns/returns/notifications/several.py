"""Several notifiers as one, and the notifiers of the settings by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dispatch_returns.errors import ConfigurationError, NotificationError
from dispatch_returns.plugins.options import named_by_variable, read_options
from dispatch_returns.returns.notifications.notification import Notification, Notifier

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient


class Several:
    """A `Notifier` that sends a notification by several others, in their order.

    The first that can't send it now ends the attempt, so that those after it have sent nothing
    when all are tried again. Put those that can look up what they have sent first.
    """

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    @property
    def name(self) -> str:
        """The names of all of them."""
        return "+".join(each.name for each in self._notifiers)

    def __repr__(self) -> str:
        return f"Several({', '.join(map(repr, self._notifiers))})"

    def send(self, notification: Notification, *, again: bool = False) -> None:
        """Send it by each. Raises the `NotificationError` of the first that failed."""
        refused: NotificationError | None = None
        for each in self._notifiers:
            try:
                each.send(notification, again=again)
            except NotificationError as error:
                if error.retryable:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused

    def close(self) -> None:
        """Close all of them."""
        for each in self._notifiers:
            each.close()


def load(
    names: Sequence[str],
    client: DispatchClient,
    *,
    smtp: Mapping[str, str],
    shop: str = "",
    templates: str | None = None,
) -> Notifier | None:
    """Return the notifier called `names`: ``comments``, ``smtp``, or both; None for no names.

    `smtp` are the options of `SmtpOptions`, `templates` is the merchant's folder.
    Raises `ConfigurationError`.
    """
    from dispatch_returns.returns.notifications.comments import TicketComments
    from dispatch_returns.returns.notifications.rendering import Templates
    from dispatch_returns.returns.notifications.smtp import SmtpNotifier, SmtpOptions

    if unknown := sorted(set(names) - {"comments", "smtp"}):
        raise ConfigurationError(
            f"unknown notifier {', '.join(unknown)}: use comments, smtp or both"
        )
    if not names:
        return None
    words = Templates(shop=shop, folder=templates)
    made: list[Notifier] = []
    if "comments" in names:
        made.append(TicketComments(client, words))
    if "smtp" in names:
        options = read_options(SmtpOptions, SmtpNotifier.name, smtp)
        with named_by_variable(SmtpOptions, SmtpNotifier.name):
            made.append(SmtpNotifier.from_options(options, words))
    return made[0] if len(made) == 1 else Several(made)
