"""The way out for many calls at once: the async client over aiohttp, by `http_client` alone."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.client import AsyncDispatchClient
from dispatch_returns.errors import (
    APIConnectionError,
    APITimeoutError,
    NotFoundError,
    OutcomeUnknownError,
)

AiohttpTransport: Any = pytest.importorskip(
    "httpx_aiohttp", reason="needs httpx-aiohttp: dev.py installs it"
).AiohttpTransport


def client(http: httpx.AsyncClient, base_url: str) -> AsyncDispatchClient:
    key, workspace = dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE
    return AsyncDispatchClient(key, workspace, base_url=base_url, http_client=http, max_retries=0)


def over_aiohttp(timeout: float = 10.0) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport(), timeout=timeout)


def test_many_calls_at_once_get_their_own_answers() -> None:
    async def calls(base_url: str) -> None:
        async with over_aiohttp() as http:
            dispatch = client(http, base_url)
            made = await asyncio.gather(
                *(dispatch.tickets.create(subject=f"Return {number}") for number in range(40))
            )
            read = await asyncio.gather(*(dispatch.tickets.get(it.id) for it in made))
            assert [it.subject for it in read] == [f"Return {number}" for number in range(40)]
            with pytest.raises(NotFoundError):
                await dispatch.tickets.get("tkt_none")

    with dispatch_sandbox.running() as box:
        asyncio.run(calls(box.api_url))


def test_its_failures_are_the_same_errors() -> None:
    async def calls() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            here = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with over_aiohttp(timeout=0.2) as http:
                with pytest.raises(APITimeoutError):
                    await client(http, here).tickets.get("tkt_1")
                with pytest.raises(OutcomeUnknownError):
                    await client(http, here).tickets.update("tkt_1", status="open")
        async with over_aiohttp() as http:
            with pytest.raises(APIConnectionError):
                await client(http, here).tickets.get("tkt_1")

    asyncio.run(calls())
