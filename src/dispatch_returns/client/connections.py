"""The HTTP connections of this process: certificates, proxies, forks, and what httpx may log.

Everything that we call goes through `httpx.Client` or `httpx.AsyncClient` as they are.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.request import getproxies
from weakref import WeakSet

import anyio.lowlevel
import httpx

from dispatch_returns.errors import ConfigurationError

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Threads limit how many calls there are: no call waits for a connection of calls that hang."""


@cache
def tls() -> ssl.SSLContext:
    """Return the certificates that this process trusts. Reading them is slow, so it happens once.

    Raises `ConfigurationError` if the environment names certificates that can't be read.
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


def open_client(client: type[C], timeout: float, **options: Any) -> C:
    """Return a new httpx client that follows the environment's proxies and certificates.

    `timeout` is in seconds; `options` are httpx's own. Raises `ConfigurationError`, naming the
    variable, for one that httpx can't use. Without a proxy NO_PROXY has no effect, so it is not
    read then.
    """
    try:
        return client(timeout=timeout, verify=tls(), trust_env=bool(proxies()), **options)
    except ImportError:
        socks = (name.upper() for name, url in proxies().items() if url.startswith("socks"))
        raise ConfigurationError(
            f"{next(socks, 'ALL')}_PROXY: a SOCKS proxy needs one more package. Install it with"
            " pip install 'httpx[socks]', or name a proxy that begins with http://"
        ) from None
    except (httpx.InvalidURL, ValueError):
        for scheme, url in proxies().items():
            try:
                httpx.Proxy(url)
            except (httpx.InvalidURL, ValueError):
                raise ConfigurationError(
                    f"{scheme.upper()}_PROXY: not the address of a proxy. Write it whole, such as"
                    " http://proxy.example.com:3128, or unset the variable"
                ) from None
        raise ConfigurationError(
            "NO_PROXY: an entry can't be read. Leave out IPv6 networks (fd00::/8), and write an"
            " IPv6 address without brackets (::1)"
        ) from None


class Connections:
    """A blocking httpx client: the `given` one, or else one of our own that survives a fork.

    After a fork the child opens new connections. If two processes shared one, each would read
    the other's answers, and could take another refund's answer for its own. A client that was
    given is its owner's responsibility, and is not closed here.
    """

    client: httpx.Client

    def __init__(self, given: httpx.Client | None, timeout: float) -> None:
        self._owned = given is None
        self._timeout = timeout
        if given is not None:
            self.client = given
        else:
            self.reopen()
            _own.add(self)

    def reopen(self) -> None:
        """Open new connections. The old ones are dropped without being closed."""
        self.client = open_client(httpx.Client, self._timeout, limits=_LIMITS)

    def open(self) -> httpx.Client:
        """Return the client. Raises `ConfigurationError` if it is closed."""
        if self.client.is_closed:
            raise _closed(owned=self._owned)
        return self.client

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            self.client.close()


class AsyncConnections:
    """An async httpx client: the `given` one, or else one of our own, for one event loop.

    Connections belong to the loop in which they were opened. In another loop, httpx fails only
    once it happens to reuse one, with a message about the old loop.
    """

    def __init__(self, given: httpx.AsyncClient | None, timeout: float) -> None:
        self._owned = given is None
        self._client = given or open_client(httpx.AsyncClient, timeout)
        self._loop: object = None

    def open(self) -> httpx.AsyncClient:
        """Return the client. Raises `ConfigurationError` if it is closed or of another loop."""
        if self._client.is_closed:
            raise _closed(owned=self._owned)
        if self._owned:
            loop = anyio.lowlevel.current_token()
            if self._loop is None:
                self._loop = loop
            if self._loop != loop:
                raise ConfigurationError(
                    "this client was used in another event loop: open one client in each loop"
                    " (each asyncio.run starts a loop of its own)"
                )
        return self._client

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            await self._client.aclose()


def _closed(*, owned: bool) -> ConfigurationError:
    what = "this client" if owned else "the http_client of this client"
    return ConfigurationError(
        f"{what} is closed: make the call before you close it (inside its with block), or open a"
        " new one"
    )


_own: WeakSet[Connections] = WeakSet()


def _after_fork_in_child() -> None:
    for connections in list(_own):
        if not connections.client.is_closed:
            connections.reopen()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork_in_child)


class QuietURL(httpx.URL):
    """An address whose text has no query: httpx logs the address of each request at INFO.

    A query can hold a search term, such as an e-mail address, or a presigned permission.
    """

    def __str__(self) -> str:
        return str(httpx.URL(self, query=None))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def quiet(request: httpx.Request) -> httpx.Request:
    """Keep the query of a `request` out of logs."""
    if request.url.query:
        request.url = QuietURL(request.url)
    return request
