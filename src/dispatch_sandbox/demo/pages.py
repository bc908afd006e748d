"""What the demo leaves to look at: the timeline of each return, an index of them, and a label."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path

from dispatch_returns.cli import write as write_file
from dispatch_returns.returns import StatusNames
from dispatch_returns.returns.timeline import render, story_of
from dispatch_sandbox.demo.environment import Environment
from dispatch_sandbox.demo.scenarios import Scenario

_INDEX = """<!doctype html>
<meta charset="utf-8"><title>25 returns</title>
<style>body {{ font: 15px/1.7 system-ui, sans-serif; max-width: 760px; margin: 40px auto; }}</style>
<h1>25 returns</h1>
<ul>
{lines}
</ul>
"""


def write(environment: Environment, tickets: dict[str, Scenario], folder: Path) -> None:
    """Write all of it into `folder`, which is created if it is missing."""
    now, lines, printed = datetime.now(UTC), list[str](), False
    with environment.connector.store.read() as conn:
        for ticket_id, scenario in tickets.items():
            row = environment.connector.returns.get(ticket_id)
            story = story_of(conn, row)
            name = f"order-{scenario.order_id}.html"
            html = render(story, StatusNames(), now)
            write_file(folder / name, html)
            about = escape(f"{row.status}: {scenario.trouble or 'all went well'}")
            lines.append(f'<li><a href="{name}">order {scenario.order_id}</a> {about}</li>')
            label = next(iter(story.labels), None)
            if not printed and label is not None and label.pdf is not None:
                write_file(folder / "label.pdf", label.pdf)
                printed = True
    index = _INDEX.format(lines="\n".join(lines))
    write_file(folder / "index.html", index)
