"""Attachments: ``/workspaces/{id}/tickets/{id}/attachments``, and how a file is transferred.

The customer's attachments, in `portal`, are transferred in the same way.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from dispatch_returns.client import answers, arguments, operation, transfer
from dispatch_returns.client.models import Attachment, UploadTarget
from dispatch_returns.client.operation import Flow, Operation, Scope, ask
from dispatch_returns.client.transfer import Download, Progress, Upload
from dispatch_returns.errors import APIResponseError, InvalidArgumentError

Source: TypeAlias = str | os.PathLike[str] | IO[bytes]

_ATTACHMENT = answers.one(Attachment)


def create(
    scope: Scope, ticket_id: str, *, filename: str, content_type: str, size: int
) -> Operation[UploadTarget]:
    """Announce a file of `size` bytes, and return where its bytes are to be PUT (`upload` does)."""
    return announce(scope, _path(scope, ticket_id), filename, content_type, size)


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
    needed only if it cannot be rewound. `progress` is called with the bytes sent and all,
    `begun` with the attachment's id before the first: what is never confirmed can be deleted by it.
    """
    return upload_steps(
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
    return download_steps(target, progress, get(scope, ticket_id, attachment_id))


def _path(scope: Scope, ticket_id: str, *attachment_id: str) -> str:
    of_ticket = ("tickets", arguments.segment("ticket_id", ticket_id), "attachments")
    ids = (arguments.segment("attachment_id", it) for it in attachment_id)
    return scope.path(*of_ticket, *ids)


def announce(
    scope: Scope, path: str, filename: str, content_type: str, size: int
) -> Operation[UploadTarget]:
    """Describe a file that is about to be uploaded."""
    if type(size) is not int or size < 0:
        raise InvalidArgumentError("size", "must be a whole number of bytes, 0 or more")
    fields = {
        "filename": arguments.text("filename", filename),
        "content_type": arguments.text("content_type", content_type),
        "size": size,
    }
    return operation.post(scope, path, answers.one(UploadTarget), fields, None)


def upload_steps(
    source: Source,
    *,
    filename: str | None,
    content_type: str | None,
    size: int | None,
    progress: Progress | None,
    begun: Callable[[str], object] | None = None,
    create: Callable[[str, str, int], Operation[UploadTarget]],
    confirm: Callable[[str], Operation[Attachment]],
) -> Flow[Attachment]:
    """Make an attachment, send its bytes, confirm it."""
    with transfer.reading(source) as file:
        name = filename or _name(source)
        kind = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        length = transfer.size_of(file) if size is None else size
        announced = create(name, kind, length)
        target = yield from ask(announced)
        if begun is not None:
            begun(target.attachment_id)
        path = f"{announced.path}/{target.attachment_id} (upload)"
        yield Upload(path, target.upload_url, file, length, kind, progress)
        return (yield from ask(confirm(target.attachment_id)))


def download_steps(
    target: Source, progress: Progress | None, get: Operation[Attachment]
) -> Flow[Attachment]:
    """Look an attachment up, and fetch its bytes."""
    found = yield from ask(get)
    if found.download_url is None:
        raise APIResponseError(f"{get}: the answer has no download address")
    with transfer.writing(target) as file:
        yield Download(f"{get.path} (download)", found.download_url, file, found.size, progress)
    return found


def _name(source: Source) -> str:
    path: object = source
    if not isinstance(source, str | os.PathLike):
        path = getattr(source, "name", None)
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgumentError("filename", "is needed: this source has no name")
    return Path(os.fsdecode(path)).name  # pyright: ignore[reportUnknownArgumentType]
