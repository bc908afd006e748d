"""Sends requests over httpx's transport, without its client.

The client keeps cookies, follows redirects and merges addresses: a third of the time of a call,
and nothing that these APIs need. Only it knows the proxies of the environment, though.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar
from urllib.request import getproxies
from weakref import WeakSet

import httpx

from dispatch_returns.errors import ConfigurationError

T = TypeVar("T", httpx.HTTPTransport, httpx.AsyncHTTPTransport)
C = TypeVar("C", httpx.Client, httpx.AsyncClient)


@cache
def tls() -> ssl.SSLContext:
    """Return this process's trust in certificates: reading them takes longer than all else.

    Raises `ConfigurationError` where the environment names certificates that can't be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigurationError(
            f"SSL_CERT_FILE or SSL_CERT_DIR: the certificates can't be read"
            f" ({type(error).__name__}). Correct the path, or unset the variable"
        ) from None


def proxies() -> Mapping[str, str]:
    """Return the proxies of the environment by scheme (``http``, ``https``, ``all``)."""
    known = getproxies()
    return {scheme: known[scheme] for scheme in ("http", "https", "all") if known.get(scheme)}


def unless_proxied(transport: Callable[..., T], **given: Any) -> T | None:
    """Return a new transport, or None where the environment names proxies."""
    return None if proxies() else transport(verify=tls(), **given)


def open_client(client: type[C], timeout: float, **given: Any) -> C:
    """Return a new client that goes the way that the environment names, as httpx reads it.

    Raises `ConfigurationError` for a variable that httpx can't use. Without a proxy NO_PROXY
    means nothing, and is not read.
    """
    try:
        return client(timeout=timeout, verify=tls(), trust_env=bool(proxies()), **given)
    except ImportError:
        raise ConfigurationError(
            f"{_variable('socks')}: a SOCKS proxy needs one more package. Install it with"
            " pip install 'httpx[socks]', or name a proxy that begins with http://"
        ) from None
    except (httpx.InvalidURL, ValueError):
        raise _wrong_proxy() from None


def _wrong_proxy() -> ConfigurationError:
    for scheme, url in proxies().items():
        try:
            httpx.Proxy(url)
        except (httpx.InvalidURL, ValueError):
            return ConfigurationError(
                f"{scheme.upper()}_PROXY: not the address of a proxy. Write it whole, such as"
                " http://proxy.example.com:3128, or unset the variable"
            )
    return ConfigurationError(
        "NO_PROXY: an entry can't be read. Leave out IPv6 networks (fd00::/8), and write an IPv6"
        " address without brackets (::1)"
    )


def _variable(prefix: str) -> str:
    named = (scheme for scheme, url in proxies().items() if url.startswith(prefix))
    return f"{next(named, 'all').upper()}_PROXY"


_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""The threads bound how many calls there are: none waits for a connection that others hang on."""


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
        self.transport = unless_proxied(httpx.HTTPTransport, limits=_LIMITS)
        self.client = open_client(
            httpx.Client, self._timeout, transport=self.transport, limits=_LIMITS
        )

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
