"""The presigned addresses, for the upload and download of attachments.

A presigned address carries its permission in its query. As with the storage services that give
such addresses out, a call that brings a key of its own besides is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dispatch_sandbox.answers import Refusal, not_found
from dispatch_sandbox.blobs import Blobs
from dispatch_sandbox.naming import BRANDS
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record


def routes(state: SandboxState) -> list[Route]:
    """Return the routes of the presigned addresses."""

    async def serve(request: Request) -> Response:
        try:
            record = _permitted(state, request)
            if request.method == "PUT":
                return await _take(state.blobs, record, request)
            if state.blobs.size(record["id"]) is None:
                raise not_found("File")
            # No browser may show it as a page of ours: anybody may have uploaded it.
            headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
            kind = "application/octet-stream"
            return FileResponse(state.blobs.path(record["id"]), headers=headers, media_type=kind)
        except Refusal as refusal:
            return JSONResponse(refusal.body(BRANDS), refusal.status)
        except ClientDisconnect:
            return Response(status_code=400)  # the caller is gone

    return [Route("/files/{attachment_id}", serve, methods=["GET", "PUT"])]


def _permitted(state: SandboxState, request: Request) -> Record:
    if "authorization" in request.headers:
        problem = "A presigned address takes no Authorization header"
        raise Refusal(400, "two_permissions", problem)
    record = state.attachment(request.path_params["attachment_id"])
    if record is None:
        raise not_found("Attachment")
    query: Mapping[str, str] = request.query_params
    wanted = record["readKey"] if request.method in ("GET", "HEAD") else record["writeKey"]
    given = query.get("signature", "").encode("utf-8", "replace")
    if not hmac.compare_digest(given, wanted.encode()) or query.get("expires", "") < state.now():
        raise Refusal(403, "expired", "This address is not valid, or has expired")
    return record


async def _take(blobs: Blobs, record: Record, request: Request) -> Response:
    path = blobs.path(record["id"])
    part, size = path.with_suffix(".part"), 0
    try:
        with part.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > record["size"]:
                    raise Refusal(400, "too_large", "More bytes than were announced")
                file.write(chunk)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Response(status_code=200)
