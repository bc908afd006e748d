"""Notifications: the messages that a customer gets at each step, each of them once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.notifications.comments import TicketComments
    from dispatch_returns.returns.notifications.notification import (
        Notification,
        NotificationKind,
        Notifier,
        sample,
    )
    from dispatch_returns.returns.notifications.rendering import Templates
    from dispatch_returns.returns.notifications.several import Several, load
    from dispatch_returns.returns.notifications.smtp import SmtpNotifier

__all__ = [
    "Notification",
    "NotificationKind",
    "Notifier",
    "Several",
    "SmtpNotifier",
    "Templates",
    "TicketComments",
    "load",
    "sample",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".notification",
        {
            ".comments": ["TicketComments"],
            ".rendering": ["Templates"],
            ".several": ["Several", "load"],
            ".smtp": ["SmtpNotifier"],
        },
    )
