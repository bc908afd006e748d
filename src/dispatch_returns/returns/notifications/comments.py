"""Comments on a ticket, each written once; Dispatch mails public ones to the customer."""

from __future__ import annotations

from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import APIError, NotFoundError, NotificationError, ValidationError
from dispatch_returns.returns.notifications.notification import Notification
from dispatch_returns.returns.notifications.rendering import Templates


class TicketComments:
    """A `Notifier` that writes public comments. The client is the caller's, and not closed here.

    A comment has no files: the attachments of a notification belong on the ticket.
    """

    name = "comments"

    def __init__(self, client: DispatchClient, templates: Templates) -> None:
        self._client = client
        self._templates = templates

    def __repr__(self) -> str:
        return "TicketComments()"

    def send(self, notification: Notification, *, again: bool = False) -> None:
        """Write the comment, once for each key. Raises `NotificationError`.

        Raises `NotFoundError` if the API does not know the ticket, which can be so for a moment.
        """
        if not notification.ticket_id:
            raise NotificationError("it belongs to no ticket, so it can only be mailed")
        body = self._templates.render(notification).text
        try:
            write_once(
                self._client,
                notification.ticket_id,
                body,
                notification.key,
                internal=False,
                again=again,
            )
        except NotFoundError:
            raise
        except ValidationError as error:
            raise NotificationError(f"the comment was refused: {error}") from None
        except APIError as error:
            # Also for a wrong API key: once it is corrected, the customer still gets the message.
            raise NotificationError(
                f"the comment could not be written: {error}", retryable=True
            ) from None

    def close(self) -> None:
        """Do nothing: the client is the caller's."""


_MARK = "dispatch_returns"
"""The metadata key by which our own comments are recognised."""


def write_once(
    client: DispatchClient, ticket_id: str, body: str, key: str, *, internal: bool, again: bool
) -> None:
    """Write a comment with `key`. With `again` it may exist already, and is looked for first.

    An idempotency key alone is not enough: how long the API remembers it is not documented.
    """
    if again and any(
        (comment.metadata or {}).get(_MARK) == key for comment in client.comments.list(ticket_id)
    ):
        return
    client.comments.create(
        ticket_id, body=body, internal=internal, metadata={_MARK: key}, idempotency_key=key
    )
