"""The stylesheet's tokens, and the merchant's accent made readable on light and on dark paper.

Contrast and luminance are those of WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dispatch_returns.errors import InvalidArgumentError

LIGHT: Mapping[str, str] = {
    "ink": "#1d2430",
    "muted": "#566073",
    "paper": "#f6f7f9",
    "card": "#ffffff",
    "line": "#d9dee6",
    "edge": "#7a8494",
    "good": "#0f6b41",
    "warn": "#8a4b00",
    "bad": "#b42318",
}
DARK: Mapping[str, str] = {
    "ink": "#e7eaf0",
    "muted": "#a3adbd",
    "paper": "#12151b",
    "card": "#1b2029",
    "line": "#2c3340",
    "edge": "#7f8a9c",
    "good": "#4cc38a",
    "warn": "#f0a13a",
    "bad": "#f97066",
}
"""The same tokens for dark paper. Text has a contrast of 4.5, edges that carry meaning 3."""
_TEXT = 4.5
_STEPS = 40


def tokens(accent: str) -> str:
    """Return the CSS custom properties for light and dark. Raises `InvalidArgumentError`."""
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", accent):
        raise InvalidArgumentError("accent", "write a colour as six digits: #2f5bea")
    light, dark = _with_accent(LIGHT, accent), _with_accent(DARK, accent)
    return (
        f":root{{color-scheme:light dark;{_properties(light)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_properties(dark)}}}}}"
    )


def _with_accent(palette: Mapping[str, str], accent: str) -> Mapping[str, str]:
    """Return the palette with the accent, moved towards the ink until it can be read on it."""
    shown = readable(accent, palette["card"], palette["ink"])
    shown = readable(shown, palette["paper"], palette["ink"])
    on = max(("#ffffff", "#10131a"), key=lambda it: contrast(it, shown))
    return {**palette, "accent": shown, "on-accent": on}


def readable(colour: str, paper: str, ink: str) -> str:
    """Return `colour`, mixed with `ink` as far as it must be to be read as text on `paper`."""
    for step in range(_STEPS + 1):
        mixed = _mixed(colour, ink, step / _STEPS)
        if contrast(mixed, paper) >= _TEXT:
            return mixed
    return ink


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [channel / 255 for channel in _channels(colour)]
    red, green, blue = (
        it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(one: str, other: str, share: float) -> str:
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _properties(values: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())
