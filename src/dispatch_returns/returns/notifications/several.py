"""Several notifiers as one, and the notifiers of the settings by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dispatch_returns.errors import ConfigurationError, NoticeError
from dispatch_returns.returns.notifications.notice import Notice, Notifier

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient


class Several:
    """A `Notifier` that tells by each of several, in their order.

    The first that cannot tell now ends it, so that those after it have told nothing when all of
    them are asked again: put those that can look what they told before first.
    """

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)

    @property
    def name(self) -> str:
        """The names of all."""
        return "+".join(each.name for each in self._notifiers)

    def __repr__(self) -> str:
        return f"Several({', '.join(map(repr, self._notifiers))})"

    def send(self, notice: Notice, *, again: bool = False) -> None:
        """Tell by each. Raises `NoticeError` of the first that failed."""
        refused: NoticeError | None = None
        for each in self._notifiers:
            try:
                each.send(notice, again=again)
            except NoticeError as error:
                if error.retryable:
                    raise
                refused = refused or error
        if refused is not None:
            raise refused

    def close(self) -> None:
        """Close all."""
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
    """Return the notifier of these `names`: ``comments``, ``smtp``, both, or None for none.

    `smtp` are its options (see `SmtpNotifier.from_settings`), `templates` the merchant's folder.
    Raises `ConfigurationError`.
    """
    from dispatch_returns.returns.notifications.comments import TicketComments
    from dispatch_returns.returns.notifications.rendering import Templates
    from dispatch_returns.returns.notifications.smtp import SmtpNotifier

    if unknown := sorted(set(names) - {"comments", "smtp"}):
        raise ConfigurationError(
            f"there is no notifier {', '.join(unknown)}: use comments, smtp or both"
        )
    if not names:
        return None
    words = Templates(shop=shop, folder=templates)
    made: list[Notifier] = []
    if "comments" in names:
        made.append(TicketComments(client, words))
    if "smtp" in names:
        made.append(SmtpNotifier.from_settings(smtp, words))
    return made[0] if len(made) == 1 else Several(made)
