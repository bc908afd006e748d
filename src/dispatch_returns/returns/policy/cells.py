"""All returns that a policy can tell apart, as one example of each.

A policy knows returns by reason, country, category and SKU. Values that the same rules name
are alike, and so are SKUs that the same patterns fit, so a finite number of cells covers all
returns there are. What holds in every cell holds always.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import product

from dispatch_returns.returns.policy.model import PolicyKeys, Rule
from dispatch_returns.returns.policy.terms import Case

_MOST_STATES = 20_000
_MOST_CELLS = 50_000
_FRESH = "\N{MIDDLE DOT}"
"""A sign that no pattern is likely to hold; it stands for all that none does."""


class TooManyPatterns(Exception):  # noqa: N818 - it never leaves this folder
    """What the rules of a policy name combines in more ways than can be looked at."""


def cells_of(policy: PolicyKeys) -> list[Case]:
    """Return one case for each kind of return that `policy` tells apart.

    Raises `TooManyPatterns` where there are more than can be looked at.
    """
    reasons = _alike(policy, lambda rule: rule.reasons)
    countries = _alike(policy, lambda rule: rule.countries)
    categories = _alike(policy, lambda rule: rule.categories)
    skus = skus_of(patterns_of(policy))
    if len(reasons) * len(countries) * len(categories) * len(skus) > _MOST_CELLS:
        raise TooManyPatterns
    kinds = product(skus, reasons, countries, categories)
    return [Case(*kind) for kind in kinds]


def patterns_of(policy: PolicyKeys) -> tuple[str, ...]:
    """Return every SKU pattern in `policy`, each once."""
    lists = [policy.final_sale, policy.excluded, *(rule.skus for rule in policy.rules)]
    return tuple(dict.fromkeys(pattern for found in lists for pattern in found or ()))


def _alike(policy: PolicyKeys, named: Callable[[Rule], Sequence[str] | None]) -> list[str | None]:
    """Return one value for each set of rules that name it; None is any that none does."""
    values = dict.fromkeys(value for rule in policy.rules for value in named(rule) or ())
    by_rules: dict[tuple[bool, ...], str] = {}
    for value in values:
        by_rules.setdefault(tuple(value in (named(rule) or ()) for rule in policy.rules), value)
    return [*by_rules.values(), None]


def skus_of(patterns: Sequence[str]) -> list[str]:
    """Return one of the shortest SKUs for each set of `patterns` that an SKU can fit.

    All patterns are followed at once, sign by sign, as one automaton. Raises `TooManyPatterns`.
    """
    found: dict[tuple[bool, ...], str] = {}
    for state, sku in _walk(patterns):
        fits = tuple(len(p) in places for p, places in zip(patterns, state, strict=True))
        if sku:
            found.setdefault(fits, sku)
    return list(found.values())


_State = tuple[frozenset[int], ...]
"""For each pattern, how far in it an SKU may have come: its end means that it fits."""


def _walk(patterns: Sequence[str]) -> Iterator[tuple[_State, str]]:
    signs = [*sorted({sign for pattern in patterns for sign in pattern} - {"*", "?"}), _FRESH]
    start = tuple(_past_stars(pattern, {0}) for pattern in patterns)
    waiting, known = deque([(start, "")]), set[_State]()
    while waiting:
        state, sku = waiting.popleft()
        yield state, sku
        for sign in signs:
            after = tuple(
                _step(pattern, places, sign)
                for pattern, places in zip(patterns, state, strict=True)
            )
            if after not in known:
                known.add(after)
                waiting.append((after, sku + sign))
        if len(known) > _MOST_STATES:
            raise TooManyPatterns


def _step(pattern: str, places: frozenset[int], sign: str) -> frozenset[int]:
    after = set[int]()
    for place in places:
        if place < len(pattern):
            if pattern[place] == "*":
                after.add(place)
            elif pattern[place] in {"?", sign}:
                after.add(place + 1)
    return _past_stars(pattern, after)


def _past_stars(pattern: str, places: set[int]) -> frozenset[int]:
    """A star may stand for nothing."""
    reached = set(places)
    for place in range(len(pattern)):
        if place in reached and pattern[place] == "*":
            reached.add(place + 1)
    return frozenset(reached)
