"""The sandbox's web page: what is in it, a button for a status and one to deliver again.

Written on the server; it has no script, and takes nothing from elsewhere.
"""

from __future__ import annotations

from dispatch_sandbox.page.views import PREFIX, routes

__all__ = ["PREFIX", "routes"]
