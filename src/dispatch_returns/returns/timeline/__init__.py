"""The timeline of a return: everything that happened to it, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.timeline.page import render
    from dispatch_returns.returns.timeline.story import Moment, Story, story_of

__all__ = [
    "Moment",
    "Story",
    "render",
    "story_of",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, __all__, ".story", {".page": ["render"]})
