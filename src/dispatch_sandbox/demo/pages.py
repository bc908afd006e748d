"""What is left to look at: each return's story as a page, an index of them, and one label."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path

from dispatch_returns.cli import write as write_file
from dispatch_returns.returns import StatusNames
from dispatch_returns.returns.timeline import render, story_of
from dispatch_sandbox.demo.cast import Return
from dispatch_sandbox.demo.stage import Stage

_INDEX = """<!doctype html>
<meta charset="utf-8"><title>25 returns</title>
<style>body {{ font: 15px/1.7 system-ui, sans-serif; max-width: 760px; margin: 40px auto; }}</style>
<h1>25 returns</h1>
<ul>
{lines}
</ul>
"""


def write(stage: Stage, tickets: dict[str, Return], folder: Path) -> None:
    """Write all of it into `folder`, which is made where it is not there."""
    now, lines, printed = datetime.now(UTC), list[str](), False
    with stage.connector.store.read() as conn:
        for ticket_id, one in tickets.items():
            row = stage.connector.returns.get(ticket_id)
            story = story_of(conn, row)
            name = f"order-{one.order_id}.html"
            html = render(story, StatusNames(), now)
            write_file(folder / name, html)
            about = escape(f"{row.status}: {one.trouble or 'all went well'}")
            lines.append(f'<li><a href="{name}">order {one.order_id}</a> {about}</li>')
            label = next(iter(story.labels), None)
            if not printed and label is not None and label.pdf is not None:
                write_file(folder / "label.pdf", label.pdf)
                printed = True
    index = _INDEX.format(lines="\n".join(lines))
    write_file(folder / "index.html", index)
