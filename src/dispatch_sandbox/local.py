"""The page and the control API need no key, so only this machine and our own page may use them.

A browser on this machine reaches loopback for every page it shows. So a request is refused whose
``Host`` is a name other than ``localhost`` (a name can be pointed here afterwards, which is how
DNS rebinding works), and one that changes something for a page of another origin: browsers say
in ``Origin`` whose page it was.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from dispatch_sandbox.resources.webhooks import is_loopback

_READS = ("GET", "HEAD", "OPTIONS")


def objection(scope: Scope) -> str | None:
    """Return why a request must not be served, or None."""
    client = scope.get("client")
    if client is not None and not is_loopback(client[0]):
        return "Only the machine that the sandbox runs on may open this"
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if not _is_address(host):
        return "Open it as localhost or by its IP address: another name may belong to anybody"
    origin = headers.get("origin")
    if scope["method"] not in _READS and origin not in (None, f"{scope['scheme']}://{host}"):
        return "This was sent by a page of another origin"
    return None


def _is_address(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
