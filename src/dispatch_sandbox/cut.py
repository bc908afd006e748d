"""An answer that is lost: the connection ends instead."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Send


async def cut(receive: Receive, send: Send) -> None:
    """Close the connection without an answer.

    ASGI has no word for that. uvicorn's ``receive`` belongs to an object that holds the transport.
    Where something is wrapped around it, an answer is begun that promises more than ever comes.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if isinstance(transport, asyncio.Transport):
        transport.abort()
        await receive()  # returns when the server knows that the connection is gone
        return
    headers = [(b"content-length", b"1"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
