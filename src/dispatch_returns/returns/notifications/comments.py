"""Tells the customer in a comment on the ticket, which Dispatch mails."""

from __future__ import annotations

from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import APIError, NotFoundError, NoticeError, ValidationError
from dispatch_returns.returns import comments
from dispatch_returns.returns.notifications.notice import Notice
from dispatch_returns.returns.notifications.rendering import Templates


class TicketComments:
    """A `Notifier` that writes public comments. The client is yours, and is not closed here.

    A comment carries no files: what a notice has attached belongs on the ticket.
    """

    name = "comments"

    def __init__(self, client: DispatchClient, templates: Templates) -> None:
        self._client = client
        self._templates = templates

    def __repr__(self) -> str:
        return "TicketComments()"

    def send(self, notice: Notice, *, again: bool = False) -> None:
        """Write the comment, once for each key. Raises `NoticeError`.

        Raises `NotFoundError` where the API does not know the ticket: it may be so for a moment.
        """
        body = self._templates.render(notice).text
        try:
            comments.write_once(
                self._client, notice.ticket_id, body, notice.key, internal=False, again=again
            )
        except NotFoundError:
            raise
        except ValidationError as error:
            raise NoticeError(f"the comment was refused: {error}") from None
        except APIError as error:
            # Also for a wrong key: once it is mended, the customer is still told.
            raise NoticeError(
                f"the comment could not be written: {error}", retryable=True
            ) from None

    def close(self) -> None:
        """Do nothing: the client is its owner's."""
