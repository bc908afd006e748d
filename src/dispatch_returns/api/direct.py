"""Sends requests over httpx's transport, without its client.

The client keeps cookies, follows redirects and merges addresses: a third of the time of a call,
and nothing that these APIs need. Only it knows the proxies of the environment, though.
"""

from __future__ import annotations

import os
import ssl
import time
from datetime import timedelta
from functools import cache
from typing import TypeVar
from urllib.request import getproxies
from weakref import WeakSet

import httpx

T = TypeVar("T", httpx.HTTPTransport, httpx.AsyncHTTPTransport)


@cache
def tls() -> ssl.SSLContext:
    """Return this process's trust in certificates: reading them takes longer than all else."""
    return httpx.create_ssl_context()


def unless_proxied(transport: type[T]) -> T | None:
    """Return a new transport, or None where the environment names proxies."""
    return None if getproxies() else transport(verify=tls())


class Connections:
    """The connections of this process: those of the `given` client, or else its own.

    After a fork a child opens new ones. On one connection two processes would read each other's
    answers, and take somebody else's refund for their own. A client that was given is its
    owner's affair.

    ``transport`` is None where only the ``client`` knows the way.
    """

    transport: httpx.HTTPTransport | None = None
    client: httpx.Client

    def __init__(self, given: httpx.Client | None, timeout: float) -> None:
        if given is not None:
            self.client = given
            return
        self._timeout = timeout
        self._open()
        _own.add(self)

    def _open(self) -> None:
        self.transport = unless_proxied(httpx.HTTPTransport)
        self.client = httpx.Client(timeout=self._timeout, transport=self.transport, verify=tls())

    def begin_anew(self) -> None:
        """Open other connections; the old ones are dropped, and not told so."""
        if not self.client.is_closed:
            self._open()


_own: WeakSet[Connections] = WeakSet()


def _after_fork_in_child() -> None:
    for connections in list(_own):
        connections.begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


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
