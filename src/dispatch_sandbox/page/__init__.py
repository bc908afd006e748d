"""The sandbox's web page: what is in it, and buttons that set a status or send an event again.

Written on the server; it has no script, and takes nothing from elsewhere.
"""

from __future__ import annotations

from dispatch_sandbox.page.views import PREFIX, routes

__all__ = ["PREFIX", "routes"]
