"""SKUs as they are compared: the same text, however it was typed."""

from __future__ import annotations

from unicodedata import normalize


def plain_sku(text: str) -> str:
    """Return an SKU without spaces at its edges, its letters composed (Unicode's form C).

    Forms and file systems send ``ö`` as one sign or as two. Capitals and inner spaces count.
    """
    return normalize("NFC", text).strip()


def fits_glob(pattern: str, text: str) -> bool:
    """Return whether `text` is what `pattern` means: ``*`` is any text, ``?`` any one sign.

    In time that grows with the text and not faster: each part between two stars is taken where
    it is found first, which loses nothing, so nothing is ever tried again. A regular expression
    would, and one long SKU would hold up the process.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return len(text) == len(head) and _is_at(head, text, 0)
    *middle, tail = rest
    end = len(text) - len(tail)
    start = len(head)
    if end < start or not _is_at(head, text, 0) or not _is_at(tail, text, end):
        return False
    for part in middle:
        found = _find(part, text, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True


def _is_at(part: str, text: str, place: int) -> bool:
    if "?" not in part:
        return text.startswith(part, place)
    there = text[place : place + len(part)]
    pairs = zip(part, there, strict=False)
    return len(there) == len(part) and all(a in ("?", b) for a, b in pairs)


def _find(part: str, text: str, start: int, end: int) -> int:
    if "?" not in part:
        return text.find(part, start, end)
    places = range(start, end - len(part) + 1)
    return next((place for place in places if _is_at(part, text, place)), -1)
