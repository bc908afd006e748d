"""Whatever colour a merchant sets, every text on the pages can be read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.errors import InvalidArgumentError
from dispatch_returns.portal.theme import DARK, LIGHT, contrast, tokens

colours = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@given(colours | st.sampled_from(["#ffffff", "#000000", "#ffff00", "#808080"]))
def test_the_accent_can_be_read_on_paper_and_the_text_on_it_too(accent: str) -> None:
    sheet = tokens(accent)
    light, dark = sheet.split("@media")
    for palette, part in ((LIGHT, light), (DARK, dark)):
        shown = dict(re.findall(r"--([\w-]+):(#[0-9a-f]{6});", part))
        assert contrast(shown["accent"], palette["card"]) >= 4.5
        assert contrast(shown["accent"], palette["paper"]) >= 4.5
        assert contrast(shown["on-accent"], shown["accent"]) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_our_own_colours_have_the_contrast_that_they_need(palette: dict[str, str]) -> None:
    for text in ("ink", "muted", "good", "warn", "bad"):
        for paper in ("card", "paper"):
            assert contrast(palette[text], palette[paper]) >= 4.5, (text, paper)
    for paper in ("card", "paper"):
        assert contrast(palette["edge"], palette[paper]) >= 3


def test_black_on_white_has_the_highest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("wrong", ["red", "#fff", "#12345g", "", "#123456;}body{"])
def test_what_is_no_colour_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidArgumentError, match="six digits"):
        tokens(wrong)
