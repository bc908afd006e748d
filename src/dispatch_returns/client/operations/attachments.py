"""Attachments: ``/workspaces/{id}/tickets/{id}/attachments``."""

from __future__ import annotations

from collections.abc import Callable

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.models import Attachment, UploadTarget
from dispatch_returns.client.operation import Flow, Operation, Scope
from dispatch_returns.client.operations import files
from dispatch_returns.client.operations.files import Source
from dispatch_returns.client.transfer import Progress

_ATTACHMENT = answers.one(Attachment)


def create(
    scope: Scope, ticket_id: str, *, filename: str, content_type: str, size: int
) -> Operation[UploadTarget]:
    """Announce a file of `size` bytes, and return where its bytes are to be PUT (`upload` does)."""
    return files.begin(scope, _path(scope, ticket_id), filename, content_type, size)


def confirm(scope: Scope, ticket_id: str, attachment_id: str) -> Operation[Attachment]:
    """Say that the bytes are there, and return the attachment."""
    return Operation("POST", f"{_path(scope, ticket_id, attachment_id)}/confirm", _ATTACHMENT)


def list_all(scope: Scope, ticket_id: str) -> Operation[list[Attachment]]:
    """Return the ticket's attachments."""
    return operation.get(_path(scope, ticket_id), answers.many(Attachment))


def get(scope: Scope, ticket_id: str, attachment_id: str) -> Operation[Attachment]:
    """Return the attachment with its ``download_url``."""
    return operation.get(_path(scope, ticket_id, attachment_id), _ATTACHMENT)


def delete(scope: Scope, ticket_id: str, attachment_id: str) -> Operation[None]:
    """Delete the attachment."""
    return operation.delete(_path(scope, ticket_id, attachment_id))


def upload(
    scope: Scope,
    ticket_id: str,
    source: Source,
    *,
    filename: str | None = None,
    content_type: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    begun: Callable[[str], object] | None = None,
) -> Flow[Attachment]:
    """Upload a file, and return the attachment. It is read in small parts, never as a whole.

    `source` is a path, or a file that is open in binary (from where it stands; it stays open).
    `filename` and `content_type` follow from it where they are not given; `size`, in bytes, is
    needed only if it cannot be wound back. `progress` is called with the bytes sent and all,
    `begun` with the attachment's id before the first: what is never confirmed can be deleted by it.
    """
    return files.upload(
        source,
        filename=filename,
        content_type=content_type,
        size=size,
        progress=progress,
        begun=begun,
        create=lambda name, kind, length: create(
            scope, ticket_id, filename=name, content_type=kind, size=length
        ),
        confirm=lambda attachment_id: confirm(scope, ticket_id, attachment_id),
    )


def download(
    scope: Scope,
    ticket_id: str,
    attachment_id: str,
    target: Source,
    *,
    progress: Progress | None = None,
) -> Flow[Attachment]:
    """Fetch the file, and return its attachment. It is held in small parts, never as a whole.

    `target` is a path, where the file appears once all of it is there, or a file that is open in
    binary. `progress` is called with the bytes that came and all (-1: unknown).
    """
    return files.download(target, progress, get(scope, ticket_id, attachment_id))


def _path(scope: Scope, ticket_id: str, *attachment_id: str) -> str:
    of_ticket = ("tickets", arguments.segment("ticket_id", ticket_id), "attachments")
    ids = (arguments.segment("attachment_id", it) for it in attachment_id)
    return scope.path(*of_ticket, *ids)
