"""Takes pictures of every page of the portal in every state: ``python3 dev.py screenshot portal``.

They are to be looked at after each change of a page; only a few are kept in the docs.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dispatch_sandbox
from dispatch_returns.client import DispatchClient
from dispatch_returns.returns.steps.statuses import STEPS
from tests.support.browser import CHROMIUM, browser_page, chromium
from tests.support.portal_pages import PAGES, show, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDTHS = (360, 768, 1440)
IN_DOCS = Path(__file__).parents[1] / "docs" / "images" / "portal.png"
_THREE = ("order", "check", "label_sent")
"""The pages that docs/portal.md shows, side by side."""


def main(arguments: Sequence[str] = ()) -> int:
    """Write a picture of each page in light and dark, at three widths, into a folder."""
    if CHROMIUM is None:
        print("Chromium is not there. On Debian or Ubuntu: sudo apt install chromium")
        return 1
    folder = Path(arguments[0] if arguments else tempfile.mkdtemp(prefix="portal-pictures-"))
    folder.mkdir(parents=True, exist_ok=True)
    names = arguments[1:] or PAGES
    with (
        dispatch_sandbox.running() as box,
        tempfile.TemporaryDirectory() as place,
        chromium() as browser,
    ):
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in STEPS:
                client.statuses.create(key=key, name=key)
        with site(box, Path(place)) as opened:
            for name in names:
                for scheme in ("light", "dark"):
                    opened.shop.clock.turn(hours=2)  # so that no limit is reached
                    with browser_page(browser, scripts=False, scheme=scheme) as page:
                        show(opened, page, name)
                        for width in WIDTHS:
                            page.set_viewport_size({"width": width, "height": 800})
                            picture = folder / f"{name}-{scheme}-{width}.png"
                            page.screenshot(path=picture, full_page=True)
        if set(_THREE) <= set(names):
            _side_by_side(browser, [folder / f"{name}-light-360.png" for name in _THREE])
    print(f"{folder}: {len(names)} pages, in light and dark, {WIDTHS} pixels wide")
    return 0


def _side_by_side(browser: Browser, pictures: Sequence[Path]) -> None:
    """Write the picture for the docs."""
    sources = [base64.b64encode(it.read_bytes()).decode() for it in pictures]
    images = "".join(
        f"<img width=300 style='border:1px solid #d9dee6' src='data:image/png;base64,{it}'>"
        for it in sources
    )
    style = "margin:0;display:flex;gap:12px;align-items:start;background:#fff"
    with browser_page(browser, width=930, height=200) as page:
        page.set_content(f"<body style='{style}'>{images}</body>")
        page.screenshot(path=IN_DOCS, full_page=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
