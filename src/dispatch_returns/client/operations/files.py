"""What the two kinds of attachments, the agent's and the customer's, have in common."""

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


def begin(
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


def upload(
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


def download(
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
