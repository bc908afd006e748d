"""`serve` listens on a socket of which asyncio knows that it is TCP."""

from __future__ import annotations

import asyncio
import socket

import pytest

from dispatch_returns.cli.serve import listen
from dispatch_returns.errors import ConfigurationError


def test_what_is_accepted_has_no_delay_before_small_answers() -> None:
    async def accepted(listener: socket.socket) -> int:
        delays = asyncio.Queue[int]()

        async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            del reader
            taken = writer.get_extra_info("socket")
            delays.put_nowait(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(look, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            writer.close()
            return await delays.get()

    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert asyncio.run(accepted(listener.dup())) != 0


def test_a_port_that_is_taken_is_said_so() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        taken = pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1, port {port}")
        with taken, listen("127.0.0.1", port):
            pass
