"""The timeline as one self-contained HTML page: no script, no font, no network."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files

from dispatch_returns.errors import MissingExtraError
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.timeline.story import Story
from dispatch_returns.returns.transitions import Step

_WALK = (
    Step.REQUESTED,
    Step.CHECK,
    Step.APPROVED,
    Step.LABEL_SENT,
    Step.RECEIVED,
    Step.REFUNDED,
)


def render(story: Story, statuses: StatusNames, now: datetime) -> str:
    """Return the page. Raises `MissingExtraError` without Jinja2."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("notifications", "a page of the timeline") from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("dispatch_returns.returns.timeline").joinpath("page.html.jinja")
    template = environment.from_string(source.read_text(encoding="utf-8"))

    def day(at: datetime) -> str:
        return f"{at.astimezone(UTC):%A, %d %B %Y}"

    def time(at: datetime) -> str:
        return f"{at.astimezone(UTC):%H:%M:%S}"

    reached = {moment.title for moment in story.moments if moment.kind == "step"}
    return template.render(
        story=story,
        walk=[
            {
                "number": number,
                "name": statuses.name(step).replace("_", " "),
                "reached": statuses.name(step) in reached,
                "here": story.row.step is step,
            }
            for number, step in enumerate(_WALK, start=1)
        ],
        day=day,
        time=time,
        now=f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    )
