"""Sends requests over httpx's transport, without its client.

The client keeps cookies, follows redirects and merges addresses: a third of the time of a call,
and nothing that these APIs need. Only it knows the proxies of the environment, though.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TypeVar
from urllib.request import getproxies

import httpx

T = TypeVar("T", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


def unless_proxied(transport: type[T]) -> T | None:
    """Return a new transport, or None where the environment names proxies."""
    return None if getproxies() else transport()


def send(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    """Return the whole answer. Raises `httpx.RequestError`."""
    start = time.perf_counter()
    response = transport.handle_request(request)
    try:
        response.read()
    finally:
        response.close()
    response.elapsed = timedelta(seconds=time.perf_counter() - start)
    return response


async def send_async(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    """Do as `send`."""
    start = time.perf_counter()
    response = await transport.handle_async_request(request)
    try:
        await response.aread()
    finally:
        await response.aclose()
    response.elapsed = timedelta(seconds=time.perf_counter() - start)
    return response
