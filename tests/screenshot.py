"""Takes the picture of the sandbox's page for the docs: ``python3 dev.py screenshot``."""

from __future__ import annotations

import sys
from pathlib import Path

import dispatch_sandbox
from tests.support.browser import CHROMIUM, browser_page, chromium
from tests.support.hook_server import hook_server
from tests.support.sandbox_shop import fill

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "sandbox.png"


def main() -> int:
    """Fill a sandbox, open a ticket's page, and write what it looks like."""
    if CHROMIUM is None:
        print("Chromium is not there. On Debian or Ubuntu: sudo apt install chromium")
        return 1
    with hook_server() as hooks, dispatch_sandbox.running() as box, chromium() as browser:
        shop = fill(box, hooks.url)
        with browser_page(browser) as page:
            page.goto(shop.ticket)
            page.screenshot(path=PICTURE, full_page=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
